"""What a build of neighbor lists works on: its settings, and where it runs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from skylike.bands import BANDS
from skylike.embeddings.store import EncoderRecord
from skylike.errors import SettingsError
from skylike.neighbors.engine.search import SearchPlan
from skylike.progress import Progress

SHARD_GALAXIES = {"cpu": 8192, "cuda": 16_384}
"""Most lists in a shard, by the kind of device: at k = 999, 65 and 130 MB, which a process holds
three times (found, joined, written). A GPU searches no more rows than this together."""

SHARD_PAIRS = {"cpu": 1 << 31, "cuda": 1 << 38}
"""Similarities in a shard, about: half a minute at d = 2048 and 250 GFLOP/s, and 4 seconds at the
65 billion similarities a second of a GPU. A killed process loses no more than two shards."""


def device_kind(device: str) -> str:
    """Return which of the sizes above a device gets; shards of an unknown one suit processors."""
    return "cuda" if device.startswith("cuda") else "cpu"


@dataclass(frozen=True)
class NeighborSettings:
    """What a run is: with these and the input its lists are determined.

    Attributes
    ----------
    k
        Longest list; 999 as in the paper (section 4).
    band, width
        Candidates differ by at most ``width`` magnitudes in ``band`` (the paper: 0.5 in r). Both
        None: every galaxy is a candidate.
    """

    k: int = 999
    band: str | None = "r"
    width: float | None = 0.5

    def __post_init__(self) -> None:
        if (self.band is None) != (self.width is None):
            raise SettingsError("a magnitude window needs both a band and a width, or neither")
        if self.band is not None and self.band not in BANDS:
            raise SettingsError(f"band {self.band!r} is unknown; use one of {', '.join(BANDS)}")
        if self.width is not None and not (np.isfinite(self.width) and self.width >= 0):
            raise SettingsError(f"window width {self.width!r}: use magnitudes, such as 0.5")


@dataclass(frozen=True)
class BuildJob:
    """One build: of which encoder, how, and where."""

    engine: Engine
    record: EncoderRecord
    settings: NeighborSettings
    plan: SearchPlan
    folder: Path
    """Work folder; the staged embeddings lie in a folder of their own in it."""

    shard_galaxies: int
    """Most lists in a shard, if this build begins a run."""

    progress: Progress

"""What a build of neighbor lists works on: its settings, and where it runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from sqlalchemy import Engine
from typing_extensions import override

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
class Part:
    """One of n contiguous parts of a run's shards, which one process computes.

    Contiguous, because neighboring shards share most of their windows.

    Attributes
    ----------
    number
        From 1.
    of
        How many parts there are.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise SettingsError(
                f"part {self.number}/{self.of}: use i/n with 1 <= i <= n, such as 3/8"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``i/n``.

        Raises
        ------
        SettingsError
            It is something else, or i is not between 1 and n.
        """
        number, slash, of = text.partition("/")
        if not (slash and number.strip().isdecimal() and of.strip().isdecimal()):
            raise SettingsError(f"part {text!r}: use i/n with 1 <= i <= n, such as 3/8")
        return cls(int(number), int(of))

    def shards(self, n: int) -> range:
        """Return the numbers of this part's shards, of n; none where there are more parts."""
        return range((self.number - 1) * n // self.of, self.number * n // self.of)

    @override
    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster that computes the shards.

    Attributes
    ----------
    scheduler
        Its address (``tcp://host:8786``), or the path of the file that ``dask scheduler
        --scheduler-file`` writes.
    """

    scheduler: str


def choose_share(part: str | None, scheduler: str | None) -> Part | Cluster | None:
    """Return what a build computes, of ``i/n`` or the address of a scheduler.

    Raises
    ------
    SettingsError
        Both are given, or the part is none.
    """
    if part is not None and scheduler is not None:
        raise SettingsError("--shard and --scheduler exclude each other; use one of them")
    if part is not None:
        return Part.parse(part)
    return Cluster(scheduler) if scheduler is not None else None


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

"""``skylike neighbors compare``: how much the lists of two runs have in common.

The runs may be of different encoders, windows and k: what is compared are the galaxies listed, down
to the smaller k. Only pages of identifiers and a few lists are in memory at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.database.snapshot import begin_snapshot
from skylike.errors import NeighborRunNotFoundError, SettingsError
from skylike.neighbors import store, store_compare, store_lists
from skylike.neighbors.check import fetch_complete_run
from skylike.neighbors.store import NeighborRun
from skylike.progress import SILENT, Progress

GalaxyIds = npt.NDArray[np.int32]

DEPTHS: Final = (10, 100)
"""Ranks down to which lists are compared, beside the whole of them."""

_BATCH_LISTS: Final = 512
"""Lists of each run in memory at a time: 4 MB with k = 999, and as Python integers 40."""

_SHARDING: Final = frozenset({"shard_galaxies", "shard_pairs"})
"""How the work was cut: of no consequence for the lists."""

_EMPTY: Final = (np.empty(0, np.int32), np.empty(0, np.float32))
"""What stands for a list whose similarities somebody has removed: `verify` tells of those."""


@dataclass(frozen=True)
class Overlap:
    """What lists have in common down to a rank."""

    depth: int
    mean: float
    """Mean over galaxies of the fraction of the first ``depth`` neighbors that are in both lists
    (of the longer one, where lists are shorter)."""

    standard_error: float
    """Of the mean, by the choice of the sample; 0 where all lists were compared."""


@dataclass(frozen=True)
class Setting:
    """Something that the runs do not share; None where one has no such thing."""

    name: str
    first: object
    second: object


@dataclass(frozen=True)
class Comparison:
    """Two runs beside each other."""

    first: NeighborRun
    second: NeighborRun
    common: int
    """Galaxies with a list in both."""

    only_first: int
    only_second: int
    compared: int
    """Galaxies whose lists were compared: all in common, or a random sample of them."""

    overlaps: tuple[Overlap, ...]
    """Empty where no galaxy is in both."""

    identical: float | None
    """Fraction of lists equal in every rank, down to the smaller k."""

    settings: tuple[Setting, ...]
    """What differs between the runs."""


def compare_runs(
    engine: Engine,
    first: int,
    second: int | None = None,
    *,
    sample: int | None = 1000,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Comparison:
    """Compare the lists of two complete runs.

    Parameters
    ----------
    second
        None takes the published run of the first one's encoder, or of the active encoder where that
        is the first run itself.
    sample
        Galaxies to draw at random from those in both; None compares all.

    Raises
    ------
    NeighborRunNotFoundError
        A run does not exist or is not complete, or there is none to compare with.
    SettingsError
        The sample is empty, the seed negative, or both runs are the same.
    """
    if sample is not None and sample < 1:
        raise SettingsError(f"a sample of {sample} galaxies: use at least 1, or --all")
    if seed < 0:
        raise SettingsError(f"seed {seed}: use 0 or more")
    with connect(engine) as connection:
        begin_snapshot(connection)
        one = fetch_complete_run(connection, first)
        other = _other_run(connection, one, second)
        pages = store_compare.iter_common_ids(connection, one.run_id, other.run_id)
        common: int | None = None
        if sample is not None:
            drawn, common = draw(pages, size=sample, generator=np.random.default_rng(seed))
            pages = iter([drawn])
        total = one.n_galaxies if common is None else min(sample or common, common)
        tally = _Tally(one, other)
        with progress.task("Comparing lists", total=total) as task:
            for ids in _batches(pages):
                lists = store_lists.fetch_lists(connection, one.run_id, ids)
                others = store_lists.fetch_lists(connection, other.run_id, ids)
                for galaxy_id in ids.tolist():
                    tally.add(lists.get(galaxy_id, _EMPTY)[0], others.get(galaxy_id, _EMPTY)[0])
                task.advance(len(ids))
        if common is None:
            common = tally.compared
        return Comparison(
            first=one,
            second=other,
            common=common,
            only_first=store_compare.count_lists(connection, one.run_id) - common,
            only_second=store_compare.count_lists(connection, other.run_id) - common,
            compared=tally.compared,
            overlaps=tally.overlaps(common),
            identical=tally.identical,
            settings=different_settings(one, other),
        )


def _other_run(connection: Connection, one: NeighborRun, run_id: int | None) -> NeighborRun:
    if run_id is not None:
        if run_id == one.run_id:
            raise SettingsError(f"run {run_id} is given twice; name two runs")
        return fetch_complete_run(connection, run_id)
    published = [
        run
        for run in store.fetch_runs(connection)
        if run.state == "published" and run.run_id != one.run_id
    ]
    for run in published:
        if run.encoder_id == one.encoder_id:
            return run
    for run in published:
        if run.is_active:
            return run
    raise NeighborRunNotFoundError(
        f"there is no other published run to compare run {one.run_id} with; name one: "
        f"`skylike neighbors compare {one.run_id} RUN`"
    )


def draw(
    pages: Iterable[GalaxyIds], *, size: int, generator: np.random.Generator
) -> tuple[GalaxyIds, int]:
    """Draw identifiers from pages; return them, ascending, and how many there were in all."""
    # Each gets a random number, and the smallest stay: one pass, and no need to know how many come.
    kept, keys, count = np.empty(0, np.int32), np.empty(0), 0
    for page in pages:
        count += len(page)
        kept = np.concatenate([kept, page])
        keys = np.concatenate([keys, generator.random(len(page))])
        if len(kept) > size:
            best = np.argpartition(keys, size - 1)[:size]
            kept, keys = kept[best], keys[best]
    return np.sort(kept), count


def _batches(pages: Iterable[GalaxyIds]) -> Iterator[GalaxyIds]:
    for page in pages:
        for start in range(0, len(page), _BATCH_LISTS):
            yield page[start : start + _BATCH_LISTS]


def list_overlaps(
    one: GalaxyIds, other: GalaxyIds, depths: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Return the fraction that two lists share down to each depth, (depths,); 1 if both are empty.

    Fewer than ``depth`` neighbors in both lists: the fraction of the longer list.
    """
    _, place, other_place = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    within = np.sort(np.maximum(place, other_place))  # the depth at which each is in both
    longest = np.minimum(max(len(one), len(other)), depths)
    shared = np.searchsorted(within, depths)
    return np.where(longest > 0, shared / np.maximum(longest, 1), 1.0)


class _Tally:
    """Sums over galaxies."""

    def __init__(self, one: NeighborRun, other: NeighborRun) -> None:
        whole = min(one.k, other.k)
        self._depths = (*(depth for depth in DEPTHS if depth < whole), whole)
        self._sum = np.zeros(len(self._depths))
        self._squares = np.zeros(len(self._depths))
        self._identical = 0
        self.compared = 0

    def add(self, one: GalaxyIds, other: GalaxyIds) -> None:
        overlap = list_overlaps(one, other, self._depths)
        self._sum += overlap
        self._squares += overlap**2
        whole = self._depths[-1]
        self._identical += np.array_equal(one[:whole], other[:whole])
        self.compared += 1

    @property
    def identical(self) -> float | None:
        return self._identical / self.compared if self.compared else None

    def overlaps(self, population: int) -> tuple[Overlap, ...]:
        n = self.compared
        if not n:
            return ()
        mean = self._sum / n
        variance = np.maximum(self._squares / n - mean**2, 0.0) * n / max(n - 1, 1)
        error = np.sqrt(variance / n * (1.0 - n / population))
        return tuple(
            Overlap(depth, float(m), float(e))
            for depth, m, e in zip(self._depths, mean, error, strict=True)
        )


def different_settings(one: NeighborRun, other: NeighborRun) -> tuple[Setting, ...]:
    """Tell in what the runs differ: encoder, k, window, revision, software, device, input."""
    names = ("encoder", "k", "band", "width", "revision")
    settings = [Setting(name, getattr(one, name), getattr(other, name)) for name in names]
    passed_over = _SHARDING
    if (one.encoder, one.band) != (other.encoder, other.band):
        passed_over |= {"input"}  # other columns were read: the digests cannot be the same
    recorded = sorted((one.software.keys() | other.software.keys()) - passed_over)
    settings += [
        Setting(name, one.software.get(name), other.software.get(name)) for name in recorded
    ]
    return tuple(setting for setting in settings if setting.first != setting.second)

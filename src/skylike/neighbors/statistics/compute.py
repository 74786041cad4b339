"""What the lists of a run tell of each galaxy: computed from lists, embeddings and positions."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.database.engine import connect
from skylike.neighbors import store_statistics
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.job import BuildJob
from skylike.neighbors.statistics.duplicates import NO_GROUP, find_groups
from skylike.neighbors.statistics.mutual import FIRST, NOBODY, count_mutual, count_occurrences
from skylike.neighbors.statistics.pairs import pair_distances
from skylike.neighbors.statistics.rarity import rank_in_lists, relative_rarity
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.store_statistics import FirstNeighbors, Statistics
from skylike.progress import SILENT, Progress, Task

logger = logging.getLogger(__name__)

_FIRST_FILE: Final = "first_neighbors.i32"

Places = npt.NDArray[np.int32]
Positions = npt.NDArray[np.float64]


def write_statistics(job: BuildJob, run: NeighborRun, staged: StagedVectors) -> None:
    """Compute and write the statistics of a run whose lists are all there.

    ``store.complete_run`` attaches them together with the lists. Done again, it replaces what was
    written before.
    """
    with connect(job.engine) as connection:
        statistics = compute_statistics(
            connection, run, staged, folder=job.folder, progress=job.progress
        )
    with job.engine.begin() as connection:
        store_statistics.write_statistics_table(connection, run.run_id, statistics)


def compute_statistics(
    connection: Connection,
    run: NeighborRun,
    staged: StagedVectors,
    *,
    folder: Path,
    progress: Progress = SILENT,
) -> Statistics:
    """Compute the statistics of a run from its lists as the connection's transaction sees them.

    Takes about 120 bytes of memory for each galaxy, and 40 of a file in ``folder`` for their first
    neighbors: 5 GB and 1.7 GB at 42 million. Positions are those of the catalog now.

    Parameters
    ----------
    staged
        What the lists were computed of.
    """
    rank = rank_in_lists(run.k)
    places = _Places(staged.galaxy_ids)
    batches = store_statistics.iter_first_neighbors(connection, run.run_id, rank=rank)
    with progress.task("Reading first neighbors", total=len(staged)) as task:
        first = np.memmap(
            folder / _FIRST_FILE, np.int32, mode="w+", shape=(max(len(staged), 1), FIRST)
        )[: len(staged)]
        at_rank = _fill(first, places, batches, task)
    distances = np.full(len(staged), np.nan)
    rows = np.flatnonzero(at_rank != NOBODY)
    distances[rows] = pair_distances(staged, rows, at_rank[rows], progress=progress)
    ra, dec = _positions(connection, run.encoder_id, places)
    statistics = Statistics(
        galaxy_ids=staged.galaxy_ids,
        hashes=staged.hashes,
        distances=distances,
        rarity=relative_rarity(distances, staged.magnitudes),
        hubness=count_occurrences(first),
        n_mutual=count_mutual(first),
        groups=find_groups(staged, ra, dec),
    )
    del first
    (folder / _FIRST_FILE).unlink()
    grouped = statistics.groups[statistics.groups != NO_GROUP]
    logger.info(
        "neighbor run %d: %d galaxies in %d groups of duplicates or pieces",
        run.run_id,
        len(grouped),
        len(np.unique(grouped)),
    )
    return statistics


class _Places:
    """Finds the places of galaxies in magnitude order."""

    def __init__(self, galaxy_ids: npt.NDArray[np.int32]) -> None:
        self._order = np.argsort(galaxy_ids).astype(np.int32)
        self._sorted = galaxy_ids[self._order]

    def __len__(self) -> int:
        return len(self._sorted)

    def find(self, galaxy_ids: npt.NDArray[np.int32]) -> Places:
        """Return the places of galaxies, of any shape; :data:`NOBODY` of those that have none."""
        if not len(self._sorted):
            return np.full(galaxy_ids.shape, NOBODY, np.int32)
        found = np.minimum(np.searchsorted(self._sorted, galaxy_ids), len(self._sorted) - 1)
        is_there = self._sorted[found] == galaxy_ids
        return np.where(is_there, self._order[found], NOBODY).astype(np.int32)


def _fill(first: Places, places: _Places, batches: Iterable[FirstNeighbors], task: Task) -> Places:
    """Put the first neighbors of each galaxy into ``first`` (n, FIRST); return those at the rank.

    Raises
    ------
    RuntimeError
        Lists and staged galaxies are not of the same galaxies.
    """
    first[:] = NOBODY
    at_rank = np.full(len(places), NOBODY, np.int32)
    is_filled = np.zeros(len(places), np.bool_)
    for batch in batches:
        rows = places.find(batch.galaxy_ids)
        if (rows == NOBODY).any():  # a defect of ours: say it rather than publish
            raise RuntimeError("there are lists of galaxies that were not staged")
        first[rows] = places.find(batch.first)
        at_rank[rows] = places.find(batch.at_rank)
        is_filled[rows] = True
        task.advance(len(rows))
    if not is_filled.all():
        raise RuntimeError(f"{np.count_nonzero(~is_filled)} staged galaxies have no list")
    return at_rank


def _positions(
    connection: Connection, encoder_id: int, places: _Places
) -> tuple[Positions, Positions]:
    """Return ra and dec of the staged galaxies, (n,); NaN of those no longer in the catalog."""
    ra, dec = np.full(len(places), np.nan), np.full(len(places), np.nan)
    for ids, their_ra, their_dec in store_statistics.iter_positions(connection, encoder_id):
        rows = places.find(ids)
        staged = rows != NOBODY
        ra[rows[staged]], dec[rows[staged]] = their_ra[staged], their_dec[staged]
    return ra, dec

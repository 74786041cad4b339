"""How a build ends: index, verify a sample, statistics; then attach and publish in one transaction.

Whoever finds all shards done finishes the run; of several who find it at the same time one does,
and the others wait for it.
"""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.neighbors import store, store_lists
from skylike.neighbors.begin import StagedInput
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.job import BuildJob
from skylike.neighbors.statistics.compute import write_statistics
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.store_locks import hold_finish
from skylike.neighbors.verify import Rules, StoredLists, Verification, verify_lists

logger = logging.getLogger(__name__)

RECALL_SAMPLE = 200
"""Lists that every build checks against float64."""


@dataclass(frozen=True)
class FinishedRun:
    """A run that is complete."""

    run: NeighborRun
    verification: Verification | None
    """None where another process has finished the run."""


def finish(
    job: BuildJob, session: Connection, run_id: int, given: StagedInput, *, publish: bool
) -> FinishedRun:
    """Finish a run whose shards are all done, unless that has been done.

    Each step can be done again: a process that is killed on the way leaves a run in state
    ``building`` with all shards done, which the next build finishes.

    Raises
    ------
    ConflictError
        Readers hold the tables for longer than the lock timeout.
    """
    with hold_finish(session, run_id):
        run = _fetch(session, run_id)
        if run.state != "building":
            return FinishedRun(run, None)
        if run.galaxies_done != len(given.vectors):  # a defect of ours: say it, do not publish
            raise RuntimeError(
                f"{run.galaxies_done} lists are stored, {len(given.vectors)} were computed"
            )
        with session.begin():
            store_lists.index_lists(session, run_id)
        verification = _check_sample(job, session, run, given.vectors)
        _write_statistics(job, run, given)
        _complete(session, run, verification, publish=publish)
        with session.begin():
            store_lists.analyze_lists(session)
        return FinishedRun(_fetch(session, run_id), verification)


def _fetch(session: Connection, run_id: int) -> NeighborRun:
    with session.begin():
        return store.fetch_run(session, run_id)


def _check_sample(
    job: BuildJob, session: Connection, run: NeighborRun, staged: StagedVectors
) -> Verification:
    """Verify a sample of the lists as they are stored, on the embeddings as they were staged."""
    generator = np.random.default_rng(run.run_id)
    chosen = generator.choice(len(staged), size=min(RECALL_SAMPLE, len(staged)), replace=False)
    with session.begin():
        stored = store_lists.fetch_lists(session, run.run_id, staged.galaxy_ids[chosen])
    return compare_with_float64(job, run, staged, chosen, stored)


def compare_with_float64(
    job: BuildJob,
    run: NeighborRun,
    staged: StagedVectors,
    chosen: npt.NDArray[np.int64],
    stored: StoredLists,
) -> Verification:
    """Verify the stored lists of some rows on the embeddings as they were staged."""
    by_id = np.argsort(staged.galaxy_ids)
    rules = Rules(staged.galaxy_ids[by_id], staged.magnitudes[by_id], run.width, run.k)

    def batches() -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.float16]]]:
        for first in range(0, len(staged), 4096):
            rows = slice(first, first + 4096)
            yield staged.galaxy_ids[rows], staged.vectors[rows]

    with job.progress.task("Checking a sample", total=len(staged)) as task:
        sample = (staged.galaxy_ids[chosen], staged.vectors[chosen])
        return verify_lists(stored, sample, batches(), rules, task)


def _write_statistics(job: BuildJob, run: NeighborRun, given: StagedInput) -> None:
    # Runs of other settings may finish on the same input at the same time.
    scratch = given.folder.path / f"run-{run.run_id}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        write_statistics(replace(job, folder=scratch), run, given.vectors)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _complete(
    session: Connection, run: NeighborRun, verification: Verification, *, publish: bool
) -> None:
    """Attach, complete and publish in one transaction: a kill leaves all of it or nothing."""
    with session.begin():
        store.complete_run(
            session,
            run.run_id,
            recall=verification.recall,
            recall_sample=verification.galaxies,
            wrong=verification.wrong_lists,
        )
        if not verification.is_perfect:
            logger.warning("neighbor run %d differs from float64: %s", run.run_id, verification)
        elif publish:
            store.publish_run(session, store.fetch_run(session, run.run_id))

"""The job: stage embeddings, search shard after shard, check a sample, publish."""

import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.embeddings.store import fetch_encoder_to_embed, hold_lock
from skylike.errors import SettingsError
from skylike.neighbors import store, store_lists
from skylike.neighbors.begin import begin
from skylike.neighbors.job import SHARD_GALAXIES, SHARD_PAIRS, BuildJob, NeighborSettings
from skylike.neighbors.rescore import Lists
from skylike.neighbors.search import NeighborSearch, SearchPlan
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.vectors import StagedVectors
from skylike.neighbors.verify import Rules, Verification, verify_lists
from skylike.neighbors.windows import Windows, cut_shards, magnitude_windows
from skylike.progress import SILENT, Progress

__all__ = ["BuildReport", "NeighborSettings", "build_neighbors", "drop_neighbors"]

logger = logging.getLogger(__name__)

RECALL_SAMPLE = 200
"""Lists that every build checks against float64."""


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    run: NeighborRun
    verification: Verification
    shards: int
    shards_before: int
    """Found done by an earlier build that was interrupted."""

    seconds: float


def build_neighbors(
    engine: Engine,
    encoder: str | None = None,
    *,
    settings: NeighborSettings,
    work_folder: Path,
    plan: SearchPlan | None = None,
    publish: bool = True,
    shard_galaxies: int = SHARD_GALAXIES,
    progress: Progress = SILENT,
) -> BuildReport:
    """Compute the neighbor lists of all embeddings of an encoder, and publish them.

    A build that was killed goes on where it was when it is called again with the same settings and
    the input is still the same; otherwise its remains are removed and it begins anew.

    Parameters
    ----------
    encoder
        Name; None takes the active one, or the only one there is.
    work_folder
        For the staged embeddings (2 d bytes for each galaxy); emptied at the end.
    plan
        How to search; its k must be that of the settings. Default: on the processor.
    publish
        Let readers see the lists at the end. Lists whose sample does not equal the truth are never
        published.
    shard_galaxies
        Most lists that are computed and written together.

    Raises
    ------
    EmptyStageError
        The encoder has no embeddings.
    ConflictError
        Another process builds neighbors of this encoder, or readers hold the tables for long.
    """
    started = time.monotonic()
    with connect(engine) as connection:
        record = fetch_encoder_to_embed(connection, encoder)
    chosen = plan if plan is not None else SearchPlan(k=settings.k)
    if chosen.k != settings.k:
        raise SettingsError(f"the search plan has k = {chosen.k}, the settings {settings.k}")
    folder = work_folder / f"neighbors-{record.encoder_id}"
    job = BuildJob(engine, record, settings, chosen, folder, shard_galaxies, progress)
    with hold_lock(engine, "neighbors build", record.name):
        run, staged = begin(job)
        windows = magnitude_windows(staged.magnitudes, settings.width)
        bounds = cut_shards(windows, galaxies=shard_galaxies, pairs=SHARD_PAIRS)
        _search_shards(job, run, staged, windows, bounds)
        verification = _check_sample(job, run, staged)
        finished = _finish(job, run, staged, verification, publish=publish)
    shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - started
    logger.info("neighbor run %d: %d lists in %.0f s", run.run_id, len(staged), seconds)
    return BuildReport(finished, verification, len(bounds) - 1, run.shards_done, seconds)


def _search_shards(
    job: BuildJob,
    run: NeighborRun,
    staged: StagedVectors,
    windows: Windows,
    bounds: npt.NDArray[np.int64],
) -> None:
    with connect(job.engine) as connection:
        done = store_lists.fetch_finished_shards(connection, run.run_id)
        connection.rollback()
        with (
            job.progress.task("Searching neighbors", total=len(staged)) as task,
            NeighborSearch(staged, windows, job.plan) as search,
        ):
            for shard, (start, stop) in enumerate(pairwise(bounds.tolist())):
                if shard in done:
                    task.advance(stop - start)
                    continue
                found = []
                for lists in search.lists(start, stop):
                    found.append(lists)
                    task.advance(len(lists.rows))
                with connection.begin():
                    _write(connection, run.run_id, shard, staged, found)


def _write(
    connection: Connection, run_id: int, shard: int, staged: StagedVectors, found: list[Lists]
) -> None:
    store_lists.write_shard(
        connection,
        run_id,
        shard,
        galaxy_ids=staged.galaxy_ids[np.concatenate([lists.rows for lists in found])],
        neighbor_ids=staged.galaxy_ids[np.concatenate([lists.positions for lists in found])],
        similarities=np.concatenate([lists.similarities for lists in found]),
        lengths=np.concatenate([lists.lengths for lists in found]),
    )


def _check_sample(job: BuildJob, run: NeighborRun, staged: StagedVectors) -> Verification:
    """Verify a sample of the lists as they are stored, on the embeddings as they were staged."""
    generator = np.random.default_rng(run.run_id)
    chosen = generator.choice(len(staged), size=min(RECALL_SAMPLE, len(staged)), replace=False)
    by_id = np.argsort(staged.galaxy_ids)
    rules = Rules(
        staged.galaxy_ids[by_id], staged.magnitudes[by_id], job.settings.width, job.settings.k
    )

    def batches() -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.float16]]]:
        for first in range(0, len(staged), 4096):
            rows = slice(first, first + 4096)
            yield staged.galaxy_ids[rows], staged.vectors[rows]

    with job.engine.begin() as connection:
        store_lists.index_lists(connection, run.run_id)
        stored = store_lists.fetch_lists(connection, run.run_id, staged.galaxy_ids[chosen])
    with job.progress.task("Checking a sample", total=len(staged)) as task:
        sample = (staged.galaxy_ids[chosen], staged.vectors[chosen])
        return verify_lists(stored, sample, batches(), rules, task)


def _finish(
    job: BuildJob,
    run: NeighborRun,
    staged: StagedVectors,
    verification: Verification,
    *,
    publish: bool,
) -> NeighborRun:
    """Attach, complete and publish in one transaction: a kill leaves all of it or nothing."""
    with job.engine.begin() as connection:
        loaded = store.fetch_run(connection, run.run_id).galaxies_done
        if loaded != len(staged):  # a defect of ours: say it rather than publish
            raise RuntimeError(f"{loaded} lists are stored, {len(staged)} were computed")
        store.complete_run(
            connection,
            run.run_id,
            recall=verification.recall,
            recall_sample=verification.galaxies,
        )
        if not verification.is_perfect:
            logger.warning("neighbor run %d differs from float64: %s", run.run_id, verification)
        elif publish:
            store.publish_run(connection, store.fetch_run(connection, run.run_id))
    with job.engine.begin() as connection:
        store_lists.analyze_lists(connection)
        return store.fetch_run(connection, run.run_id)


def drop_neighbors(engine: Engine, run_id: int) -> None:
    """Remove a run that is not published, with its lists.

    Raises
    ------
    NeighborRunNotFoundError
        It does not exist.
    SettingsError
        Readers see it.
    ConflictError
        It is being built, or queries on it hold the tables.
    """
    with connect(engine) as connection:
        run = store.fetch_run(connection, run_id)
    with hold_lock(engine, "neighbors build", run.encoder), engine.begin() as connection:
        store.drop_run(connection, store.fetch_run(connection, run_id))

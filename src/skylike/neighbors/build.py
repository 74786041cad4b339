"""The job: begin a run or join it, compute shards of it, finish it when all are done."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.embeddings.store import fetch_named_or_only_encoder
from skylike.errors import SettingsError
from skylike.jobs.shares import Cluster, Part, load_dask_client
from skylike.jobs.store_sessions import open_session
from skylike.neighbors import store, store_lists
from skylike.neighbors.begin import StagedInput, begin, staged_input
from skylike.neighbors.engine.search import SearchPlan
from skylike.neighbors.finish import FinishedRun, finish
from skylike.neighbors.job import (
    SHARD_GALAXIES,
    BuildJob,
    NeighborSettings,
    device_kind,
)
from skylike.neighbors.shards import plan_shards, search_shards
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.store_locks import hold_turn, refuse_if_worked_on
from skylike.neighbors.verify import Verification
from skylike.progress import SILENT, Progress

__all__ = ["BuildReport", "NeighborSettings", "build_neighbors", "drop_neighbors"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    run: NeighborRun
    verification: Verification | None
    """None where other processes still compute shards, or have finished the run."""

    shards: int
    """Of the run."""

    shards_before: int
    """Found done by earlier builds, or by others at work."""

    shards_here: int
    """Computed by this process, or by the cluster for it."""

    seconds: float


def build_neighbors(  # noqa: PLR0913 - the options of a job, each of its own name
    engine: Engine,
    encoder: str | None = None,
    *,
    settings: NeighborSettings,
    work_folder: Path,
    plan: SearchPlan | None = None,
    publish: bool = True,
    share: Part | Cluster | None = None,
    shard_galaxies: int | None = None,
    progress: Progress = SILENT,
) -> BuildReport:
    """Compute the neighbor lists of all embeddings of an encoder, and publish them.

    A build that was killed goes on where it was when it is called again with the same settings and
    the input is still the same; otherwise its remains are removed and it begins anew. Any number
    of processes, on any number of machines, may build the same lists at the same time: they share
    the work.

    Parameters
    ----------
    encoder
        Name; None takes the active one, or the only one there is.
    work_folder
        For the staged embeddings (2 d bytes for each galaxy), which go when the run is complete.
        Processes with the same folder share them.
    plan
        How to search; its k must be that of the settings. Default: on the processor.
    publish
        Let readers see the lists at the end. Lists whose sample does not equal the truth are never
        published.
    share
        None: compute all that no other process does, and return when the run is complete. A part:
        compute the shards of that part, and return; who does the last shard of all completes the
        run. A cluster: let its workers compute, and return when the run is complete.
    shard_galaxies
        Most lists that are computed and written together; of a run under way it stays what it was.

    Raises
    ------
    EmptyStageError
        The encoder has no embeddings.
    ConflictError
        The input has changed, and others work on the run of before, or a part belongs to it; or
        readers hold the tables for long.
    ClusterError
        The cluster cannot be reached, or its workers do not survive.
    """
    started = time.monotonic()
    if isinstance(share, Cluster):
        load_dask_client().check_scheduler(share)  # before hours of staging
    with connect(engine) as connection:
        record = fetch_named_or_only_encoder(connection, encoder)
    chosen = plan if plan is not None else SearchPlan(k=settings.k)
    if chosen.k != settings.k:
        raise SettingsError(f"the search plan has k = {chosen.k}, the settings {settings.k}")
    rows = shard_galaxies or SHARD_GALAXIES[device_kind(chosen.device)]
    job = BuildJob(engine, record, settings, chosen, work_folder, rows, progress)
    with open_session(engine) as session, staged_input(job, session) as given:
        run = begin(job, session, given, part=share if isinstance(share, Part) else None)
        n_shards, here = _compute(job, session, run, given, share)
        ended = _finish_if_done(job, session, run.run_id, n_shards, given, publish=publish)
        if ended.run.state != "building":
            given.folder.remove_unless_used()
    seconds = time.monotonic() - started
    logger.info("neighbor run %d: %d of %d shards, %.0f s", run.run_id, here, n_shards, seconds)
    return BuildReport(ended.run, ended.verification, n_shards, run.shards_done, here, seconds)


def _compute(
    job: BuildJob,
    session: Connection,
    run: NeighborRun,
    given: StagedInput,
    share: Part | Cluster | None,
) -> tuple[int, int]:
    """Compute what is this process's to do; return how many shards there are, and were computed."""
    n_shards = len(plan_shards(run, given.vectors))
    if run.state != "building":
        return n_shards, 0
    if isinstance(share, Cluster):
        from skylike.neighbors.cluster import search_on_cluster  # noqa: PLC0415 - Dask is an extra

        return n_shards, search_on_cluster(job, session, run, given, share)
    shards = share.shards(n_shards) if share is not None else range(n_shards)
    here = search_shards(session, run, given.vectors, shards, plan=job.plan, progress=job.progress)
    return n_shards, here


def _finish_if_done(
    job: BuildJob,
    session: Connection,
    run_id: int,
    n_shards: int,
    given: StagedInput,
    *,
    publish: bool,
) -> FinishedRun:
    with session.begin():
        done = store_lists.fetch_finished_shards(session, run_id)
        run = store.fetch_run(session, run_id)
    if len(done) < n_shards:
        return FinishedRun(run, None)
    return finish(job, session, run_id, given, publish=publish)


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
    with open_session(engine) as session, hold_turn(session, run.encoder), session.begin():
        refuse_if_worked_on(session, run_id, f"neighbor run {run_id} cannot be dropped")
        store.drop_run(session, store.fetch_run(session, run_id))

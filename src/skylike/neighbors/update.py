"""A run brought up to date: the lists that have changed are found, then put in place at once.

An update is a run of its own, in state ``building``, until its lists are put into the run that it
brings up to date. Readers see that run as it was until then. An update that is killed goes on where
it was.
"""

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.embeddings.store import fetch_encoder, hold_lock
from skylike.errors import SettingsError
from skylike.jobs.store_sessions import open_session
from skylike.neighbors import store, store_check, store_lists, store_statistics, store_updates
from skylike.neighbors.begin import staged_input
from skylike.neighbors.check import fetch_complete_run
from skylike.neighbors.engine.search import SearchPlan
from skylike.neighbors.finish import RECALL_SAMPLE, compare_with_float64
from skylike.neighbors.job import SHARD_GALAXIES, BuildJob, NeighborSettings, device_kind
from skylike.neighbors.statistics.compute import compute_statistics
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.store_locks import join_run
from skylike.neighbors.store_updates import AppliedLists
from skylike.neighbors.updates.changes import BaseInput, InputChanges, PlaceIndex, find_changes
from skylike.neighbors.updates.steps import Update, begin_update, compute_lists, plan_work
from skylike.neighbors.verify import Verification
from skylike.progress import SILENT, Progress

logger = logging.getLogger(__name__)

ANALYZED_FRACTION = 0.1
"""Lists written before the planner's statistics are renewed: autovacuum's own fraction."""

CHANGED_SAMPLE = 100
"""Changed lists that every update checks against float64, beside a sample of all lists."""


@dataclass(frozen=True)
class UpdateReport:
    """What an update found and did."""

    run: NeighborRun
    """The run that was brought up to date, as it is now."""

    changes: InputChanges
    n_changed: int
    """Lists that took the place of others; those of new galaxies not among them."""

    verification: Verification | None
    """Of a sample, before anything was changed; None where nothing was to be changed. Where it is
    not perfect, the run is as it was."""

    shards: int
    shards_before: int
    """Found done by an update that was interrupted."""

    costs_a_rebuild: bool
    """Whether computing all lists anew would have cost no more, about."""

    seconds: float


def update_neighbors(
    engine: Engine,
    run_id: int | None = None,
    *,
    work_folder: Path,
    device: str = "cpu",
    shard_galaxies: int | None = None,
    progress: Progress = SILENT,
) -> UpdateReport:
    """Bring the lists of a run up to date with the embeddings and magnitudes of today.

    The lists are those that a rebuild would find; those that do not change are not written. An
    update that was killed goes on where it was when it is called again and the input is still the
    same; otherwise its remains are removed and it begins anew.

    Parameters
    ----------
    run_id
        None takes the published run of the active encoder.
    work_folder
        For the staged embeddings (2 d bytes for each galaxy), which go at the end.
    device
        Where lists are searched anew; see :class:`~skylike.neighbors.engine.search.SearchPlan`.
    shard_galaxies
        Most lists that are computed and written together.

    Raises
    ------
    NeighborRunNotFoundError
        There is no such run, it is not complete, or none is published.
    EmptyStageError
        The encoder has no embeddings any more, or all of them are zero.
    SettingsError
        The run was built by a release that kept no hashes of its input, or lists of its sample are
        wrong.
    ConflictError
        Another process brings a run of the encoder up to date, or readers hold the tables for long.
    """
    started = time.monotonic()
    with connect(engine) as connection:
        base = fetch_complete_run(connection, run_id)
        record = fetch_encoder(connection, base.encoder)
    settings = NeighborSettings(base.k, base.band, base.width)
    rows = shard_galaxies or SHARD_GALAXIES[device_kind(device)]
    plan = SearchPlan(k=base.k, device=device)
    job = BuildJob(engine, record, settings, plan, work_folder, rows, progress)
    with (
        hold_lock(engine, "neighbors update", record.name),
        open_session(engine) as session,
        staged_input(job, session) as given,
    ):
        join_run(session, base.run_id)
        with session.begin():
            base = store.fetch_run(session, base.run_id)
            changes = find_changes(_fetch_input(session, base), given.vectors)
        update = Update(job, session, base, given, changes, PlaceIndex(given.vectors))
        report = _bring_up_to_date(update, started) if changes else _confirm(update, started)
        given.folder.remove_unless_used()
    return report


def _fetch_input(session: Connection, base: NeighborRun) -> BaseInput:
    if base.recall != 1 or base.wrong_in_sample:
        raise SettingsError(
            f"neighbor run {base.run_id} has wrong lists in its sample and an update would keep "
            "them; run `skylike neighbors build` instead"
        )
    kept = store_check.fetch_input(session, base, np.empty(0, np.int32))
    if kept.hashes is None:
        raise SettingsError(
            f"neighbor run {base.run_id} was built by a release that did not keep what it read; "
            "run `skylike neighbors build` instead"
        )
    return BaseInput(kept.galaxy_ids, kept.hashes)


def _confirm(update: Update, started: float) -> UpdateReport:
    """Note that the lists are those of today's input; positions may have changed for statistics."""
    session, base = update.session, update.base
    with session.begin():
        if store.fetch_changes(session, base).changed_galaxies:
            _replace_statistics(update)
        store_updates.confirm_run(
            session,
            base.run_id,
            update.given.moment,
            n_excluded=update.given.vectors.n_excluded,
        )
    with session.begin():
        run = store.fetch_run(session, base.run_id)
    return UpdateReport(
        run=run,
        changes=update.changes,
        n_changed=0,
        verification=None,
        shards=0,
        shards_before=0,
        costs_a_rebuild=False,
        seconds=time.monotonic() - started,
    )


def _bring_up_to_date(update: Update, started: float) -> UpdateReport:
    session, base = update.session, update.base
    work = plan_work(update)
    if work.costs_a_rebuild:
        logger.info(
            "so many galaxies have changed that neighbor run %d could as well be built anew",
            base.run_id,
        )
    run = begin_update(update)
    shards = compute_lists(update, work, run)
    with session.begin():
        store_updates.prepare_lists(session, run.run_id)
        run_now = store.fetch_run(session, run.run_id)
    applied = AppliedLists(
        gone=update.changes.gone,
        n_new=len(update.changes.new),
        n_changed=run_now.galaxies_done - len(update.changes.new),
    )
    verification = _check_samples(update, run)
    with session.begin():
        if verification.is_perfect:
            store_updates.replace_lists(session, base, run.run_id, applied)
            _replace_statistics(update)
            sample = min(RECALL_SAMPLE, len(update.given.vectors))
            store_updates.finish_update(session, base, run_now, recall_sample=sample)
        else:
            logger.warning(
                "the update of run %d differs from float64: %s", base.run_id, verification
            )
            store.drop_run(session, run_now)
    with session.begin():
        # Seconds, however few lists have changed.
        if run_now.galaxies_done > ANALYZED_FRACTION * len(update.given.vectors):
            store_lists.analyze_lists(session)
        ended = store.fetch_run(session, base.run_id)
    return UpdateReport(
        run=ended,
        changes=update.changes,
        n_changed=applied.n_changed if verification.is_perfect else 0,
        verification=verification,
        shards=shards,
        shards_before=run.shards_done,
        costs_a_rebuild=work.costs_a_rebuild,
        seconds=time.monotonic() - started,
    )


def _check_samples(update: Update, run: NeighborRun) -> Verification:
    """Verify a sample of all lists and one of the changed ones, as they will be."""
    staged, session = update.given.vectors, update.session
    generator = np.random.default_rng((update.base.run_id, update.base.revision))
    everyone = generator.choice(
        staged.galaxy_ids, size=min(RECALL_SAMPLE, len(staged)), replace=False
    )
    with session.begin():
        changed = store_check.fetch_list_ids(session, run.run_id)
        some = generator.choice(changed, size=min(CHANGED_SAMPLE, len(changed)), replace=False)
        chosen = np.union1d(everyone, some)
        kept = np.setdiff1d(chosen, changed)
        stored = {
            **store_lists.fetch_lists(session, update.base.run_id, kept),
            **store_lists.fetch_lists(session, run.run_id, np.setdiff1d(chosen, kept)),
        }
    return compare_with_float64(update.job, run, staged, update.index.places(chosen), stored)


def _replace_statistics(update: Update) -> None:
    """Compute the statistics of the lists as the transaction sees them, and put them in place."""
    session, base = update.session, update.base
    with tempfile.TemporaryDirectory(dir=update.given.folder.path) as scratch:
        statistics = compute_statistics(
            session, base, update.given.vectors, folder=Path(scratch), progress=update.job.progress
        )
    store_statistics.write_statistics_table(session, base.run_id, statistics)
    store_statistics.attach_statistics(session, base.run_id)

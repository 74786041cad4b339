"""Steps of an update: what is to be done, the run that it is entered as, and its shards."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.database.engine import connect
from skylike.neighbors import store, store_updates
from skylike.neighbors.begin import StagedInput, run_values
from skylike.neighbors.engine.rescore import Lists
from skylike.neighbors.engine.search import NeighborSearch
from skylike.neighbors.engine.windows import magnitude_windows
from skylike.neighbors.job import BuildJob
from skylike.neighbors.shards import ShardLists, ShardPlan, work_shards
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.store_locks import hold_turn, join_run, refuse_if_worked_on
from skylike.neighbors.updates.changed_lists import UpdateWork, changed_lists
from skylike.neighbors.updates.changes import InputChanges, PlaceIndex

logger = logging.getLogger(__name__)

_NONE = np.empty(0, np.int64)
_NOTHING = Lists(_NONE, _NONE, _NONE, np.empty(0, np.float32))


@dataclass(frozen=True)
class Update:
    """An update under way."""

    job: BuildJob
    session: Connection
    base: NeighborRun
    given: StagedInput
    changes: InputChanges
    index: PlaceIndex
    """Of the staged galaxies."""


def plan_work(update: Update) -> UpdateWork:
    """Find out which lists are lost, and who could enter the others."""
    staged, changes, base = update.given.vectors, update.changes, update.base
    added = np.sort(update.index.places(np.concatenate([changes.new, changes.changed])))
    missed = np.concatenate([changes.changed, changes.gone])
    passes = 2 if len(missed) else 1
    with (
        update.session.begin(),
        update.job.progress.task("Reading lists", total=passes * (base.n_galaxies or 0)) as task,
    ):
        full, least = store_updates.fetch_floors(update.session, base.run_id, task, k=base.k)
        naming = store_updates.find_lists_naming(
            update.session, base.run_id, task, galaxy_ids=missed
        )
    is_lost = np.zeros(len(staged), np.bool_)
    is_lost[added] = True
    is_lost[update.index.places(np.setdiff1d(naming, changes.gone))] = True
    floors = np.full(len(staged), -np.inf)
    is_there = ~np.isin(full, changes.gone)
    floors[update.index.places(full[is_there])] = least[is_there]
    windows = magnitude_windows(staged.magnitudes, base.width)
    return UpdateWork(staged, windows, base.k, added, is_lost, floors)


def begin_update(update: Update) -> NeighborRun:
    """Find the unfinished update on the same input, or enter a new one; the session joins it."""
    session, base = update.session, update.base
    with hold_turn(session, base.encoder):
        with session.begin():
            run = store_updates.fetch_update(session, base)
            if run is not None and not _fits(run, update):
                what = f"update {run.run_id} of neighbor run {base.run_id} cannot be dropped"
                refuse_if_worked_on(session, run.run_id, what)
                logger.info("update %d was interrupted and its input has changed", run.run_id)
                store.drop_run(session, run)
                run = None
            if run is None:
                values = run_values(update.job, update.given)
                values |= {"base_run_id": base.run_id, "revision": base.revision}
                run = store.create_run(session, values)
        join_run(session, run.run_id)
    return run


def _fits(run: NeighborRun, update: Update) -> bool:
    same_input = run.software.get("input") == update.given.fingerprint
    return same_input and run.revision == update.base.revision


def compute_lists(update: Update, work: UpdateWork, run: NeighborRun) -> int:
    """Find and store the lists that differ; return the number of shards."""
    staged = work.staged
    galaxies, pairs = run.software["shard_galaxies"], run.software["shard_pairs"]
    assert isinstance(galaxies, int)  # noqa: S101 - run_values wrote them
    assert isinstance(pairs, int)  # noqa: S101
    cut = ShardPlan(work.windows, work.cut_shards(galaxies=galaxies, pairs=pairs))
    shards = range(len(cut))
    with (
        connect(update.job.engine) as reading,
        update.job.progress.task("Searching neighbors", total=len(staged)) as task,
        NeighborSearch(staged, work.windows, update.job.plan) as search,
        ThreadPoolExecutor(thread_name_prefix="neighbor-merge") as pool,
    ):

        def fetch(rows: npt.NDArray[np.int64]) -> Lists:
            ids = store_updates.fetch_neighbor_ids(
                reading, update.base.run_id, staged.galaxy_ids[rows]
            )
            lengths = np.array([len(own) for own in ids], np.int64)
            positions = update.index.places(np.concatenate(ids))
            return Lists(rows, lengths, positions, np.full(len(positions), np.nan, np.float32))

        def compute(shard: int) -> ShardLists:
            found = changed_lists(work, search, cut.rows(shard), fetch=fetch, pool=pool)
            lists = ShardLists.of(staged, [_NOTHING, *found])
            reading.rollback()
            task.advance(cut.count_rows([shard]))
            return lists

        work_shards(
            update.session,
            run.run_id,
            shards,
            compute=compute,
            pass_over=lambda shard: task.skip(cut.count_rows([shard])),
        )
    return len(shards)

"""Shards of a run: claimed, computed, written, by any number of processes at the same time.

Whatever computes lists shard by shard goes through :func:`work_shards`: it needs to know no more
than how to compute one shard. A build computes the rows between two bounds; an update may compute
any set of rows, as long as every process that works on the run gives a shard number the same rows.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.neighbors import store_lists
from skylike.neighbors.engine.rescore import Lists
from skylike.neighbors.engine.search import NeighborSearch, SearchPlan
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import Windows, cut_shards, magnitude_windows
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.store_locks import claim_shard, release_shard
from skylike.progress import Progress

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
"""Time between two looks at shards that other processes have claimed."""


@dataclass(frozen=True)
class ShardLists:
    """The lists of a shard as they are stored."""

    galaxy_ids: npt.NDArray[np.int32]
    """(q,) whose lists these are."""

    lengths: npt.NDArray[np.int64]
    """(q,) neighbors of each."""

    neighbor_ids: npt.NDArray[np.int32]
    """(sum of lengths,) one list after the other."""

    similarities: npt.NDArray[np.float32]
    """(sum of lengths,)"""

    @classmethod
    def of(cls, staged: StagedVectors, found: Iterable[Lists]) -> Self:
        """Join what a search found, with identifiers instead of places in magnitude order."""
        parts = list(found)
        return cls(
            galaxy_ids=staged.galaxy_ids[np.concatenate([part.rows for part in parts])],
            lengths=np.concatenate([part.lengths for part in parts]),
            neighbor_ids=staged.galaxy_ids[np.concatenate([part.positions for part in parts])],
            similarities=np.concatenate([part.similarities for part in parts]),
        )


@dataclass(frozen=True)
class ShardPlan:
    """How the rows of a run are cut: the same in every process, whatever its device."""

    windows: Windows
    bounds: npt.NDArray[np.int64]
    """(number of shards + 1,)"""

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def rows(self, shard: int) -> tuple[int, int]:
        """Return the first row of a shard, and the row after its last one."""
        return int(self.bounds[shard]), int(self.bounds[shard + 1])

    def count_rows(self, shards: Iterable[int]) -> int:
        """Count the rows of some shards."""
        return sum(last - first for first, last in map(self.rows, shards))


def plan_shards(run: NeighborRun, staged: StagedVectors) -> ShardPlan:
    """Cut the rows of a run as the process that entered it decided."""
    windows = magnitude_windows(staged.magnitudes, run.width)
    galaxies, pairs = run.software["shard_galaxies"], run.software["shard_pairs"]
    assert isinstance(galaxies, int)  # noqa: S101 - begin wrote them
    assert isinstance(pairs, int)  # noqa: S101
    return ShardPlan(windows, cut_shards(windows, galaxies=galaxies, pairs=pairs))


def search_shards(
    session: Connection,
    run: NeighborRun,
    staged: StagedVectors,
    shards: Sequence[int],
    *,
    plan: SearchPlan,
    progress: Progress,
) -> int:
    """Search the neighbors of the rows of these shards and store them; see :func:`work_shards`."""
    cut = plan_shards(run, staged)
    with (
        progress.task("Searching neighbors", total=cut.count_rows(shards)) as task,
        NeighborSearch(staged, cut.windows, plan) as search,
    ):

        def compute(shard: int) -> ShardLists:
            found = []
            for lists in search.lists(*cut.rows(shard)):
                found.append(lists)
                task.advance(len(lists.rows))
            return ShardLists.of(staged, found)

        return work_shards(
            session,
            run.run_id,
            shards,
            compute=compute,
            pass_over=lambda shard: task.skip(cut.count_rows([shard])),
        )


def work_shards(
    session: Connection,
    run_id: int,
    shards: Sequence[int],
    *,
    compute: Callable[[int], ShardLists],
    pass_over: Callable[[int], None],
) -> int:
    """Compute and store all of these shards that are not done, and return when all are.

    Any number of processes may be given the same shards: each shard is claimed by one of them. What
    another one has claimed is waited for, and taken over where it is killed. While a shard is
    computed the one before is written, so that a kill loses these two.

    Parameters
    ----------
    session
        From :func:`skylike.jobs.store_sessions.open_session`, after ``join_run``, in no
        transaction: it holds the claims and writes the lists, so that a lost connection can do
        neither.
    shards
        Numbers, in the order in which they are best computed: neighboring ones share most of their
        windows.
    compute
        Called in this thread with the number of a shard that nobody else has; returns its lists.
    pass_over
        Called with the number of each shard that another process, or an earlier one, has done.

    Returns
    -------
    int
        Shards that this call computed.
    """
    mine: set[int] = set()
    left = list(shards)
    with _Writer(session, run_id) as writer:
        while left:
            done = store_lists.fetch_finished_shards(session, run_id)
            session.rollback()
            for shard in left:
                if shard in done and shard not in mine:
                    pass_over(shard)
            left = [shard for shard in left if shard not in done]
            taken = _sweep(writer, left, compute)
            mine.update(taken)
            if left and not taken:
                time.sleep(_LOOK_S)
    return len(mine)


def _sweep(
    writer: "_Writer", shards: Sequence[int], compute: Callable[[int], ShardLists]
) -> list[int]:
    """Compute those shards that nobody holds."""
    taken = []
    free = writer.claims(shards)
    shard = next(free, None)
    while shard is not None:
        lists = compute(shard)
        writer.wait()
        following = next(free, None)
        writer.write(shard, lists)
        taken.append(shard)
        shard = following
    writer.wait()
    return taken


class _Writer:
    """Writes one shard in a thread of its own; whoever uses the session waits for it first."""

    def __init__(self, session: Connection, run_id: int) -> None:
        self._session, self._run_id = session, run_id
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="neighbor-lists")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def claims(self, shards: Sequence[int]) -> Iterator[int]:
        """Claim shards one by one, each when it is asked for."""
        for shard in shards:
            if claim_shard(self._session, self._run_id, shard):
                yield shard

    def write(self, shard: int, lists: ShardLists) -> None:
        """Begin to write; nobody may use the session until :meth:`wait` has returned."""
        self._pending = self._pool.submit(self._write, shard, lists)

    def wait(self) -> None:
        """Wait until the shard before is committed."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _write(self, shard: int, lists: ShardLists) -> None:
        with self._session.begin():
            store_lists.write_shard(
                self._session,
                self._run_id,
                shard,
                galaxy_ids=lists.galaxy_ids,
                neighbor_ids=lists.neighbor_ids,
                similarities=lists.similarities,
                lengths=lists.lengths,
            )
        release_shard(self._session, self._run_id, shard)
        logger.debug("shard %d of neighbor run %d is stored", shard, self._run_id)

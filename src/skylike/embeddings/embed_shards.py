"""Shards of embeddings: claimed, embedded, written, by any number of processes at once.

One thread claims shards ahead of the network (:mod:`skylike.embeddings.embed_network`), another
adds up and writes those that are embedded (:mod:`skylike.embeddings.embed_writer`).
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.embeddings.embed_job import EmbedOptions
from skylike.embeddings.embed_network import Batch, most_in_a_batch, run_network
from skylike.embeddings.embed_writer import EmbeddedCutouts, ShardWriter
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.store_locks import claim_shard, release_shard
from skylike.embeddings.store_pending import (
    SHARD_ROWS,
    PendingCutouts,
    Sight,
    fetch_pending,
    join_pending,
)
from skylike.images.index import CutoutFile
from skylike.jobs.store_sessions import SharedSession
from skylike.progress import Task

_LOOK_S: Final = 1.0
"""Time between two looks at shards that other processes have claimed."""


@dataclass(frozen=True)
class ShardWork:
    """What the shards of a job are made of, the same for each."""

    sight: Sight
    files: dict[int, CutoutFile]
    options: EmbedOptions


def embed_shards(
    session: SharedSession,
    work: ShardWork,
    encoder: TrainedEncoder,
    shards: Mapping[int, int],
    *,
    task: Task,
) -> int:
    """Embed and stage the pending cutouts of these shards; return when nobody has to any more.

    Any number of processes may be given the same shards: each is claimed by one of them. What
    another one has claimed is waited for, and taken over where it is killed.

    Parameters
    ----------
    session
        From :func:`skylike.jobs.store_sessions.open_session`, within ``join_work``: it holds the
        claims and writes the embeddings, so that a lost connection can do neither.
    shards
        Number of each shard, and of its pending cutouts when they were counted.

    Returns
    -------
    int
        Cutouts that this call embedded.

    Raises
    ------
    ImageFileError
        A file of cutouts is gone or damaged; what is staged is kept.
    """
    left, n_here = list(shards), 0
    layers = [record.layer for record in work.sight.records]
    with ShardWriter(session, work.sight, work.options.precision) as writer:
        while left:
            sweep = _Sweep(session, work, encoder, shards)
            # Closed here, whatever happens: the thread that claims uses the session too.
            with closing(run_network(sweep.batches(left), encoder, layers)) as batches:
                for batch in batches:
                    task.advance(len(batch.positions))
                    if batch.is_last:
                        writer.write(batch.embedded)
            writer.finish()
            task.skip(sweep.n_passed)
            n_here += sweep.n_taken
            left = sweep.busy
            if left and not sweep.n_taken:
                time.sleep(_LOOK_S)
    return n_here


class _Sweep:
    """One look at all shards that are left; its batches are made in the thread that claims."""

    def __init__(
        self,
        session: SharedSession,
        work: ShardWork,
        encoder: TrainedEncoder,
        shards: Mapping[int, int],
    ) -> None:
        self._session, self._work, self._counts = session, work, shards
        self._most = most_in_a_batch(encoder, work.options.batch_size)
        self._dimensions = [record.dimension for record in work.sight.records]
        self._inverts = encoder.input == "flux"
        self.busy: list[int] = []
        """Shards that another process has."""
        self.n_taken = 0
        """Cutouts that this process embeds."""
        self.n_passed = 0
        """Cutouts that were counted, and have been embedded by others since."""

    def batches(self, shards: Iterable[int]) -> Iterator[Batch]:
        """Claim shards and cut them; those of one set are written together."""
        numbers: list[int] = []
        parts: list[PendingCutouts] = []
        for shard in shards:
            cutouts = self._claim(shard)
            if cutouts is None:
                continue
            numbers.append(shard)
            parts.append(cutouts)
            # Where few cutouts of a shard are pending, one shard would be too little to write.
            if sum(len(part.index) for part in parts) >= SHARD_ROWS:
                yield from self._cut(numbers, parts)
                numbers, parts = [], []
        if parts:
            yield from self._cut(numbers, parts)

    def _claim(self, shard: int) -> PendingCutouts | None:
        """Take a shard and fetch what is pending of it; None where that is not for us."""
        sight = self._work.sight
        with self._session.use() as session:
            if not claim_shard(session, sight.records, shard):
                self.busy.append(shard)
                return None
            # Asked after the lock was had: who held it before may have staged the shard meanwhile.
            with session.begin():
                cutouts = fetch_pending(session, sight, shard, self._work.files)
            if not len(cutouts.index):
                release_shard(session, sight.records, shard)
        self.n_taken += len(cutouts.index)
        self.n_passed += max(0, self._counts[shard] - len(cutouts.index))
        return cutouts if len(cutouts.index) else None

    def _cut(self, numbers: list[int], parts: list[PendingCutouts]) -> Iterator[Batch]:
        cutouts = join_pending(parts)
        n = len(cutouts.index)
        rows = [np.zeros((n, dimension), np.float16) for dimension in self._dimensions]
        embedded = EmbeddedCutouts(numbers, cutouts, rows, np.zeros(n, np.bool_))
        groups = [
            (kind, positions)
            for kind in ("flux", "rgb")
            for positions in _cut(cutouts.index.of_kind(kind), self._most)
        ]
        for number, (kind, positions) in enumerate(groups, start=1):
            embedded.is_inverted[positions] = kind == "rgb" and self._inverts
            yield Batch(embedded, positions, kind, is_last=number == len(groups))


def _cut(positions: npt.NDArray[np.int64], most: int) -> list[npt.NDArray[np.int64]]:
    """Cut positions into batches of nearly the same size: a small last one wastes a GPU."""
    if not len(positions):
        return []
    return np.array_split(positions, -(-len(positions) // most))

"""Writing embedded shards, in a thread of its own, and adding up what was written."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.embeddings import store_staging, store_sums
from skylike.embeddings.compact import Moments
from skylike.embeddings.encoder import Precision
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_locks import release_shard
from skylike.embeddings.store_pending import PendingCutouts, Sight
from skylike.embeddings.store_staging import Shard
from skylike.jobs.store_sessions import SharedSession

SUM_EVERY: Final = 64
"""Writings between two of the sums (17 MB for the paper's dimension); a kill loses the sums since
the last, and those shards are read once more when the axes are computed."""


@dataclass
class EmbeddedCutouts:
    """The cutouts of one or more shards, filled batch by batch."""

    shards: list[int]
    """Numbers of the shards, claimed by this process."""

    cutouts: PendingCutouts

    rows: list[npt.NDArray[np.float16]]
    """(n, d) of each encoder; a row of zeros where an image gives nothing."""

    is_inverted: npt.NDArray[np.bool_]
    """(n,)"""

    def shard_of(self, encoder: int) -> Shard:
        """Return what is to be staged of an encoder: what it lacked."""
        wanted, index = self.cutouts.is_wanted[encoder], self.cutouts.index
        return Shard(
            galaxy_id=index.galaxy_id[wanted],
            cutout_id=index.cutout_id[wanted],
            vectors=self.rows[encoder][wanted],
            is_inverted=self.is_inverted[wanted],
        )


@dataclass
class _Sums:
    moments: Moments
    sum_id: int | None = None
    shards: list[int] = field(default_factory=list)
    """Staged since the sums were written."""


class ShardWriter:
    """Writes one set of shards while the next is embedded; used in a ``with`` block."""

    def __init__(self, session: SharedSession, sight: Sight, precision: Precision) -> None:
        self._session, self._sight, self._precision = session, sight, precision
        self._sums = [_Sums(Moments(record.dimension)) for record in sight.records]
        self._pool = ThreadPoolExecutor(1, "skylike-write")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown()

    def write(self, embedded: EmbeddedCutouts) -> None:
        """Begin to write, once what came before is written."""
        self._wait()
        self._pending = self._pool.submit(self._write, embedded)

    def finish(self) -> None:
        """Return when all is written, the sums too."""
        self._wait()
        self._write_sums(at_least=1)

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _write(self, embedded: EmbeddedCutouts) -> None:
        records = self._sight.records
        shards = [embedded.shard_of(number) for number in range(len(records))]
        with self._session.use() as session:
            with session.begin():
                store_staging.commit_without_waiting(session)
                for record, shard, sums in zip(records, shards, self._sums, strict=True):
                    if len(shard.galaxy_id):
                        sums.shards.append(self._stage(session, record, shard))
            for number in embedded.shards:
                release_shard(session, records, number)
        for shard, sums in zip(shards, self._sums, strict=True):
            sums.moments.add(shard.vectors[shard.vectors.any(axis=1)])
        self._write_sums(at_least=SUM_EVERY)

    def _stage(self, session: Connection, record: EncoderRecord, shard: Shard) -> int:
        return store_staging.stage_shard(
            session, record, shard, as_of=self._sight.as_of, precision=self._precision
        )

    def _write_sums(self, *, at_least: int) -> None:
        for record, sums in zip(self._sight.records, self._sums, strict=True):
            if len(sums.shards) < at_least:
                continue
            with self._session.use() as session, session.begin():
                sums.sum_id = store_sums.write_sums(
                    session, record, sums.moments, sums.shards, sum_id=sums.sum_id
                )
            sums.shards = []

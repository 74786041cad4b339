"""Shards of embeddings: claimed, read, embedded, written, by any number of processes at once.

Three things go on at the same time: one thread claims shards and reads the pixels that the network
sees, ahead of it; this thread runs the network; a third adds up and writes the shard before. On a
GPU the result of a batch is fetched while the next one computes.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from skylike.embeddings.embed_job import EmbedOptions
from skylike.embeddings.embed_writer import EmbeddedCutouts, ShardWriter
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.prefetch import prefetch
from skylike.embeddings.store import Layer
from skylike.embeddings.store_locks import claim_shard, release_shard
from skylike.embeddings.store_pending import (
    SHARD_ROWS,
    PendingCutouts,
    Sight,
    fetch_pending,
    join_pending,
)
from skylike.images.centers import CenterReader
from skylike.images.index import CutoutFile
from skylike.jobs.store_sessions import SharedSession
from skylike.processors import count_cores
from skylike.progress import Task

READ_AHEAD: Final = 3
"""Batches read before the network asks for them: 84 MB of the paper's crops."""

MOST_READERS: Final = 8
"""Threads that read for a GPU. For a processor it is one: the network needs the others."""

_LOOK_S: Final = 1.0
"""Time between two looks at shards that other processes have claimed."""


@dataclass(frozen=True)
class ShardWork:
    """What the shards of a job are made of, the same for each."""

    sight: Sight
    files: dict[int, CutoutFile]
    options: EmbedOptions


@dataclass(frozen=True)
class _Batch:
    """Pixels of some cutouts of a set of shards."""

    embedded: EmbeddedCutouts
    """Where the rows go."""

    positions: npt.NDArray[np.int64]
    pixels: torch.Tensor
    kind: str
    is_last: bool
    """Of the set."""


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
    readers = min(MOST_READERS, count_cores()) if encoder.device.startswith("cuda") else 1
    with (
        CenterReader(encoder.window, threads=readers) as reader,
        ShardWriter(session, work.sight, work.options.precision) as writer,
    ):
        while left:
            sweep = _Sweep(session, work, encoder, reader, shards)
            # Closed here, whatever happens: the thread that reads uses the session too.
            with closing(prefetch(sweep.batches(left), depth=READ_AHEAD)) as batches:
                for batch in _run_network(batches, encoder, work.sight):
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
    """One look at all shards that are left; its batches are made in the thread that reads."""

    def __init__(
        self,
        session: SharedSession,
        work: ShardWork,
        encoder: TrainedEncoder,
        reader: CenterReader,
        shards: Mapping[int, int],
    ) -> None:
        self._session, self._work, self._reader, self._counts = session, work, reader, shards
        self._device = encoder.device
        self._dimensions = [record.dimension for record in work.sight.records]
        self._inverts = encoder.input == "flux"
        self.busy: list[int] = []
        """Shards that another process has."""
        self.n_taken = 0
        """Cutouts that this process embeds."""
        self.n_passed = 0
        """Cutouts that were counted, and have been embedded by others since."""

    def batches(self, shards: Iterable[int]) -> Iterator[_Batch]:
        """Claim and read shards; those of one set are written together."""
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
                yield from self._read(numbers, parts)
                numbers, parts = [], []
        if parts:
            yield from self._read(numbers, parts)

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

    def _read(self, numbers: list[int], parts: list[PendingCutouts]) -> Iterator[_Batch]:
        cutouts = join_pending(parts)
        n = len(cutouts.index)
        rows = [np.zeros((n, dimension), np.float16) for dimension in self._dimensions]
        embedded = EmbeddedCutouts(numbers, cutouts, rows, np.zeros(n, np.bool_))
        groups = [
            (kind, positions)
            for kind in ("flux", "rgb")
            for positions in _cut(cutouts.index.of_kind(kind), self._work.options.batch_size)
        ]
        for number, (kind, positions) in enumerate(groups, start=1):
            embedded.is_inverted[positions] = kind == "rgb" and self._inverts
            pixels = torch.from_numpy(self._reader.read(cutouts.index, positions))
            if self._device.startswith("cuda"):
                pixels = pixels.pin_memory()
            yield _Batch(embedded, positions, pixels, kind, is_last=number == len(groups))


def _cut(positions: npt.NDArray[np.int64], most: int) -> list[npt.NDArray[np.int64]]:
    """Cut positions into batches of nearly the same size: a small last one wastes a GPU."""
    if not len(positions):
        return []
    return np.array_split(positions, -(-len(positions) // most))


def _run_network(
    batches: Iterable[_Batch], encoder: TrainedEncoder, sight: Sight
) -> Iterator[_Batch]:
    """Run the network on each batch, and yield it when its rows are where they belong."""
    layers: list[Layer] = [record.layer for record in sight.records]
    before: _Running | None = None
    for batch in batches:
        running = _Running(batch, encoder, layers)
        if before is not None:
            yield before.finish()
        before = running
    if before is not None:
        yield before.finish()


class _Running:
    """A batch whose rows a GPU may still be computing."""

    def __init__(self, batch: _Batch, encoder: TrainedEncoder, layers: list[Layer]) -> None:
        self._batch = batch
        found = encoder.embed_windows(batch.pixels, batch.kind, layers)
        self._event: torch.cuda.Event | None = None
        self._rows = [found[layer].to(torch.float16) for layer in layers]  # (b, d) each
        if encoder.device.startswith("cuda"):
            self._rows = [_to_host(rows) for rows in self._rows]
            self._event = torch.cuda.current_stream(encoder.device).record_event()

    def finish(self) -> _Batch:
        if self._event is not None:
            self._event.synchronize()
        batch = self._batch
        for target, rows in zip(batch.embedded.rows, self._rows, strict=True):
            target[batch.positions] = rows.numpy()
        return batch


def _to_host(rows: torch.Tensor) -> torch.Tensor:
    host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
    return host.copy_(rows, non_blocking=True)

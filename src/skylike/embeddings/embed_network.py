"""Batches through the network, with everything around it out of its way.

On a GPU a thread reads ahead, and the rows of a batch are fetched while the next one computes. On
processors each core takes batches of its own, from the file to the rows: faster than all cores on
one batch, which wait for each other at every layer (measured with two cores, images/s: ``small``
2,400 and 1,900, ``paper`` 72 and 55), and nothing else has to find a core for itself. Batch
normalization is folded into the convolutions before it.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from threading import local
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from skylike.embeddings.embed_writer import EmbeddedCutouts
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.folding import fold_normalization
from skylike.embeddings.prefetch import prefetch
from skylike.embeddings.store import Layer
from skylike.images.centers import CenterReader
from skylike.processors import count_cores

READ_AHEAD: Final = 3
"""Batches read before a GPU asks for them: 84 MB of the paper's crops."""

MOST_READERS: Final = 8
"""Threads that read a batch for a GPU."""

CORE_BATCH: Final = 128
"""Images that one core embeds together, at most: more gain little, and are lost by a kill."""


@dataclass(frozen=True)
class Batch:
    """Some cutouts of a set of shards, all of one kind."""

    embedded: EmbeddedCutouts
    """Where the rows go."""

    positions: npt.NDArray[np.int64]
    """(b,)"""

    kind: str
    is_last: bool
    """Of the set."""

    def read(self, reader: CenterReader) -> torch.Tensor:
        """Read the pixels that the network sees, (b, 3, w, w)."""
        return torch.from_numpy(reader.read(self.embedded.cutouts.index, self.positions))

    def put(self, rows: Iterable[torch.Tensor]) -> None:
        """Put the rows (b, d) of each encoder, in main memory, where they belong."""
        for target, found in zip(self.embedded.rows, rows, strict=True):
            target[self.positions] = found.numpy()


def most_in_a_batch(encoder: TrainedEncoder, batch_size: int) -> int:
    """Return how many images go through the network together, of so many allowed."""
    return batch_size if _is_gpu(encoder) else min(batch_size, CORE_BATCH)


def run_network(
    batches: Iterator[Batch], encoder: TrainedEncoder, layers: Sequence[Layer]
) -> Generator[Batch, None, None]:
    """Run the network on batches; yield each when its rows are in their place, in the same order.

    Batches are asked for in another thread. Closing the generator ends all threads.

    Raises
    ------
    ImageFileError
        A file of cutouts is gone or damaged.
    """
    folded = replace(encoder, network=fold_normalization(encoder.network))
    return (_on_gpu if _is_gpu(encoder) else _on_cores)(batches, folded, layers)


def _is_gpu(encoder: TrainedEncoder) -> bool:
    return encoder.device.startswith("cuda")


def _on_cores(
    batches: Iterator[Batch], encoder: TrainedEncoder, layers: Sequence[Layer]
) -> Generator[Batch, None, None]:
    cores = torch.get_num_threads()
    mine, readers = local(), list[CenterReader]()

    def begin() -> None:
        torch.set_num_threads(1)  # of this thread
        mine.reader = CenterReader(encoder.window)
        readers.append(mine.reader)

    def run(batch: Batch) -> Batch:
        found = encoder.embed_windows(batch.read(mine.reader), batch.kind, layers)
        batch.put(found[layer].to(torch.float16) for layer in layers)
        return batch

    running: deque[Future[Batch]] = deque()
    pool = ThreadPoolExecutor(cores, "skylike-embed", initializer=begin)
    try:
        with closing(prefetch(batches)) as ahead:
            for batch in ahead:
                running.append(pool.submit(run, batch))
                if len(running) > cores + 1:  # one for each, and two that wait
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        for reader in readers:
            reader.close()
        torch.set_num_threads(cores)  # threads that begin later took what was set last


def _on_gpu(
    batches: Iterator[Batch], encoder: TrainedEncoder, layers: Sequence[Layer]
) -> Generator[Batch, None, None]:
    with CenterReader(encoder.window, threads=min(MOST_READERS, count_cores())) as reader:
        read = ((batch, batch.read(reader).pin_memory()) for batch in batches)
        before: _Running | None = None
        with closing(prefetch(read, depth=READ_AHEAD)) as ahead:
            for batch, pixels in ahead:
                running = _Running(batch, pixels, encoder, layers)
                if before is not None:
                    yield before.finish()
                before = running
            if before is not None:
                yield before.finish()


class _Running:
    """A batch whose rows a GPU may still be computing."""

    def __init__(
        self, batch: Batch, pixels: torch.Tensor, encoder: TrainedEncoder, layers: Sequence[Layer]
    ) -> None:
        self._batch = batch
        found = encoder.embed_windows(pixels, batch.kind, layers)
        self._rows = [_to_host(found[layer].to(torch.float16)) for layer in layers]
        self._event = torch.cuda.current_stream(encoder.device).record_event()

    def finish(self) -> Batch:
        self._event.synchronize()
        self._batch.put(self._rows)
        return self._batch


def _to_host(rows: torch.Tensor) -> torch.Tensor:
    host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
    return host.copy_(rows, non_blocking=True)

"""The images of a training run in half precision: all in memory, or window after window.

HDF5 files are read by threads: h5py lets other threads run while it reads, so that reading and
converting go on beside the training (``benchmarks/encoder.py``).
"""

import hashlib
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from skylike.embeddings.preprocess import BANDS, Preprocessing, to_canvas
from skylike.embeddings.training import distributed
from skylike.images.index import CutoutIndex
from skylike.images.read import BLOCK_ROWS, read_pixels
from skylike.progress import SILENT, Progress

MEMORY_BYTES: Final = 2 << 30
"""Canvases held at a time: 15,500 of full resolution. More images are read again in every epoch."""

READERS: Final = 2
"""Threads that read and convert. HDF5 reads one block at a time for all of them."""

Positions = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """What one process has of the batch of a step.

    Attributes
    ----------
    step
        From 0.
    positions
        (b,) int64, positions in the index.
    canvases
        (b, 3, s, s) float16 in main memory, see :class:`Preprocessing`.
    """

    step: int
    positions: Positions
    canvases: torch.Tensor


@dataclass(frozen=True)
class _Window:
    """Images that are read, or being read, into one block of memory."""

    held: Positions  # (w,) fluxes first, each kind in the order of the disk
    canvases: torch.Tensor  # (w, 3, s, s)
    blocks: list[Future[int]]

    def take(self, positions: Positions, *, pinned: bool = False) -> torch.Tensor:
        """Copy the canvases (b, 3, s, s) at some positions, waiting until they are read."""
        for block in self.blocks:
            block.result()
        sorter = np.argsort(self.held)
        place = sorter[np.searchsorted(self.held, positions, sorter=sorter)]
        shape = (len(place), *self.canvases.shape[1:])
        out = torch.empty(shape, dtype=self.canvases.dtype, pin_memory=pinned)
        return torch.index_select(self.canvases, 0, torch.from_numpy(place), out=out)


@dataclass
class TrainingSet:
    """Chosen images in the order in which epochs need them."""

    index: CutoutIndex
    """The images, from :func:`skylike.embeddings.training.selection.choose_images`."""

    preprocessing: Preprocessing
    """Makes canvases of them."""

    memory_bytes: int = field(default_factory=lambda: MEMORY_BYTES)
    """How much of them may be held."""

    progress: Progress = SILENT
    """Told about reading all of them at the start."""

    _whole: _Window | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Note which images are pictures."""
        self.is_picture: npt.NDArray[np.bool_] = np.zeros(len(self.index), dtype=bool)
        self.is_picture[self.index.of_kind("rgb")] = True

    def __len__(self) -> int:
        return len(self.index)

    @property
    def fingerprint(self) -> str:
        """Tell these images from others: a hash of their identifiers."""
        return hashlib.sha256(self.index.cutout_id.astype("<i4").tobytes()).hexdigest()[:16]

    @property
    def fits_in_memory(self) -> bool:
        """Tell whether all images are held at a time."""
        return len(self) * self._bytes_each <= self.memory_bytes

    @property
    def _bytes_each(self) -> int:
        return 2 * len(BANDS) * self.preprocessing.canvas_size**2

    def window(self, batch_size: int) -> int:
        """Return among how many images an epoch is shuffled: all, or whole batches.

        Two windows are in memory: one in use, one being read.
        """
        if self.fits_in_memory:
            return len(self)
        fits = max(self.memory_bytes // (2 * self._bytes_each), batch_size)
        return min(fits - fits % batch_size, len(self))

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the whole batches of an epoch; each time others are left over."""
        return len(self) // batch_size

    def positions_at(self, step: int, batch_size: int, *, seed: int) -> Positions:
        """Return the positions (batch_size,) of the whole batch of a step, of all processes."""
        epoch, within = divmod(step, self.steps_per_epoch(batch_size))
        order = epoch_order(len(self), self.window(batch_size), seed=seed, epoch=epoch)
        return order[within * batch_size : (within + 1) * batch_size]

    def batches(
        self, batch_size: int, *, seed: int, steps: range, pinned: bool = False
    ) -> Generator[Batch, None, None]:
        """Yield the batches of some steps, each this process's part.

        The order depends on the seed and the epoch alone. Images that do not fit in memory are
        shuffled in blocks of neighbors on disk, and within the windows that these blocks fill;
        the next window is read while one is used.

        Parameters
        ----------
        batch_size
            Of all processes together.
        pinned
            Put the canvases where a GPU copies them from without waiting.
        """
        plan = self._windows(batch_size, seed, steps)
        if self.fits_in_memory:
            yield from self._batches_in_memory(plan, steps.start, pinned=pinned)
        else:
            yield from self._batches_read_ahead(plan, steps.start, pinned=pinned)

    def _windows(self, batch_size: int, seed: int, steps: range) -> Iterator[list[Positions]]:
        """Yield what this process has of the batches of window after window."""
        per_epoch = self.steps_per_epoch(batch_size)
        window = self.window(batch_size)
        per_window = max(window // batch_size, 1)
        part = slice(distributed.rank(), None, distributed.size())
        step = steps.start
        while step < steps.stop:
            epoch, within = divmod(step, per_epoch)
            if within == 0 or step == steps.start:
                order = epoch_order(len(self), window, seed=seed, epoch=epoch)
            last = min(within - within % per_window + per_window, per_epoch)
            last = min(last, within + steps.stop - step)
            yield [order[k * batch_size : (k + 1) * batch_size][part] for k in range(within, last)]
            step += last - within

    def _batches_in_memory(
        self, plan: Iterator[list[Positions]], step: int, *, pinned: bool
    ) -> Iterator[Batch]:
        whole = self._read_whole()
        for window in plan:
            for positions in window:
                yield Batch(step, positions, whole.take(positions, pinned=pinned))
                step += 1

    def _batches_read_ahead(
        self, plan: Iterator[list[Positions]], step: int, *, pinned: bool
    ) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(READERS, thread_name_prefix="skylike-read")
        try:
            following = self._begin_window(pool, next(plan, []))
            while following is not None:
                window, batches = following
                following = self._begin_window(pool, next(plan, []))
                for positions in batches:
                    yield Batch(step, positions, window.take(positions, pinned=pinned))
                    step += 1
                del window  # before the memory of one more is taken
        finally:
            pool.shutdown(cancel_futures=True)

    def _begin_window(
        self, pool: ThreadPoolExecutor, batches: list[Positions]
    ) -> tuple[_Window, list[Positions]] | None:
        if not batches:
            return None
        return self._begin(pool, np.concatenate(batches)), batches

    def sample(self, positions: Positions) -> torch.Tensor:
        """Return the canvases (b, 3, s, s) float16 at some positions, in their order."""
        if self.fits_in_memory:
            return self._read_whole().take(positions)
        return self.read(positions)

    def read(self, positions: Positions) -> torch.Tensor:
        """Read canvases (b, 3, s, s) float16 in the order of ``positions``, each once."""
        with ThreadPoolExecutor(READERS, thread_name_prefix="skylike-read") as pool:
            return self._begin(pool, positions).take(positions)

    def _read_whole(self) -> _Window:
        if self._whole is None:
            n = len(self)
            with (
                self.progress.task("reading images", total=n, unit="images") as task,
                ThreadPoolExecutor(READERS, thread_name_prefix="skylike-read") as pool,
            ):
                window = self._begin(pool, np.arange(n))
                for block in window.blocks:
                    task.advance(block.result())
            self._whole = _Window(window.held, window.canvases, [])
        return self._whole

    def _begin(self, pool: ThreadPoolExecutor, positions: Positions) -> _Window:
        """Let the threads read the images at some positions, in large blocks."""
        kinds = [np.sort(positions[self.is_picture[positions] == is_rgb]) for is_rgb in (0, 1)]
        size = self.preprocessing.canvas_size
        with torch.inference_mode(mode=False):  # the readers' threads are in no inference mode
            canvases = torch.empty(len(positions), len(BANDS), size, size, dtype=torch.float16)
        blocks, done = [], 0
        for kind, held in zip(("flux", "rgb"), kinds, strict=True):
            for start in range(0, len(held), BLOCK_ROWS):
                wanted = held[start : start + BLOCK_ROWS]
                out = canvases[done : done + len(wanted)]
                blocks.append(pool.submit(self._read_block, wanted, kind, out))
                done += len(wanted)
        return _Window(np.concatenate(kinds), canvases, blocks)

    def _read_block(self, positions: Positions, kind: str, out: torch.Tensor) -> int:
        """Read one block (b, 3, s, s) and return its length.

        Float16 rounds by 0.05 percent, finer than the noise; what is too bright for it is cut.
        """
        pixels = torch.from_numpy(read_pixels(self.index, positions).pixels)
        canvas = to_canvas(pixels, kind, self.preprocessing)
        limit = torch.finfo(torch.float16).max
        out.copy_(canvas.clamp_(-limit, limit))
        return len(positions)


def epoch_order(n: int, window: int, *, seed: int, epoch: int) -> Positions:
    """Return a random order of n images; each window of it comes from few blocks on disk."""
    generator = np.random.default_rng((seed, epoch))
    if window >= n:
        return generator.permutation(n)
    blocks = [np.arange(start, min(start + BLOCK_ROWS, n)) for start in range(0, n, BLOCK_ROWS)]
    order = np.concatenate([blocks[i] for i in generator.permutation(len(blocks))])
    return np.concatenate(
        [generator.permutation(order[start : start + window]) for start in range(0, n, window)]
    )

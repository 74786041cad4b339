"""Rows of staged vectors on a device: as stored, and centered, scaled and rounded to 16 bits.

With z = x / |x| - center, a row of the screening matrix is h = float16(scale z), and behind it
|h|^2 / 2, negative, in three float16 numbers that together hold 33 bits. Behind the same row as a
*query* stand the weights of the three, so that one matrix product computes
h_i . h_j - |h_j|^2 / 2 with no second pass over the scores.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from skylike.neighbors.engine.torch_kernels import center_rows
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.processors import count_cores

ALIGNMENT: Final = 64
"""Rows come in groups of so many, at multiples of it: segments of columns never end in between."""

PIECE_ROWS: Final = 8192
"""Rows uploaded and converted in one step: 32 MB at d = 2048."""

_COPIERS: Final = min(8, count_cores())
"""Threads that read staged vectors: eight copy faster than a GPU's bus takes it."""

_BIAS_WEIGHTS: Final = (4096.0, 2.0, 2.0**-10)
"""|h|^2 / 2 is at most 2^27 at the largest scale; each part divided by its weight fits float16."""

_LARGEST_SCALE: Final = 2.0**13

CONVERSION_ERROR: Final = 2.0**-22
"""Of |z| in single precision: 1 / |x|, its product with x, and the subtraction, 2^-24 each of at
most 1, 1 and 2. (The center may be any vector; that it is rounded as well does not matter.)"""


@dataclass(frozen=True)
class Rows:
    """Rows on a device.

    Attributes
    ----------
    vectors
        (n, d) float16 as stored.
    screening
        (n, p) float16: h, and what the product needs behind it.
    squares
        (n,) float32 |h|^2.
    errors
        (n,) float32 |h - scale z|, what the rounding to 16 bits did to each row.
    """

    vectors: torch.Tensor
    screening: torch.Tensor
    squares: torch.Tensor
    errors: torch.Tensor

    @classmethod
    def empty(cls, n: int, dimension: int, device: torch.device) -> "Rows":
        """Take memory for n rows."""
        width = screening_width(dimension)
        return cls(
            torch.empty(n, dimension, dtype=torch.float16, device=device),
            torch.zeros(n, width, dtype=torch.float16, device=device),
            torch.empty(n, dtype=torch.float32, device=device),
            torch.empty(n, dtype=torch.float32, device=device),
        )

    def take(self, place: slice | torch.Tensor) -> "Rows":
        """Return some rows: a view for a slice, a copy for places (q,)."""
        return Rows(
            self.vectors[place], self.screening[place], self.squares[place], self.errors[place]
        )

    def as_queries(self) -> "Rows":
        """Return the same rows with the weights of the columns' halved squares behind them."""
        screening = self.screening.clone()
        d = self.vectors.shape[1]
        screening[:, d:] = 0
        weights = torch.tensor(_BIAS_WEIGHTS, dtype=torch.float16, device=screening.device)
        screening[:, d : d + len(_BIAS_WEIGHTS)] = weights
        return Rows(self.vectors, screening, self.squares, self.errors)


def screening_width(dimension: int) -> int:
    """Return the columns of the screening matrix: a multiple of 8, as tensor cores want it."""
    return -(-(dimension + len(_BIAS_WEIGHTS)) // 8) * 8


def bytes_of_row(dimension: int) -> int:
    """Return the memory of one of the :class:`Rows`."""
    return 2 * dimension + 2 * screening_width(dimension) + 8


def choose_scale(staged: StagedVectors) -> float:
    """Return the power of two that makes entries of scale z about 1 in size.

    The mean of |z|^2 is 1 - |center|^2 where the center is the mean of the unit vectors. Unscaled,
    what distinguishes embeddings with cosines of 0.9999 would fall among the subnormal numbers.
    """
    typical = np.sqrt(max(1.0 - float(staged.center @ staged.center), 2.0**-40))
    scale = 2.0 ** np.round(np.log2(np.sqrt(staged.dimension) / typical))
    return float(np.clip(scale, 1.0, _LARGEST_SCALE))


class Converter:
    """Turns stored vectors into :class:`Rows` where they are; knows the largest rounding error."""

    def __init__(self, staged: StagedVectors, device: torch.device) -> None:
        self.scale = choose_scale(staged)
        self.floor = 0.01 * float(np.sqrt(staged.dimension))
        """Rows shorter than this count as so long: a hundredth of what is typical."""
        self.ratio = torch.zeros((), device=device)
        """Largest |h - scale z| / max(|h|, floor) of all rows converted so far."""
        self._center = torch.as_tensor(staged.center, device=device).float() * self.scale
        # One more group: the last one may be filled up.
        padded = np.ones(len(staged) + ALIGNMENT)
        padded[: len(staged)] = staged.norms
        self.norms = torch.as_tensor(padded, device=device)

    def __call__(self, rows: Rows, places: slice | torch.Tensor) -> None:
        """Fill in all but ``vectors`` of rows that stand at ``places`` in magnitude order."""
        d = rows.vectors.shape[1]
        factor = (self.scale / self.norms[places]).float()
        squares, errors = center_rows(rows.vectors, factor, self._center, rows.screening)
        rows.squares.copy_(squares)
        rows.errors.copy_(errors)
        rest = squares / -2
        for column, weight in enumerate(_BIAS_WEIGHTS, start=d):
            part = (rest / weight).half()
            rows.screening[:, column] = part
            rest = rest - part.float() * weight
        relative = errors / squares.sqrt().clamp(min=self.floor)
        self.ratio.copy_(torch.maximum(self.ratio, relative.max()))


class ResidentRows:
    """An interval of rows in magnitude order, kept on the device while windows slide over it.

    Row p lies at place ``p % capacity``. New rows are loaded at either end in the background, on a
    GPU through two pinned buffers and on a stream of their own, and drive out rows at the other
    end. Where all windows fit, each row is loaded once in a whole search.
    """

    def __init__(self, staged: StagedVectors, device: torch.device, *, capacity: int) -> None:
        self._staged, self._device = staged, device
        self.n_padded = -(-len(staged) // ALIGNMENT) * ALIGNMENT
        self.capacity = min(capacity // ALIGNMENT * ALIGNMENT, self.n_padded)
        self.convert = Converter(staged, device)
        self.rows = Rows.empty(self.capacity, staged.dimension, device)
        self.first = self.stop = 0
        """The interval, what is still being loaded included."""
        self.loaded_rows = 0
        """Rows loaded so far, each as often as it was."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._copiers = ThreadPoolExecutor(_COPIERS, thread_name_prefix="read")
        self._loading: Future[None] | None = None
        self._is_cuda = device.type == "cuda"
        if self._is_cuda:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch has no types here
            self._buffers = [
                torch.empty(PIECE_ROWS, staged.dimension, dtype=torch.float16, pin_memory=True)
                for _ in range(2)
            ]
            self._sent = [
                torch.cuda.Event()  # type: ignore[no-untyped-call] # nor here
                for _ in range(2)
            ]

    def close(self) -> None:
        """Stop the loading thread."""
        self._pool.shutdown()
        self._copiers.shutdown()

    def driven_out(self, first: int, stop: int) -> tuple[int, int]:
        """Return the interval of resident rows that ``load(first, stop)`` would overwrite."""
        kept_first, kept_stop = self._after(first, stop)
        if kept_first > self.first:
            return self.first, min(kept_first, self.stop)
        return max(kept_stop, self.first), self.stop

    def load(self, first: int, stop: int) -> None:
        """Begin to load what is missing of ``first .. stop``, multiples of the alignment.

        Nothing that was launched after the last call may still use the rows that are driven out.
        """
        if first >= self.first and stop <= self.stop:
            return
        self.wait()
        before = (self.first, self.stop)
        self.first, self.stop = self._after(first, stop)
        if self.first >= before[1] or self.stop <= before[0]:
            missing = [(self.first, self.stop)]
        else:
            missing = [(self.first, before[0]), (before[1], self.stop)]
        launched = None
        if self._is_cuda:
            launched = torch.cuda.current_stream(self._device).record_event()
        self._loading = self._pool.submit(self._load, missing, launched)

    def wait(self) -> None:
        """Wait until all is loaded; on a GPU, what is launched from now on finds it there."""
        if self._loading is None:
            return
        self._loading.result()
        self._loading = None
        if self._is_cuda:
            torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def pieces(self, first: int, stop: int) -> Iterator[tuple[int, Rows]]:
        """Return resident rows in stretches that lie together, each with its first row's place."""
        while first < stop:
            slot = first % self.capacity
            size = min(stop - first, self.capacity - slot)
            yield first, self.rows.take(slice(slot, slot + size))
            first += size

    def gather(self, places: npt.NDArray[np.int64]) -> Rows:
        """Copy any rows (q,): resident ones on the device, otherwise from the staged vectors."""
        self.wait()
        where = torch.as_tensor(places, device=self._device)
        if len(places) and places[0] >= self.first and places[-1] < self.stop:
            return self.rows.take(where % self.capacity)
        own = Rows.empty(len(places), self._staged.dimension, self._device)
        for begin in range(0, len(places), PIECE_ROWS):
            piece = slice(begin, begin + PIECE_ROWS)
            own.vectors[piece] = torch.from_numpy(self._staged.vectors[places[piece]]).to(
                self._device
            )
            self.convert(own.take(piece), where[piece])
        return own

    def _after(self, first: int, stop: int) -> tuple[int, int]:
        """Return the interval that is resident once ``first .. stop`` is."""
        if first > self.stop or stop < self.first or self.first == self.stop:
            return first, stop
        if stop > self.stop:
            return max(min(self.first, first), stop - self.capacity), stop
        return first, min(self.stop, first + self.capacity)

    def _load(self, missing: list[tuple[int, int]], launched: "torch.cuda.Event | None") -> None:
        on_stream: AbstractContextManager[object] = nullcontext()
        if launched is not None:
            self._stream.wait_event(launched)
            on_stream = torch.cuda.stream(self._stream)
        with on_stream:
            for number, (place, rows) in enumerate(self._steps(missing)):
                self._fill(place, rows, buffer=number % 2)

    def _steps(self, missing: list[tuple[int, int]]) -> Iterator[tuple[int, Rows]]:
        for first, stop in missing:
            for begin in range(first, stop, PIECE_ROWS):
                yield from self.pieces(begin, min(begin + PIECE_ROWS, stop))

    def _fill(self, place: int, rows: Rows, *, buffer: int) -> None:
        n = len(rows.vectors)
        self.loaded_rows += n
        source = self._staged.vectors[place : place + n]  # fewer at the end
        there = len(source)
        if self._is_cuda:
            pinned = self._buffers[buffer][:there]
            self._sent[buffer].synchronize()
            self._copy(source, pinned)
            rows.vectors[:there].copy_(pinned, non_blocking=True)
            self._sent[buffer].record(self._stream)
        else:
            self._copy(source, rows.vectors[:there])
        rows.vectors[there:] = 0
        self.convert(rows, slice(place, place + n))

    def _copy(self, source: npt.NDArray[np.float16], into: torch.Tensor) -> None:
        # By several threads: one alone neither fills the bus to the GPU nor keeps a disk busy.
        target = into.numpy()
        cuts = [len(source) * part // _COPIERS for part in range(_COPIERS + 1)]
        parts = [slice(begin, end) for begin, end in pairwise(cuts)]
        list(self._copiers.map(lambda part: np.copyto(target[part], source[part]), parts))

"""Exact nearest neighbors of rows in magnitude order: tiles, candidates, float64 where needed."""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from skylike.errors import SettingsError
from skylike.neighbors.candidates import (
    Candidates,
    join,
    mask_outside,
    product_scores,
    select,
)
from skylike.neighbors.faiss_tiles import faiss_candidates
from skylike.neighbors.rescore import Lists, Settled, settle
from skylike.neighbors.vectors import Block, BlockReader, StagedVectors
from skylike.neighbors.windows import Windows, cut_tiles

logger = logging.getLogger(__name__)

Engine = Literal["auto", "product", "faiss"]

MAXIMUM_K = 2000
"""Longest list: Faiss selects at most 2,048 on a GPU, and a margin is needed."""

START_ROUNDOFFS = 16.0
"""Assumed error of a single-precision dot product in units of 2^-24 |x| |y|.

Measured with OpenBLAS and with Faiss, d from 16 to 4,096: 2 rms, 12 at most among 250,000
candidates. Every search checks it against what it re-scores and doubles it where it is refuted.
"""


@dataclass(frozen=True)
class SearchPlan:
    """How to search; the answer does not depend on it.

    Attributes
    ----------
    k
        Longest list.
    device
        ``cpu``, ``cuda`` or ``cuda:N``.
    engine
        ``product``: matrix product and partition, on the processor; ``faiss``; ``auto`` takes Faiss
        on a GPU and the product otherwise, which is what measures faster.
    tile_rows
        Rows searched together; None chooses by the device and the width of the windows.
    memory_bytes
        Memory for blocks of vectors.
    score_bytes
        Memory for the scores of a tile.
    roundoffs
        First assumption on the arithmetic's error; see ``START_ROUNDOFFS``.
    """

    k: int
    device: str = "cpu"
    engine: Engine = "auto"
    tile_rows: int | None = None
    memory_bytes: int = 768 << 20
    score_bytes: int = 256 << 20
    roundoffs: float = START_ROUNDOFFS

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAXIMUM_K:
            raise SettingsError(f"k = {self.k}: use 1 to {MAXIMUM_K} neighbors")
        if self.device != "cpu" and self.engine == "product":
            raise SettingsError(f"the matrix product runs on the processor, not on {self.device}")

    @property
    def uses_faiss(self) -> bool:
        """Whether Faiss finds the candidates."""
        return self.engine == "faiss" or (self.engine == "auto" and self.device != "cpu")


class NeighborSearch:
    """Searches tiles of one set of vectors; holds the buffers and threads that they share."""

    def __init__(self, staged: StagedVectors, windows: Windows, plan: SearchPlan) -> None:
        self._staged, self._windows, self._plan = staged, windows, plan
        self._threads = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="neighbors")
        self._reader = BlockReader(staged, memory_bytes=plan.memory_bytes, pool=self._pool)
        self._scores = np.empty(0, np.float32)
        self._roundoffs = plan.roundoffs

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lists(self, start: int, stop: int) -> Iterator[Lists]:
        """Find the neighbors of the rows ``start .. stop``, tile by tile, in order."""
        for first, last in cut_tiles(self._windows, start, stop, rows=self._tile_rows(start, stop)):
            yield from self._tile(np.arange(first, last))

    def _tile_rows(self, start: int, stop: int) -> int:
        if self._plan.tile_rows is not None:
            return self._plan.tile_rows
        if self._plan.device != "cpu":
            return 16_384
        # Where windows do not fit into the buffer, each tile converts its own again: larger tiles
        # share that cost among more rows.
        widest = int((self._windows.stop[start:stop] - self._windows.start[start:stop]).max())
        return 512 if widest < self._reader.capacity // 2 else 4096

    def _tile(self, rows: npt.NDArray[np.int64]) -> Iterator[Lists]:
        find = self._by_faiss if self._plan.uses_faiss else self._by_product
        settled = self._trusted(find, rows)
        for part in settled:
            if part.incomplete.any():
                yield self._completed(part)
            else:
                yield part.lists

    def _completed(self, part: Settled) -> Lists:
        """Search rows whose Faiss candidates ended too early by the product: it misses none."""
        again = part.lists.rows[part.incomplete]
        logger.debug("%d rows searched again", len(again))
        settled = self._trusted(self._by_product, again)
        return replace_lists(part.lists, [piece.lists for piece in settled])

    def _trusted(
        self, find: Callable[[npt.NDArray[np.int64]], list[Settled]], rows: npt.NDArray[np.int64]
    ) -> list[Settled]:
        """Search, with a larger error bound each time that the re-scored candidates refute it."""
        settled = find(rows)
        while not all(part.bound_holds for part in settled):
            self._roundoffs *= 2
            if self._roundoffs > 2.0**20:  # 6 % of |x| |y|: no rounding does that
                raise FloatingPointError(f"scores of the rows {rows[0]} to {rows[-1]} are wrong")
            logger.info("error bound of the scores doubled to %g roundoffs", self._roundoffs)
            settled = find(rows)
        return settled

    def _by_faiss(self, rows: npt.NDArray[np.int64]) -> list[Settled]:
        candidates = faiss_candidates(
            rows, self._reader, self._windows, k=self._plan.k, device=self._plan.device
        )
        return [self._settle(candidates)]

    def _by_product(self, rows: npt.NDArray[np.int64]) -> list[Settled]:
        """Search rows (rising, not always consecutive) by products with blocks of the union."""
        left, right = int(self._windows.start[rows[0]]), int(self._windows.stop[rows[-1]])
        # As many columns as the memory for scores allows, but not a block so narrow that k fills
        # it.
        columns = max(self._plan.score_bytes // (4 * len(rows)), 2 * self._plan.k, 1024)
        columns = min(columns, self._reader.capacity, right - left)
        slices = self._slices(len(rows))
        queries: Block | None = None
        found: list[Candidates | None] = [None] * len(slices)
        for first in range(left, right, columns):
            block = self._reader.read(first, min(first + columns, right))
            if queries is None:
                queries = self._queries(rows)
            scores = product_scores(queries, block, self._score_buffer(len(rows) * len(block)))
            found = list(
                self._pool.map(
                    lambda place, before, block=block, scores=scores: self._select(
                        scores[place], block, before, rows[place]
                    ),
                    slices,
                    found,
                )
            )
        return list(self._pool.map(self._settle, [part for part in found if part is not None]))

    def _select(
        self,
        scores: npt.NDArray[np.float32],
        block: Block,
        before: Candidates | None,
        rows: npt.NDArray[np.int64],
    ) -> Candidates:
        columns = (block.start, block.start + len(block))
        scores -= self._reader.half_squares[slice(*columns)]
        mask_outside(scores, columns, rows=rows, windows=self._windows)

        def best(scores: npt.NDArray[np.float32], positions: npt.NDArray[np.int64]) -> Candidates:
            return select(
                scores,
                positions,
                rows=rows,
                half_squares=self._reader.half_squares[rows],
                k=self._plan.k,
                roundoffs=self._roundoffs,
            )

        here = best(scores, np.arange(*columns))
        return here if before is None else best(*join(before, here))

    def _settle(self, candidates: Candidates) -> Settled:
        return settle(
            candidates,
            self._staged,
            half_squares=self._reader.half_squares,
            k=self._plan.k,
            roundoffs=self._roundoffs,
        )

    def _queries(self, rows: npt.NDArray[np.int64]) -> Block:
        span = self._reader.copy(int(rows[0]), int(rows[-1]) + 1)
        if len(span) == len(rows):
            return span
        return Block(int(rows[0]), span.rows[rows - rows[0]])

    def _slices(self, n: int) -> list[slice]:
        # Two for each thread, so that a slow one does not hold up the tile.
        step = max(-(-n // (2 * self._threads)), 16)
        return [slice(first, min(first + step, n)) for first in range(0, n, step)]

    def _score_buffer(self, size: int) -> npt.NDArray[np.float32]:
        if len(self._scores) < size:
            self._scores = np.empty(size, np.float32)
        return self._scores


def replace_lists(lists: Lists, corrected: list[Lists]) -> Lists:
    """Return ``lists`` with the rows of ``corrected`` taken from there."""
    pieces = [lists, *corrected]
    rows = np.concatenate([piece.rows for piece in pieces])
    lengths = np.concatenate([piece.lengths for piece in pieces])
    positions = np.concatenate([piece.positions for piece in pieces])
    similarities = np.concatenate([piece.similarities for piece in pieces])
    ends = np.cumsum(lengths)
    # Of each row the last piece that has it.
    reverse = np.unique(rows[::-1], return_index=True)[1]
    chosen = len(rows) - 1 - reverse
    taken = np.concatenate([np.arange(ends[c] - lengths[c], ends[c]) for c in chosen])
    return Lists(rows[chosen], lengths[chosen], positions[taken], similarities[taken])

"""Exact nearest neighbors of rows in magnitude order: tiles, candidates, float64 where needed."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from skylike.neighbors.engine.candidates import (
    Candidates,
    join,
    lowest_needed,
    mask_outside,
    product_scores,
    select,
)
from skylike.neighbors.engine.faiss_tiles import faiss_candidates
from skylike.neighbors.engine.product_band import Piece, ProductBand
from skylike.neighbors.engine.replaced import replace_lists
from skylike.neighbors.engine.rescore import Lists, Settled, settle
from skylike.neighbors.engine.search_plan import MAXIMUM_K, SearchPlan
from skylike.neighbors.engine.vectors import Block, BlockReader, StagedVectors
from skylike.neighbors.engine.windows import Windows, cut_scattered_tiles, cut_tiles
from skylike.processors import count_cores

__all__ = ["MAXIMUM_K", "NeighborSearch", "SearchPlan"]

logger = logging.getLogger(__name__)

BLOCK_BYTES: Final = 768 << 20
"""Memory for blocks of vectors, where the plan does not say."""

SCORE_BYTES: Final = 256 << 20
"""Memory for the scores of a tile, where the plan does not say."""


class NeighborSearch:
    """Searches rows of one set of vectors, by the engine that the plan chooses."""

    def __init__(self, staged: StagedVectors, windows: Windows, plan: SearchPlan) -> None:
        self._blocks: BlockSearch | None = None
        if plan.chosen_engine == "torch":
            from skylike.neighbors.engine.torch_tiles import (  # noqa: PLC0415 - torch takes a second
                TorchSearch,
            )

            self._torch = TorchSearch(staged, windows, plan)
        else:
            self._blocks = BlockSearch(staged, windows, plan)

    def close(self) -> None:
        """Stop the threads."""
        (self._blocks or self._torch).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lists(self, start: int, stop: int) -> Iterator[Lists]:
        """Find the neighbors of the rows ``start .. stop``, tile by tile, in order."""
        if self._blocks is None:
            return self._torch.lists(np.arange(start, stop))
        return self._blocks.lists(start, stop)

    def lists_of(self, rows: npt.NDArray[np.int64]) -> Iterator[Lists]:
        """Find the neighbors of rows (q,), rising, that need not be consecutive, tile by tile."""
        if self._blocks is None:
            return self._torch.lists(rows)
        return self._blocks.lists_of(rows)


class BlockSearch:
    """The product and Faiss; holds the buffers and threads that tiles share."""

    def __init__(self, staged: StagedVectors, windows: Windows, plan: SearchPlan) -> None:
        self._staged, self._windows, self._plan = staged, windows, plan
        self._threads = count_cores()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="neighbors")
        memory_bytes = plan.memory_bytes if plan.memory_bytes is not None else BLOCK_BYTES
        self._reader = BlockReader(staged, memory_bytes=memory_bytes, pool=self._pool)
        self._score_bytes = plan.score_bytes if plan.score_bytes is not None else SCORE_BYTES
        self._scores = np.empty(0, np.float32)
        self._band = ProductBand(self._score_bytes)
        self._roundoffs = plan.roundoffs

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()

    def lists(self, start: int, stop: int) -> Iterator[Lists]:
        """Find the neighbors of the rows ``start .. stop``, tile by tile, in order."""
        for first, last in cut_tiles(self._windows, start, stop, rows=self._tile_rows(start, stop)):
            yield from self._tile(np.arange(first, last))

    def lists_of(self, rows: npt.NDArray[np.int64]) -> Iterator[Lists]:
        """Find the neighbors of rows (q,), rising, that need not be consecutive, tile by tile."""
        if not len(rows):
            return
        most = self._tile_rows(int(rows[0]), int(rows[-1]) + 1)
        for part in cut_scattered_tiles(self._windows, rows, most=most):
            if part[-1] - part[0] + 1 == len(part):
                yield from self._tile(part)
            else:
                yield from (found.lists for found in self._trusted(self._by_product, part))

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
        find = self._by_faiss if self._plan.chosen_engine == "faiss" else self._by_product
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
        columns = max(self._score_bytes // (4 * len(rows)), 2 * self._plan.k, 1024)
        columns = min(columns, self._reader.capacity)
        if columns >= right - left and rows[-1] - rows[0] + 1 == len(rows):
            return self._by_band((int(rows[0]), int(rows[-1]) + 1), left, right)
        columns = min(columns, right - left)
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

    def _by_band(self, rows: tuple[int, int], left: int, right: int) -> list[Settled]:
        """Search consecutive rows whose union of windows is one block.

        Products with earlier rows are those that the tiles of these rows have computed.
        """
        first, last = rows
        block = self._reader.read(left, right)
        queries = block.rows[first - left : last - left]  # (q, d): each is in its own window
        scores = self._score_buffer(len(queries) * len(block))
        scores = scores[: len(queries) * len(block)].reshape(len(queries), len(block))
        known = self._band.before(first, left)
        edge = max(left, known[-1].first) if known else first
        np.matmul(queries, block.rows[: edge - left].T, out=scores[:, : edge - left])
        np.matmul(queries, block.rows[first - left :].T, out=scores[:, first - left :])
        later = np.empty((len(queries), right - last), np.float32)

        def settled(place: slice) -> Settled:
            own = np.arange(first + place.start, first + place.stop)
            for piece in known:
                piece.copy_to(scores[place], left, (int(own[0]), int(own[-1]) + 1))
            later[place] = scores[place, last - left :]
            return self._settle(self._select(scores[place], block, None, own))

        found = list(self._pool.map(settled, self._slices(len(queries))))
        self._band.keep(Piece(first, last, later), left)
        return found

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
                floor=floor,
            )

        floor = None if before is None else self._floor(before)
        here = best(scores, np.arange(*columns))
        return here if before is None else best(*join(before, here))

    def _floor(self, before: Candidates) -> npt.NDArray[np.float32]:
        """Return the lowest scores that can matter beside candidates found already, (q,)."""
        return lowest_needed(
            before.kth_best(self._plan.k),
            self._reader.half_squares[before.rows],
            roundoffs=self._roundoffs,
        )

    def _settle(self, candidates: Candidates) -> Settled:
        return settle(
            candidates,
            self._staged,
            half_squares=self._reader.half_squares,
            k=self._plan.k,
            roundoffs=self._roundoffs,
        )

    def _queries(self, rows: npt.NDArray[np.int64]) -> Block:
        first, last = int(rows[0]), int(rows[-1]) + 1
        if last - first == len(rows):
            return self._reader.copy(first, last)
        return Block(first, self._reader.gather(rows))

    def _slices(self, n: int) -> list[slice]:
        # Two for each thread, so that a slow one does not hold up the tile.
        step = max(-(-n // (2 * self._threads)), 16)
        return [slice(first, min(first + step, n)) for first in range(0, n, step)]

    def _score_buffer(self, size: int) -> npt.NDArray[np.float32]:
        if len(self._scores) < size:
            self._scores = np.empty(size, np.float32)
        return self._scores

"""Rows searched together on a device: tiles of them, blocks of columns, exact similarities.

Where the windows of a tile fit into the device's memory, a batch is one tile. Otherwise it is as
many tiles as there is memory for candidates: the windows stream through once for all of them, and
before vectors are driven out the exact similarities of the candidates among them are computed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from skylike.neighbors.engine.torch_bounds import ErrorBound
from skylike.neighbors.engine.torch_kernels import candidate_dots, score_matrix
from skylike.neighbors.engine.torch_memory import MemoryPlan
from skylike.neighbors.engine.torch_rows import ALIGNMENT, ResidentRows, Rows
from skylike.neighbors.engine.torch_select import Kept, Selection
from skylike.neighbors.engine.windows import Windows

READ_AHEAD: Final = 65_536
"""Rows beyond a tile's windows that are loaded while it is computed."""

_WASTE: Final = 0.04
"""Columns outside a row's window that a tile may compute, as a fraction of its mean window."""


@dataclass(frozen=True)
class Tile:
    """Some rows of a batch, on the device."""

    rows: npt.NDArray[np.int64]
    """(q,) places in magnitude order, rising."""

    windows: Windows
    """Of these rows."""

    queries: Rows
    kept: Kept
    selection: Selection

    @cached_property
    def on_device(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Places, window starts and window stops, (q,) each."""
        device = self.kept.cut.device
        starts = torch.as_tensor(self.windows.start, device=device)
        stops = torch.as_tensor(self.windows.stop, device=device)
        return torch.as_tensor(self.rows, device=device), starts, stops

    @property
    def union(self) -> tuple[int, int]:
        """Aligned columns that hold all windows."""
        return align(int(self.windows.start[0]), int(self.windows.stop[-1]))


class Batch:
    """One search of some rows, with one assumption on the arithmetic's error."""

    def __init__(
        self,
        rows: npt.NDArray[np.int64],
        windows: Windows,
        resident: ResidentRows,
        memory: MemoryPlan,
        *,
        k: int,
        columns: int,
        roundoffs: float,
        scores: torch.Tensor,
    ) -> None:
        convert = resident.convert
        self._bound = ErrorBound(convert.scale, convert.ratio, convert.floor, roundoffs)
        self._resident, self._memory, self._scores = resident, memory, scores
        self._holds = torch.ones((), dtype=torch.bool, device=scores.device)
        first, stop = align(int(windows.start[rows[0]]), int(windows.stop[rows[-1]]))
        if stop - first <= resident.capacity:
            resident.load(first, stop)
            ahead = min(stop + READ_AHEAD, resident.n_padded, first + resident.capacity)
        else:
            ahead = 0
        queries = resident.gather(rows).as_queries()
        self.kept = Kept.nothing(len(rows), columns, scores.device)
        self.tiles = []
        for part in cut_tiles_of(rows, windows, memory):
            own, kept = queries.take(part), self.kept.tile(part)
            selection = Selection(kept, own, k=k, bound=self._bound)
            of_rows = Windows(windows.start[rows[part]], windows.stop[rows[part]])
            self.tiles.append(Tile(rows[part], of_rows, own, kept, selection))
        most = max(len(tile.rows) for tile in self.tiles)
        self._blocks = list(_blocks(first, stop, resident, memory.block_columns(most)))
        if ahead > resident.stop > first:
            resident.load(resident.stop, ahead)

    @property
    def bound_holds(self) -> bool:
        """Whether no exact similarity was further off than assumed; waits for the device."""
        return bool(self._holds)

    def run(self) -> None:
        """Find the candidates of all rows, and their exact similarities."""
        for number, (first, stop) in enumerate(self._blocks):
            self._load(first, stop)
            self._resident.wait()
            if number + 1 < len(self._blocks):
                self._load(*self._blocks[number + 1])
            for tile in self.tiles:
                low, high = tile.union
                for start, block in self._resident.pieces(max(first, low), min(stop, high)):
                    self._score(tile, start, block)
        for tile in self.tiles:
            tile.selection.tighten()
            self._settle(tile, 0, self._resident.n_padded)

    def _load(self, first: int, stop: int) -> None:
        gone, gone_stop = self._resident.driven_out(first, stop)
        if gone < gone_stop:
            for tile in self.tiles:
                low, high = tile.union
                if gone < high and low < gone_stop:
                    self._settle(tile, gone, gone_stop)
        self._resident.load(first, stop)

    def _score(self, tile: Tile, first: int, block: Rows) -> None:
        q, w = len(tile.rows), len(block.squares)
        scores = self._scores[: q * w].view(q, w)
        score_matrix(tile.queries.screening, block.screening, scores)
        mask_outside(scores, first, tile)
        tile.selection.offer(scores, first)

    def _settle(self, tile: Tile, first: int, stop: int) -> None:
        """Compute the exact cosines of the candidates in ``first .. stop``, all resident."""
        kept, queries = tile.kept, tile.queries
        m = int(kept.counts.max())
        positions = kept.positions[:, :m].long()  # (q, m)
        cosines = kept.cosines[:, :m]
        wanted = (positions >= first) & (positions < stop) & cosines.isnan()
        slots = torch.where(wanted, positions % self._resident.capacity, -1)
        dots = candidate_dots(self._resident.rows.vectors, queries.vectors, slots)
        norms = self._resident.convert.norms
        own = norms[tile.on_device[0]][:, None]  # (q, 1)
        exact = dots / (norms[positions.clamp(min=0)] * own)
        scores = kept.scores[:, :m]
        self._holds &= self._bound.holds(queries, scores, exact, wanted)
        cosines.copy_(torch.where(wanted, exact, cosines))


def align(first: int, stop: int) -> tuple[int, int]:
    """Widen an interval of rows to multiples of the alignment."""
    return first // ALIGNMENT * ALIGNMENT, -(-stop // ALIGNMENT) * ALIGNMENT


def cut_tiles_of(
    rows: npt.NDArray[np.int64], windows: Windows, memory: MemoryPlan
) -> Iterator[slice]:
    """Cut rows into tiles; smaller ones where a tile's union is much wider than its windows."""

    def wasteful(part: npt.NDArray[np.int64]) -> bool:
        mean = float((windows.stop[part] - windows.start[part]).mean())
        waste = float(windows.stop[part[-1]] - windows.start[part[0]]) - mean
        return waste > max(_WASTE * mean, memory.free_columns)

    start = 0
    while start < len(rows):
        size = min(memory.tile_rows, len(rows) - start)
        while size > memory.smallest_tile and wasteful(rows[start : start + size]):
            size = max(size // 2, memory.smallest_tile)
        yield slice(start, start + size)
        start += size


def mask_outside(scores: torch.Tensor, first: int, tile: Tile) -> None:
    """Set scores (q, w) of the rows ``first ..`` that are no candidates, oneself too, to -inf.

    Columns between the last row's window start and the first row's window stop lie in every window,
    so that only the two edges are looked at.
    """
    rows, starts, stops = tile.on_device
    w = scores.shape[1]
    place = torch.arange(first, first + w, device=scores.device)[None, :]
    core = (int(tile.windows.start[-1]) - first, int(tile.windows.stop[0]) - first)
    left, right = min(max(core[0], 0), w), min(max(core[1], 0), w)

    def hide(columns: slice, *, before: bool) -> None:
        part = place[:, columns]
        outside = part < starts[:, None] if before else part >= stops[:, None]
        scores[:, columns].masked_fill_(outside, -torch.inf)

    hide(slice(0, left), before=True)
    hide(slice(right, w), before=False)
    if right < left:  # no common core: the left edge reaches into the right one
        hide(slice(0, left), before=False)
        hide(slice(right, w), before=True)
    inside = slice(*np.searchsorted(tile.rows, [first, first + w]).tolist())
    own = torch.arange(inside.start, inside.stop, device=scores.device)
    scores[own, rows[inside] - first] = -torch.inf


def _blocks(first: int, stop: int, resident: ResidentRows, most: int) -> Iterator[tuple[int, int]]:
    """Cut columns into blocks; from the far end where that end is what is resident."""
    if stop - first > resident.capacity:
        # One block is computed while the next one is loaded.
        most = min(most, max(resident.capacity // 3 // ALIGNMENT * ALIGNMENT, ALIGNMENT))
    number = max(-(-(stop - first) // most), 1)
    size = -(-(stop - first) // number // ALIGNMENT) * ALIGNMENT
    blocks = [(begin, min(begin + size, stop)) for begin in range(first, stop, size)]
    resident_end = resident.first <= stop - size and resident.stop >= stop
    if stop - first > resident.capacity and resident_end and resident.first > first:
        blocks.reverse()
    yield from blocks

"""The torch engine: 16-bit matrix products screen, float64 decides, and all of it on one device.

A tile of rows is multiplied with its windows block by block, with results in single precision; what
could still be among the k nearest of a row is kept; and the exact similarity of *every* candidate
that is left is computed from the stored vectors while they are on the device. Processors run the
same code: it is tested there.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from skylike.errors import SettingsError
from skylike.neighbors.engine.faiss_library import torch_sees
from skylike.neighbors.engine.replaced import replace_lists
from skylike.neighbors.engine.rescore import Lists
from skylike.neighbors.engine.search_plan import SearchPlan
from skylike.neighbors.engine.torch_batch import Batch, align, cut_tiles_of
from skylike.neighbors.engine.torch_memory import columns_kept, plan_memory
from skylike.neighbors.engine.torch_result import Finished, send
from skylike.neighbors.engine.torch_rows import ResidentRows
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import Windows

logger = logging.getLogger(__name__)

ROUNDOFFS_FACTOR: Final = 16.0
"""The assumed accumulation error beside that of a processor: tensor cores truncate where they add,
128 times at d = 2048, half a unit each on average. It costs next to nothing: the bound on the
rounding to 16 bits is twenty times wider."""

LARGEST_ROUNDOFFS: Final = 2.0**14
"""A thousandth of |x| |y|: no accumulation in single precision errs by that."""


class TorchSearch:
    """Searches rows of one set of vectors on one device."""

    def __init__(self, staged: StagedVectors, windows: Windows, plan: SearchPlan) -> None:
        if not torch_sees(plan.device):
            raise SettingsError(f"torch does not see the device {plan.device!r}; use --device cpu")
        self._windows, self._plan = windows, plan
        self._device = torch.device(plan.device)
        self._roundoffs = ROUNDOFFS_FACTOR * plan.roundoffs
        with _memory_of(self._device):
            self._memory = plan_memory(
                self._device, plan, galaxies=len(staged), dimension=staged.dimension
            )
            self.resident = ResidentRows(staged, self._device, capacity=self._memory.resident_rows)
            self._galaxy_ids = torch.as_tensor(staged.galaxy_ids, device=self._device)
            self._scores = torch.empty(self._memory.scores, device=self._device)

    def close(self) -> None:
        """Stop the thread that loads vectors."""
        self.resident.close()

    def lists(self, rows: npt.NDArray[np.int64]) -> Iterator[Lists]:
        """Find the neighbors of rows (q,), rising, that need not be consecutive; in order."""
        before: list[tuple[list[Finished], list[Lists]]] = []
        for batch in self._batches(rows):
            before.append(self._search(batch, columns_kept(self._plan.k)))
            # Lists arrive from the device while the next batch is computed.
            if len(before) > 1:
                yield from _arrived(*before.pop(0))
        for found in before:
            yield from _arrived(*found)

    def _batches(self, rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
        most = max(self._memory.candidates // columns_kept(self._plan.k), 1)
        waiting: list[npt.NDArray[np.int64]] = []
        for part in cut_tiles_of(rows, self._windows, self._memory):
            tile = rows[part]
            first, stop = align(
                int(self._windows.start[tile[0]]), int(self._windows.stop[tile[-1]])
            )
            fits = stop - first <= self.resident.capacity
            if waiting and (fits or sum(map(len, waiting)) + len(tile) > most):
                yield np.concatenate(waiting)
                waiting = []
            if fits:
                yield tile
            else:
                waiting.append(tile)
        if waiting:
            yield np.concatenate(waiting)

    def _search(
        self, rows: npt.NDArray[np.int64], columns: int
    ) -> tuple[list[Finished], list[Lists]]:
        """Search a batch: its lists, and those of rows that needed more columns than it had."""
        with _memory_of(self._device):
            batch = self._trusted(rows, columns)
            found = [
                send(tile.rows, tile.kept, self._galaxy_ids, k=self._plan.k) for tile in batch.tiles
            ]
            crowded = rows[batch.kept.set_aside.cpu().numpy()]
        del batch
        again: list[Lists] = []
        if len(crowded):
            logger.debug("%d rows have more than %d candidates", len(crowded), columns)
            columns = min(4 * columns, self.resident.n_padded)
            most = max(self._memory.candidates // columns, 1)
            for first in range(0, len(crowded), most):
                again += _arrived(*self._search(crowded[first : first + most], columns))
        return found, again

    def _trusted(self, rows: npt.NDArray[np.int64], columns: int) -> Batch:
        """Search, with a larger error bound each time that exact similarities refute it."""
        while True:
            batch = Batch(
                rows,
                self._windows,
                self.resident,
                self._memory,
                k=self._plan.k,
                columns=columns,
                roundoffs=self._roundoffs,
                scores=self._scores,
            )
            batch.run()
            if batch.bound_holds:
                return batch
            self._roundoffs *= 2
            if self._roundoffs > LARGEST_ROUNDOFFS:
                raise FloatingPointError(f"scores of the rows {rows[0]} to {rows[-1]} are wrong")
            logger.info("error bound of the scores doubled to %g roundoffs", self._roundoffs)


def _arrived(found: list[Finished], again: list[Lists]) -> list[Lists]:
    lists = [finished.lists() for finished in found]
    if not again:
        return lists
    return [replace_lists(lists[0], [*lists[1:], *again])]


@contextmanager
def _memory_of(device: torch.device) -> Iterator[None]:
    """Say what to do where the device's memory does not suffice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        free = torch.cuda.mem_get_info(device)[0] / 2**30 if device.type == "cuda" else 0.0
        raise SettingsError(
            f"the memory of {device} is exhausted ({free:.1f} GiB free): other programs may have "
            "taken some since the search began; stop them, or use --device cpu or cuda:N, or give "
            "the search plan smaller memory_bytes and score_bytes"
        ) from error

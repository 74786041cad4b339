"""How the torch engine divides the memory of a device."""

from dataclasses import dataclass
from typing import Final

import torch

from skylike.errors import SettingsError
from skylike.neighbors.engine.search_plan import SearchPlan
from skylike.neighbors.engine.torch_rows import ALIGNMENT, bytes_of_row

_GIB: Final = 1 << 30

_PROCESSOR_BYTES: Final = 768 << 20
_PROCESSOR_SCORES: Final = 256 << 20

_USED_OF_FREE: Final = 0.92
"""Part of a GPU's free memory that is planned for; the allocator's blocks do not fill up."""

_FEWEST_BLOCKS: Final = 3
"""Blocks of columns that must be resident at least: computed, loaded, driven out."""


@dataclass(frozen=True)
class MemoryPlan:
    """What fits.

    Attributes
    ----------
    resident_rows
        Rows of vectors that windows slide over.
    scores
        Scores of one block.
    candidates
        Places for candidates, over all rows that are searched together.
    tile_rows
        Most rows in one matrix product.
    smallest_tile, free_columns
        A tile is halved, down to the smallest, while it computes more columns outside its rows'
        windows than this, and more than a few percent of them.
    """

    resident_rows: int
    scores: int
    candidates: int
    tile_rows: int
    smallest_tile: int
    free_columns: int

    def block_columns(self, rows: int) -> int:
        """Return the columns of a block of scores, for a tile of so many rows."""
        return max(self.scores // rows // ALIGNMENT * ALIGNMENT, ALIGNMENT)


def columns_kept(k: int) -> int:
    """Return how many candidates of a row are kept before what lies below rank k is removed."""
    return -(-max(3 * k, k + 512) // ALIGNMENT) * ALIGNMENT


def free_bytes(device: torch.device) -> int:
    """Return what is free on a GPU, with what torch holds from earlier work and does not use."""
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + idle


def plan_memory(
    device: torch.device, plan: SearchPlan, *, galaxies: int, dimension: int
) -> MemoryPlan:
    """Divide a device's memory, as far as the search plan leaves it open.

    On a GPU what is free now is divided: about a tenth each for scores and for candidates, as much
    again for the steps in between, and the rest for vectors.

    Raises
    ------
    SettingsError
        The GPU has too little free memory for any block.
    """
    per_row = bytes_of_row(dimension)
    on_gpu = device.type == "cuda"
    if on_gpu:
        free = _USED_OF_FREE * free_bytes(device) - 12 * galaxies
        scores = min(int(0.12 * free), 8 * _GIB) if plan.score_bytes is None else plan.score_bytes
        candidates = min(int(0.11 * free), 8 * _GIB)
        vectors = int(free) - 2 * scores - 2 * candidates
        if plan.memory_bytes is not None:
            vectors = min(vectors, plan.memory_bytes)
    else:
        scores = _PROCESSOR_SCORES if plan.score_bytes is None else plan.score_bytes
        candidates = _PROCESSOR_SCORES
        vectors = _PROCESSOR_BYTES if plan.memory_bytes is None else plan.memory_bytes
    tile = plan.tile_rows or (16_384 if on_gpu else 1024)
    tile = max(min(tile, candidates // 16 // columns_kept(plan.k)), 1)
    rows = vectors // per_row
    fewest = _FEWEST_BLOCKS * ALIGNMENT
    if on_gpu and rows < fewest * ALIGNMENT:
        raise SettingsError(
            f"{device} has {free_bytes(device) / _GIB:.1f} GiB of free memory, too "
            "little to search neighbors; stop what else runs there, or use --device cpu or cuda:N"
        )
    return MemoryPlan(
        resident_rows=max(rows, fewest),
        scores=max(scores // 4, tile * ALIGNMENT),
        candidates=candidates // 16,
        tile_rows=tile,
        smallest_tile=512 if on_gpu else 32,
        free_columns=16_384 if on_gpu else 1024,
    )

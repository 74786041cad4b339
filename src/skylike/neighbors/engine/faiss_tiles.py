"""Candidates by Faiss: more than k of a tile's union of windows, cut to each row's own window."""

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from skylike.neighbors.engine.candidates import Candidates
from skylike.neighbors.engine.faiss_library import load_faiss
from skylike.neighbors.engine.vectors import Block, BlockReader
from skylike.neighbors.engine.windows import Windows

GPU_MAXIMUM_K: Final = 2048
"""Faiss's GPU_MAX_SELECTION_K."""

_TEMPORARY_BYTES = 4 << 30
"""Scratch memory of a GPU; with Faiss's 1.5 GiB it allocates for each tile of 512 queries anew."""


@cache
def _gpu_resources() -> Any:  # noqa: ANN401 - a Faiss object; Faiss has no annotations
    resources = load_faiss().StandardGpuResources()
    resources.setTempMemory(_TEMPORARY_BYTES)
    return resources


def nearest(
    queries: npt.NDArray[np.float32], block: npt.NDArray[np.float32], *, k: int, device: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Search a block exactly: squared Euclidean distances and columns, (q, k), nearest first.

    Parameters
    ----------
    device
        ``cpu``, ``cuda`` or ``cuda:N``, as
        :func:`~skylike.neighbors.engine.faiss_library.choose_search_device` found it: on a GPU
        that is not there Faiss ends the process.
    """
    faiss = load_faiss()
    k = int(k)  # Faiss refuses numpy's integers
    if device == "cpu":
        distances, columns = faiss.knn(queries, block, k, faiss.METRIC_L2)
    else:
        number = int(device.partition(":")[2] or 0)
        distances, columns = faiss.knn_gpu(
            _gpu_resources(), queries, block, k, metric=faiss.METRIC_L2, device=number
        )
    return distances, columns


def faiss_candidates(
    rows: npt.NDArray[np.int64], reader: BlockReader, windows: Windows, *, k: int, device: str
) -> Candidates:
    """Find candidates of consecutive rows; ``missed`` is the worst score that Faiss returned."""
    left, right = int(windows.start[rows[0]]), int(windows.stop[rows[-1]])
    fetch = _fetched(rows, windows, k=k, device=device)
    queries: Block | None = None
    scores: list[npt.NDArray[np.float32]] = []
    positions: list[npt.NDArray[np.int64]] = []
    missed = np.full(len(rows), -np.inf, np.float32)
    for first in range(left, right, reader.capacity):
        block = reader.read(first, min(first + reader.capacity, right))
        if queries is None:
            queries = reader.copy(int(rows[0]), int(rows[-1]) + 1)
        distances, columns = nearest(
            queries.rows, block.rows, k=min(fetch, len(block)), device=device
        )
        # |z_i - z_j|^2 = |z_i|^2 - 2 score
        score = reader.half_squares[rows][:, None] - distances / np.float32(2)
        if fetch < len(block):
            missed = np.maximum(missed, score[:, -1])
        scores.append(score)
        positions.append(columns + first)
    candidates = _inside_windows(
        rows, np.concatenate(scores, axis=1), np.concatenate(positions, axis=1), windows
    )
    return Candidates(rows, *candidates, missed)


def _fetched(rows: npt.NDArray[np.int64], windows: Windows, *, k: int, device: str) -> int:
    # k, the row itself, those that the union holds beyond the mean window, and a margin against
    # chance.
    sizes = windows.stop[rows] - windows.start[rows]
    union = windows.stop[rows[-1]] - windows.start[rows[0]]
    expected = k * min(float(union / max(sizes.mean(), 1.0)), 2.0)
    fetch = int(expected + 4 * np.sqrt(expected)) + 16
    return min(fetch, GPU_MAXIMUM_K) if device != "cpu" else fetch


def _inside_windows(
    rows: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    positions: npt.NDArray[np.int64],
    windows: Windows,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    outside = (positions < windows.start[rows][:, None]) | (
        positions >= windows.stop[rows][:, None]
    )
    outside |= positions == rows[:, None]
    scores = np.where(outside, np.float32(-np.inf), scores)
    order = np.argsort(-scores, axis=1, kind="stable")
    scores = np.take_along_axis(scores, order, axis=1)
    positions = np.take_along_axis(np.where(outside, -1, positions), order, axis=1)
    most = int((positions >= 0).sum(axis=1).max(initial=0))
    return positions[:, :most], scores[:, :most]

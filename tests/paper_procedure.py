"""The similarity procedure of Stein et al. 2021 in small, with the defects of its public script.

Written from its description: whole chunks that a chunk's window touches, an inner-product index
over each, the best so far merged by an unstable sort. Used only to show that a case is a hard one.
"""

from pathlib import Path

import faiss
import numpy as np


def paper_lists(
    vectors: np.ndarray, magnitudes: np.ndarray, *, k: int, chunk: int, width: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (n, k) and similarities of the procedure; the input is sorted by magnitude.

    ``k`` counts the galaxy itself, as there.
    """
    with np.errstate(invalid="ignore"):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = unit.astype(np.float32)
    n = len(unit)
    lists, similarities = np.zeros((n, k), np.int32), np.zeros((n, k), np.float32)
    for first in range(0, n, chunk):
        queries = unit[first : first + chunk]
        inside = chunks_in_window(magnitudes, first, first + len(queries), chunk=chunk, width=width)
        best = np.zeros((len(queries), k), np.float32)
        best_rows = np.zeros((len(queries), k), np.int32)
        for number in inside:
            block = unit[number * chunk : (number + 1) * chunk]
            scores, rows = search_chunk(block, offset=number * chunk, k=k, queries=queries)
            merged = np.concatenate([best, scores], axis=1)
            merged_rows = np.concatenate([best_rows, rows], axis=1)
            order = np.argsort(merged, axis=1)[:, ::-1][:, :k]
            best = np.take_along_axis(merged, order, axis=1)
            best_rows = np.take_along_axis(merged_rows, order, axis=1)
        lists[first : first + chunk], similarities[first : first + chunk] = best_rows, best
    return lists, similarities


def search_chunk(
    block: np.ndarray, *, offset: int, k: int, queries: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Search one chunk; the offset is also added to the -1 that Faiss gives for "none"."""
    index = faiss.IndexFlatIP(block.shape[1])
    index.add(block)
    scores, rows = index.search(block if queries is None else queries, k)
    return scores, rows + offset


def chunks_in_window(
    magnitudes: np.ndarray, first: int, stop: int, *, chunk: int, width: float
) -> range:
    """Return the chunks that the window of the queries ``first .. stop`` touches, as there."""
    low = int(np.argmin(np.abs(magnitudes - (magnitudes[first] - width))))
    high = int(np.argmin(np.abs(magnitudes - (magnitudes[stop - 1] + width))))
    return range(low // chunk, -(-high // chunk))


def paper_size(folder: Path, chunk: int) -> int:
    """Return how many galaxies the files of a folder hold, by their names, as there."""
    return chunk * len(list(folder.glob("*00.npy")))


def paper_job(folder: Path, parts: int, work) -> list[int]:
    """Run parts that have no output yet, and return which ran; a file is made before its work."""
    ran = []
    for part in range(parts):
        output = folder / f"part_{part}.npy"
        if output.exists():
            continue
        np.save(output, np.zeros(1))
        np.save(output, work(part))
        ran.append(part)
    return ran

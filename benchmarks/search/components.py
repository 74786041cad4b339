"""How many components should compact vectors have? Embeddings left to compare in full, by m.

    python benchmarks/search/components.py VECTORS.npy [--rows 200000] [--queries 50]

VECTORS.npy holds stored embeddings, (n, d) float16, as benchmarks/search/data.py writes them. For
each m the table gives the embeddings whose bound does not rule them out of the 100 most similar,
which an exact search must read, the same without the last entry (the length of what the axes leave
out), and the bytes of a compact vector.
"""

import argparse

import numpy as np
import numpy.typing as npt

from skylike.embeddings.compact import Moments, project, unit_rows

COMPONENTS = (15, 31, 63, 127, 255, 511)
RESULTS = 100


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vectors")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--sample", type=int, default=20_000, help="rows that the axes are of")
    given = parser.parse_args()
    stored = np.load(given.vectors, mmap_mode="r")
    step = max(1, len(stored) // given.rows)
    vectors = np.ascontiguousarray(stored[::step][: given.rows])
    moments = Moments(vectors.shape[1])
    for start in range(0, given.sample, 4096):
        moments.add(vectors[start : min(start + 4096, given.sample)])
    places = np.random.default_rng(0).choice(len(vectors), given.queries, replace=False)
    distances = _distances(vectors, unit_rows(vectors[places]))
    distances[places, np.arange(given.queries)] = np.inf
    worst = np.partition(distances, RESULTS - 1, axis=0)[RESULTS - 1]  # (q,)
    print(f"{len(vectors):,} embeddings, {given.queries} queries, {RESULTS} results each")
    print(f"distance of the last result: median {np.median(worst):.3f}")
    print("| m | variance | in full: median | p95 | without rest: median | bytes |")
    print("|---|---|---|---|---|---|")
    for m in (m for m in COMPONENTS if m < vectors.shape[1]):
        basis = moments.basis(m)
        parts = [project(vectors[i : i + 8192], basis) for i in range(0, len(vectors), 8192)]
        compact = np.concatenate([part for part, _ in parts])
        slack = 2 * max(own for _, own in parts)
        left = _left(compact, compact[places], worst + slack)
        bare = _left(compact[:, :-1], compact[places, :-1], worst + slack)
        print(
            f"| {m} | {basis.explained_variance.sum():.3f} | {np.median(left):,.0f} |"
            f" {np.percentile(left, 95):,.0f} | {np.median(bare):,.0f} | {2 * (m + 1) + 8} |",
            flush=True,
        )


def _distances(
    vectors: npt.NDArray[np.float16], queries: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    found = np.empty((len(vectors), len(queries)))
    for start in range(0, len(vectors), 8192):
        cosines = unit_rows(vectors[start : start + 8192]) @ queries.T  # (b, q)
        found[start : start + 8192] = np.sqrt(np.maximum(0, 2 - 2 * cosines))
    return found


def _left(
    compact: npt.NDArray[np.float16],
    queries: npt.NDArray[np.float16],
    reach: npt.NDArray[np.float64],
) -> npt.NDArray[np.int64]:
    """Count the rows that the bound does not rule out, for each query (q,)."""
    rows, wanted = compact.astype(np.float32), queries.astype(np.float32)
    lengths = (rows * rows).sum(axis=1)[:, None] + (wanted * wanted).sum(axis=1)[None, :]
    squared = lengths - 2 * rows @ wanted.T  # (n, q)
    counts: npt.NDArray[np.int64] = (squared <= reach**2).sum(axis=0)
    return counts


if __name__ == "__main__":
    main()

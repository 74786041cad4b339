"""How long the brute force of ``evaluate window`` and ``lenses`` takes, beside bare products.

    python benchmarks/evaluate_similarity.py --galaxies 100000 --dimension 2048

Random float16 vectors in memory. Both are ratios to the same float64 matrix products without any
ranking, measured in the same run.
"""

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from skylike.evaluation.cosines import nearest_places, unit_rows
from skylike.evaluation.leave_one_out import Known, judge_known
from skylike.progress import SILENT

BATCH = 2048

Batch = tuple[npt.NDArray[np.int32], npt.NDArray[np.float16]]


def _batches(vectors: npt.NDArray[np.float16], first: int = 0) -> Iterator[Batch]:
    ids = np.arange(1, len(vectors) + 1, dtype=np.int32)
    for start in range(first, len(vectors), BATCH):
        yield ids[start : start + BATCH], vectors[start : start + BATCH]


def _bare(queries: npt.NDArray[np.float64], vectors: npt.NDArray[np.float16], first: int) -> float:
    begin = time.perf_counter()
    for _, batch in _batches(vectors, first):
        _ = queries @ batch.astype(np.float64).T
    return time.perf_counter() - begin


def main() -> None:
    """Time both and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--galaxies", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--sample", type=int, default=1000)
    parser.add_argument("--known", type=int, default=500)
    given = parser.parse_args()
    generator = np.random.default_rng(0)
    shape = (given.galaxies, given.dimension)
    vectors = generator.random(shape, dtype=np.float32).astype(np.float16)
    ids = np.arange(1, given.galaxies + 1, dtype=np.int32)
    places = np.sort(generator.choice(given.galaxies, given.sample, replace=False))
    with SILENT.task("") as task:
        queries = unit_rows(vectors[places])
        bare = _bare(queries, vectors, 0)
        begin = time.perf_counter()
        nearest_places(queries, places, _batches(vectors), ids, k=999, task=task)
        took = time.perf_counter() - begin
        print(
            f"window: {given.sample} lists of 999: {took:.1f} s, {took / bare:.2f} of the product"
        )
        known = Known(ids[: given.known], unit_rows(vectors[: given.known]))
        bare = 2 * _bare(known.units, vectors, given.known)  # one example, and all but one
        begin = time.perf_counter()
        others = given.galaxies - given.known
        judge_known(known, _batches(vectors, given.known), others, depths=[100], task=task)
        took = time.perf_counter() - begin
        print(f"lenses: {given.known} known: {took:.1f} s, {took / bare:.2f} of the product")
    own = vectors.nbytes / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory at most {peak - own:,.0f} MB beside the vectors ({own:,.0f} MB)")


if __name__ == "__main__":
    main()

"""How fast cutouts are read: contiguous, shuffled for training, and one by one at random.

    python benchmarks/images_read.py [--cutouts 2000] [--folder DIR]

Prints images per second and MB per second of flux cutouts (277 kB each) from one HDF5 file, first
and second pass: the file was just written, so both come from the page cache unless memory is short.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skylike.images.index import CutoutFile, CutoutIndex
from skylike.images.read import iter_pixels, read_pixels
from skylike.images.writer import CutoutWriter

IMAGE_BYTES = 3 * 152 * 152 * 4
BATCH = 256


def write_file(path: Path, n: int) -> None:
    """Write ``n`` cutouts of noise."""
    rng = np.random.default_rng(1)
    block = rng.normal(0, 0.01, (100, 3, 152, 152)).astype(np.float32)
    with CutoutWriter(path, kind="flux", origin="benchmark", pixel_scale=0.262) as writer:
        for start in range(0, n, 100):
            size = min(100, n - start)
            names = [str(i) for i in range(start, start + size)]
            writer.append(block[:size], names=names, positions=[(0.0, 0.0)] * size)


def index_of(path: Path, n: int) -> CutoutIndex:
    """Return the index that the database would give."""
    return CutoutIndex(
        cutout_id=np.arange(n, dtype=np.int32),
        galaxy_id=np.arange(n, dtype=np.int32),
        file_id=np.ones(n, np.int32),
        file_row=np.arange(n, dtype=np.int32),
        ebv=np.full(n, np.nan, np.float32),
        psf_size=np.full((n, 3), np.nan, np.float32),
        files={1: CutoutFile(1, path, "flux", ("g", "r", "z"), 152, 0.262)},
    )


def measure(name: str, n: int, read: Callable[[], int]) -> None:
    """Read everything twice and print the rates."""
    for turn in ("first", "second"):
        start = time.perf_counter()
        count = read()
        seconds = time.perf_counter() - start
        assert count == n
        rate = n / seconds
        print(f"{name:<28}{turn:<8}{rate:>9,.0f} images/s {rate * IMAGE_BYTES / 1e6:>8,.0f} MB/s")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cutouts", type=int, default=2000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    n = options.cutouts
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "cutouts.h5"
        start = time.perf_counter()
        write_file(path, n)
        print(f"wrote {n:,} cutouts at {n / (time.perf_counter() - start):,.0f} images/s")
        index = index_of(path, n)

        def contiguous() -> int:
            batches = iter_pixels(index, batch_size=BATCH, kind="flux")
            return sum(len(positions) for positions, _ in batches)

        def shuffled() -> int:
            rng = np.random.default_rng(2)
            batches = iter_pixels(index, batch_size=BATCH, kind="flux", shuffle=rng)
            return sum(len(positions) for positions, _ in batches)

        def at_random() -> int:
            order = np.random.default_rng(3).permutation(n)
            parts = np.array_split(order, max(1, n // BATCH))
            return sum(len(read_pixels(index, part).pixels) for part in parts)

        measure("contiguous", n, contiguous)
        measure("shuffled in blocks", n, shuffled)
        measure("random positions", n, at_random)


if __name__ == "__main__":
    main()

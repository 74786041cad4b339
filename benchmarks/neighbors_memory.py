"""Measure the memory and the rate of a neighbor search over many shards, staged on disk.

    python benchmarks/neighbors_memory.py [--galaxies 1000000] [--shards 20]

Stages made-up embeddings as a build does (4 GB on disk for a million), then computes shards, those
with the widest windows, as a build does: while one is searched, the lists of the one before are
packed into the bytes that COPY sends, which go nowhere. No database is needed. A thread reads how
much of the process is anonymous memory; pages of mapped files, which the kernel may drop, are told
apart. Twenty shards of the real size take 20 minutes on two cores; ``--shard-pairs 2e8`` takes a
tenth, with tiles of fewer rows.
"""

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder

from skylike.neighbors.engine.search import NeighborSearch, SearchPlan
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import Windows, cut_shards, magnitude_windows
from skylike.neighbors.job import SHARD_GALAXIES, SHARD_PAIRS
from skylike.neighbors.shards import ShardLists
from skylike.neighbors.stage import StageInput, stage_vectors
from skylike.neighbors.store_lists import pack_lists, pack_similarities
from skylike.progress import SILENT

WIDTH = 0.5
BATCH = 4096
LATENT = 64


@dataclass
class Memory:
    """Largest values seen, bytes."""

    anonymous: int = 0
    mapped: int = 0
    """Pages of files, the staged embeddings above all."""


@contextmanager
def watched(interval: float = 0.05) -> Iterator[Memory]:
    """Read the memory of this process until the block ends."""
    seen = Memory()
    ended = threading.Event()

    def watch() -> None:
        while True:
            anonymous, resident = read_memory()
            seen.anonymous = max(seen.anonymous, anonymous)
            seen.mapped = max(seen.mapped, resident - anonymous)
            if ended.wait(interval):
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def read_memory() -> tuple[int, int]:
    """Return anonymous and all resident bytes of this process."""
    fields = {}
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value, *_ = line.split()
        fields[name.rstrip(":")] = int(value) * 1024
    return fields["Anonymous"], fields["Rss"]


def make_magnitudes(n: int, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """Make magnitudes in r of a survey limited in z, as benchmarks/neighbors.py does."""
    mag_z = 20 + np.log10(np.maximum(generator.random(n), 1e-5)) / 0.6
    return (mag_z + generator.normal(0.9, 0.4, n)).astype(np.float32)


def make_batches(
    n: int, dimension: int, generator: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.float16]]]:
    """Make embeddings on 64 latent directions of falling variance, and noise that repeats."""
    mixing = generator.standard_normal((LATENT, dimension)).astype(np.float32)
    mixing *= ((1 + np.arange(LATENT)) ** -0.7)[:, None].astype(np.float32)
    noise = 0.3 * generator.standard_normal((BATCH, dimension)).astype(np.float32)
    for first in range(0, n, BATCH):
        ids = np.arange(first + 1, min(first + BATCH, n) + 1, dtype=np.int32)
        vectors = generator.standard_normal((len(ids), LATENT)).astype(np.float32) @ mixing
        vectors += np.roll(noise, generator.integers(BATCH), axis=0)[: len(ids)]
        vectors = np.maximum(vectors + np.float32(0.5), 0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        yield ids, vectors.astype(np.float16)


def stage(folder: Path, n: int, dimension: int) -> StagedVectors:
    """Stage embeddings that arrive in another order than that of magnitudes."""
    generator = np.random.default_rng(0)
    ids = np.arange(1, n + 1, dtype=np.int32)
    given = StageInput("benchmark", ids, make_magnitudes(n, generator), dimension)
    with SILENT.task("Staging", total=n) as task:
        return stage_vectors(folder, given, make_batches(n, dimension, generator), task)


def choose_shards(
    windows: Windows, bounds: npt.NDArray[np.int64], count: int
) -> list[tuple[int, int]]:
    """Return consecutive shards around the widest window: first row, and row after the last."""
    widest = int(np.argmax(windows.stop - windows.start))
    middle = int(np.searchsorted(bounds, widest, side="right")) - 1
    first = max(0, min(middle - count // 2, len(bounds) - 1 - count))
    last = min(first + count, len(bounds) - 1)
    return [(int(bounds[shard]), int(bounds[shard + 1])) for shard in range(first, last)]


def pack(lists: ShardLists) -> int:
    """Make the bytes that a build sends to the two tables, a piece at a time; return how many."""
    rows = (
        pack_lists(1, lists.galaxy_ids, lists.neighbor_ids, lists.lengths),
        pack_similarities(1, lists.galaxy_ids, lists.similarities, lists.lengths),
    )
    return sum(map(encode, rows))


def encode(batches: Iterator[pa.RecordBatch]) -> int:
    """Encode rows as COPY takes them; return the number of bytes."""
    first = next(batches)
    encoder = ArrowToPostgresBinaryEncoder(first.schema)
    size = len(encoder.write_header()) + len(encoder.write_batch(first))
    size += sum(len(encoder.write_batch(batch)) for batch in batches)
    return size + len(encoder.finish())


def search_shards(
    staged: StagedVectors, windows: Windows, shards: list[tuple[int, int]], plan: SearchPlan
) -> int:
    """Compute shards, each packed while the next one is searched; return the bytes packed."""
    sizes = []
    with (
        NeighborSearch(staged, windows, plan) as search,
        ThreadPoolExecutor(1) as writer,
    ):
        pending = None
        for number, (first, last) in enumerate(shards):
            start = time.perf_counter()
            lists = ShardLists.of(staged, search.lists(first, last))
            seconds = time.perf_counter() - start
            if pending is not None:
                sizes.append(pending.result())
            pending = writer.submit(pack, lists)
            useful = int((windows.stop[first:last] - windows.start[first:last] - 1).sum())
            print(
                f"shard {number + 1:3d}: {last - first:5d} lists, {useful / seconds / 1e6:7.1f}"
                f" million useful similarities/s, {read_memory()[0] / 1e9:.2f} GB anonymous",
                flush=True,
            )
        if pending is not None:
            sizes.append(pending.result())
    return sum(sizes)


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Stage, search, and print what both took."""
    n, dimension = options.galaxies, options.dimension
    start = time.perf_counter()
    with watched() as memory:
        staged = stage(folder, n, dimension)
    print(
        f"staging {n:,} x {dimension}: {time.perf_counter() - start:.0f} s,"
        f" {memory.anonymous / 1e9:.2f} GB anonymous at most, {memory.mapped / 1e9:.2f} GB mapped"
    )
    windows = magnitude_windows(staged.magnitudes, WIDTH)
    bounds = cut_shards(windows, galaxies=SHARD_GALAXIES["cpu"], pairs=int(options.shard_pairs))
    shards = choose_shards(windows, bounds, options.shards)
    rows = slice(shards[0][0], shards[-1][1])
    sizes = windows.stop[rows] - windows.start[rows]
    print(
        f"{len(shards)} of {len(bounds) - 1} shards: {len(sizes):,} lists, windows of"
        f" {sizes.mean():,.0f} galaxies"
    )
    start, cpu = time.perf_counter(), time.process_time()
    with watched() as memory:
        packed = search_shards(staged, windows, shards, SearchPlan(k=options.k))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    useful = int((sizes - 1).sum())
    print(
        f"{seconds:.0f} s ({cpu:.0f} s of processor time), {useful / seconds / 1e6:.1f} million"
        f" useful similarities/s, {packed / len(sizes):,.0f} bytes packed for each list"
    )
    print(
        f"peak: {memory.anonymous / 1e9:.2f} GB anonymous,"
        f" {memory.mapped / 1e9:.2f} GB of mapped files"
    )


def main() -> None:
    """Measure in a folder that is removed at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--galaxies", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("-k", type=int, default=999)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--shard-pairs", type=float, default=SHARD_PAIRS["cpu"])
    parser.add_argument(
        "--folder",
        type=Path,
        help="on a disk with room (not tmpfs, which is memory); default: the temporary folder",
    )
    options = parser.parse_args()
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="skylike-neighbors-", dir=options.folder))
    try:
        measure(folder, options)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

"""Measure the neighbor search on a GPU: rate, ceiling, exactness, memory; no database needed.

Needs numpy and torch only, and runs on a processor too::

    PYTHONPATH=src python benchmarks/neighbors_gpu.py --galaxies 300000 1000000 --json results.json
    PYTHONPATH=src python benchmarks/neighbors_gpu.py --stages --galaxies 1000000
    PYTHONPATH=src python benchmarks/neighbors_gpu.py --device cpu --galaxies 20000

``--memory-gib`` keeps fewer vectors on the device than fit, as it is at 42 million galaxies. With
``--data collapsed`` and ``--data copies`` it shows that lists are exact where that is hard::

    PYTHONPATH=src python benchmarks/neighbors_gpu.py --data copies --galaxies 50000 --memory-gib 1
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from skylike.neighbors.engine.rescore import Lists
from skylike.neighbors.engine.search import NeighborSearch, SearchPlan
from skylike.neighbors.engine.torch_batch import Batch, cut_tiles_of, mask_outside
from skylike.neighbors.engine.torch_kernels import candidate_dots, score_matrix, segment_maxima
from skylike.neighbors.engine.torch_memory import columns_kept, plan_memory
from skylike.neighbors.engine.torch_result import send
from skylike.neighbors.engine.torch_rows import ResidentRows
from skylike.neighbors.engine.torch_select import kth_largest, passing
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import Windows, magnitude_windows

WIDTH = 0.5
PAPER_GALAXIES = 42_272_646
PAPER_FRACTION = 0.37
"""Of all pairs in a window of +-0.5 mag, if number counts rise by 10^(0.4 m)."""


@dataclass(frozen=True)
class Measured:
    """One search of all rows."""

    device: str
    engine: str
    galaxies: int
    dimension: int
    k: int
    window_fraction: float
    seconds: float
    useful_per_second: float
    """Similarities inside windows, divided by the time of everything."""
    ceiling_per_second: float
    """Of the matrix product alone, in the same shapes."""
    of_ceiling: float
    recall: float
    order_errors: int
    sample: int
    hours_at_42_million: float
    """With this run's window fraction."""
    device_gib: float | None
    host_gib: float
    loaded_gib: float | None
    """Vectors sent to the device."""


def make_galaxies(
    n: int, dimension: int, device: torch.device, *, data: str = "latent", seed: int = 0
) -> StagedVectors:
    """Make embeddings and magnitudes of the same distributions as benchmarks/neighbors.py.

    64 latent directions of falling variance, noise, a common mean, ReLU; number counts 10^(0.6 m)
    down to z = 20, r - z normal (0.9, 0.4). Vectors do not depend on magnitudes: they are made in
    the order of magnitude, and identifiers are shuffled.

    Parameters
    ----------
    data
        ``latent``: as above; ``collapsed``: moved along a common direction until cosines are above
        0.99; ``copies``: a tenth of all galaxies have one embedding.
    """
    generator = np.random.default_rng(seed)
    mag_z = 20 + np.log10(np.maximum(generator.random(n), 1e-5)) / 0.6
    magnitudes = np.sort((mag_z + generator.normal(0.9, 0.4, n)).astype(np.float32))
    draw = torch.Generator(device=device).manual_seed(seed)
    latent = 64

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=device, generator=draw)

    falling = (1 + torch.arange(latent, device=device)) ** -0.7
    mixing = normal(latent, dimension) * falling[:, None]
    stored = np.empty((n, dimension), np.float16)
    norms = np.empty(n)
    total = torch.zeros(dimension, dtype=torch.float64, device=device)
    for first in range(0, n, 16_384):
        rows = slice(first, min(first + 16_384, n))
        size = rows.stop - first
        made = (normal(size, latent) @ mixing + 0.3 * normal(size, dimension) + 0.5).clamp(min=0)
        if data == "collapsed":
            made += 10 * torch.linspace(1, 2, dimension, device=device)
        if data == "copies":
            made[::10] = torch.linspace(1, 2, dimension, device=device)
        half = torch.nn.functional.normalize(made, dim=1).half()  # (b, d)
        exact = half.double()
        length = exact.square().sum(dim=1).sqrt()
        total += (exact / length[:, None]).sum(dim=0)
        stored[rows], norms[rows] = half.cpu().numpy(), length.cpu().numpy()
    return StagedVectors(
        galaxy_ids=(generator.permutation(n) + 1).astype(np.int32),
        magnitudes=magnitudes,
        vectors=stored,
        norms=norms,
        center=(total / n).cpu().numpy(),
        hashes=np.zeros(n, np.int64),
        n_excluded=0,
    )


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(function: Callable[[], object], device: torch.device, repeat: int = 5) -> float:
    """Return the median time of a call, after one that is not counted."""
    function()
    times = []
    for _ in range(repeat):
        synchronize(device)
        start = time.perf_counter()
        function()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def ceiling(device: torch.device, shape: tuple[int, int], dimension: int) -> float:
    """Measure the 16-bit matrix product with a single-precision result: similarities a second."""
    rows, columns = shape
    queries = torch.randn(rows, dimension, device=device).half()
    block = torch.randn(columns, dimension, device=device).half()
    out = torch.empty(rows, columns, device=device)
    return rows * columns / seconds_of(lambda: score_matrix(queries, block, out), device)


def typical_shape(staged: StagedVectors, windows: Windows, plan: SearchPlan) -> tuple[int, int]:
    """Return the rows of most tiles, and the columns of their blocks."""
    memory = plan_memory(
        torch.device(plan.device), plan, galaxies=len(staged), dimension=staged.dimension
    )
    rows = np.arange(len(staged))
    tiles = [part.stop - part.start for part in cut_tiles_of(rows, windows, memory)]
    q = max(set(tiles), key=lambda size: size * tiles.count(size))
    span = int((windows.stop - windows.start).max())
    number = -(-span // memory.block_columns(q))
    return q, max(span // number // 64 * 64, 64)


def list_of(lists: Lists, row: int) -> np.ndarray:
    """Return the places of a row's neighbors."""
    number = int(np.searchsorted(lists.rows, row))
    start = int(lists.lengths[:number].sum())
    return lists.positions[start : start + int(lists.lengths[number])]


def search_all(
    staged: StagedVectors, windows: Windows, plan: SearchPlan, sample: np.ndarray
) -> tuple[float, dict[int, np.ndarray], int | None]:
    """Search every row: seconds, the lists of the sample, rows loaded to the device."""
    sample = np.sort(sample)
    kept: dict[int, np.ndarray] = {}
    device = torch.device(plan.device)
    begun = time.perf_counter()
    with NeighborSearch(staged, windows, plan) as search:
        # What a process does once: kernels are compiled, memory for results is pinned.
        few = min(65_536, len(staged) // 4) if device.type == "cuda" else 64
        middle = len(staged) // 2
        for _ in search.lists(middle, middle + few):
            pass
        for _ in search.lists(0, few):
            pass
    synchronize(device)
    print(f"warmed up in {time.perf_counter() - begun:.1f} s", flush=True)
    with NeighborSearch(staged, windows, plan) as search:
        start = time.perf_counter()
        done = 0
        for lists in search.lists(0, len(staged)):
            done += len(lists.rows)
            here = slice(*np.searchsorted(sample, [lists.rows[0], lists.rows[-1] + 1]))
            for row in sample[here].tolist():
                kept[row] = list_of(lists, row).copy()
        seconds = time.perf_counter() - start
        torch_search = getattr(search, "_torch", None)
        loaded = torch_search.resident.loaded_rows if torch_search else None
    assert done == len(staged)
    return seconds, kept, loaded


def compare(
    staged: StagedVectors,
    windows: Windows,
    found: dict[int, np.ndarray],
    k: int,
    device: torch.device,
) -> tuple[float, int]:
    """Compare lists with a float64 brute force that shares no code with the search."""
    right = wanted = order_errors = 0
    for row, positions in found.items():
        start, stop = int(windows.start[row]), int(windows.stop[row])
        own = torch.as_tensor(staged.vectors[row].astype(np.float64), device=device)
        cosines = np.empty(stop - start)
        for first in range(start, stop, 65_536):
            last = min(first + 65_536, stop)
            block = torch.as_tensor(staged.vectors[first:last].copy(), device=device).double()
            cosines[first - start : last - start] = (block @ own).cpu().numpy()
        cosines /= staged.norms[start:stop] * staged.norms[row]
        cosines[row - start] = -np.inf
        order = np.lexsort((staged.galaxy_ids[start:stop], -cosines))
        truth = order[: min(k, stop - start - 1)] + start
        wanted += len(truth)
        right += len(np.intersect1d(truth, positions))
        same = min(len(truth), len(positions))
        order_errors += int((truth[:same] != positions[:same]).sum())
        order_errors += abs(len(truth) - len(positions))
    return right / wanted if wanted else 1.0, order_errors


def measure(
    staged: StagedVectors, windows: Windows, plan: SearchPlan, sample_size: int
) -> Measured:
    """Search, compare a sample, and relate the rate to the matrix product's."""
    device = torch.device(plan.device)
    n = len(staged)
    pairs = float((windows.stop - windows.start).sum())
    most = ceiling(device, typical_shape(staged, windows, plan), staged.dimension)
    generator = np.random.default_rng(1)
    sample = generator.choice(n, min(sample_size, n), replace=False)
    sample[:3] = 0, n // 2, n - 1
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    seconds, found, loaded = search_all(staged, windows, plan, sample)
    used = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    recall, order_errors = compare(staged, windows, found, plan.k, device)
    fraction = pairs / n**2
    return Measured(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        engine=plan.chosen_engine,
        galaxies=n,
        dimension=staged.dimension,
        k=plan.k,
        window_fraction=fraction,
        seconds=seconds,
        useful_per_second=pairs / seconds,
        ceiling_per_second=most,
        of_ceiling=pairs / seconds / most,
        recall=recall,
        order_errors=order_errors,
        sample=len(found),
        hours_at_42_million=fraction * PAPER_GALAXIES**2 / (pairs / seconds) / 3600,
        device_gib=used,
        host_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        loaded_gib=None if loaded is None else loaded * 2 * staged.dimension / 2**30,
    )


def told(measured: Measured) -> str:
    """Put a measurement into a few lines."""
    rate, most = measured.useful_per_second / 1e9, measured.ceiling_per_second / 1e9
    lines = [
        f"{measured.engine} on {measured.device}: N {measured.galaxies:,}, d {measured.dimension}, "
        f"k {measured.k}, window fraction {measured.window_fraction:.3f}",
        f"  {measured.seconds:.2f} s, {rate:.3g} G useful similarities/s, "
        f"{measured.of_ceiling:.2f} of the matrix product's {most:.3g}",
        f"  {measured.sample} lists against float64: recall {measured.recall:.6f}, "
        f"{measured.order_errors} order errors",
        f"  42.27 million: {measured.hours_at_42_million:.2f} h "
        f"({PAPER_FRACTION * PAPER_GALAXIES**2 / measured.useful_per_second / 3600:.2f} h at a "
        f"window fraction of {PAPER_FRACTION}); host memory {measured.host_gib:.1f} GiB",
    ]
    if measured.device_gib is not None:
        lines.append(f"  device memory {measured.device_gib:.1f} GiB")
    if measured.loaded_gib is not None:
        lines.append(f"  vectors loaded {measured.loaded_gib:.2f} GiB")
    return "\n".join(lines)


def print_stages(staged: StagedVectors, windows: Windows, plan: SearchPlan) -> None:
    """Time the parts of one tile in the middle, each by itself."""
    device = torch.device(plan.device)
    n = len(staged)
    memory = plan_memory(device, plan, galaxies=n, dimension=staged.dimension)
    resident = ResidentRows(staged, device, capacity=memory.resident_rows)
    scores = torch.empty(memory.scores, device=device)
    middle = np.arange(n // 2, min(n // 2 + memory.tile_rows, n))
    rows = middle[next(iter(cut_tiles_of(middle, windows, memory)))]
    options = {"k": plan.k, "columns": columns_kept(plan.k), "roundoffs": 256.0}
    batch = Batch(rows, windows, resident, memory, scores=scores, **options)
    whole = time.perf_counter()
    batch.run()
    synchronize(device)
    whole = time.perf_counter() - whole
    tile = batch.tiles[0]
    first, stop = tile.union
    stop = min(stop, first + memory.block_columns(len(rows)))
    start, block = next(resident.pieces(first, stop))
    w = len(block.squares)
    own = scores[: len(rows) * w].view(len(rows), w)
    score_matrix(tile.queries.screening, block.screening, own)
    mask_outside(own, start, tile)
    maxima = segment_maxima(own, 16)
    inner = own.view(len(rows), -1, 16)
    outer = own.view(len(rows), 16, -1)
    m = int(tile.kept.counts.max())
    slots = tile.kept.positions[:, :m].long() % resident.capacity
    slots[tile.kept.positions[:, :m] < 0] = -1
    ids = torch.as_tensor(staged.galaxy_ids, device=device)
    low = kth_largest(maxima, plan.k) if maxima.shape[1] >= plan.k else tile.kept.cut
    stages: dict[str, Callable[[], object]] = {
        "matrix product": lambda: score_matrix(tile.queries.screening, block.screening, own),
        "mask": lambda: mask_outside(own, start, tile),
        "segment maxima": lambda: segment_maxima(own, 16),
        "  torch, inner": lambda: inner.amax(dim=2),
        "  torch, outer": lambda: outer.amax(dim=1),
        "k-th of maxima": lambda: kth_largest(maxima, plan.k),
        "  of coarser": lambda: kth_largest(maxima.view(len(rows), -1, 4).amax(dim=2), plan.k),
        "  by topk": lambda: torch.topk(maxima, min(plan.k, maxima.shape[1]), sorted=False),
        "passing k-th": lambda: passing(own, maxima, low),
        "k-th of kept": lambda: kth_largest(tile.kept.scores[:, :m], plan.k),
        "tighten": tile.selection.tighten,
        "exact cosines": lambda: candidate_dots(resident.rows.vectors, tile.queries.vectors, slots),
        "sort and send": lambda: send(rows, tile.kept, ids, k=plan.k).lists(),
    }
    useful = float((windows.stop[rows] - windows.start[rows]).sum())
    print(
        f"a tile of {len(rows)} rows, windows of {tile.union[1] - first} columns, the first block "
        f"{stop - first}; {m} candidates at most; {1e3 * whole:.1f} ms the first time"
    )
    again = Batch(rows, windows, resident, memory, scores=scores, **options)
    synchronize(device)
    whole = time.perf_counter()
    again.run()
    synchronize(device)
    whole = time.perf_counter() - whole
    print(f"  {'whole tile':16s} {1e3 * whole:9.2f} ms  {useful / whole / 1e9:8.2f} G useful/s")
    for name, stage in stages.items():
        seconds = seconds_of(stage, device)
        print(f"  {name:16s} {1e3 * seconds:9.2f} ms  {len(rows) * w / seconds / 1e9:8.1f} G/s")
    resident.close()


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--galaxies", type=int, nargs="+", default=[300_000, 1_000_000])
    parser.add_argument("--engine", nargs="+", default=["torch"], help="torch, faiss, product")
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("-k", type=int, default=999)
    parser.add_argument("--data", default="latent", choices=["latent", "collapsed", "copies"])
    parser.add_argument("--sample", type=int, default=200, help="lists to compare with float64")
    parser.add_argument("--tile-rows", type=int)
    parser.add_argument("--memory-gib", type=float, help="for vectors on the device")
    parser.add_argument("--stages", action="store_true", help="time the parts of one tile instead")
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    options = parser.parse_args()
    if "faiss" in options.engine:
        with suppress(ImportError):
            import faiss_preload  # noqa: F401, PLC0415 - finds CUDA where it came with torch
    results = []
    for n in options.galaxies:
        staged = make_galaxies(
            n, options.dimension, torch.device(options.device), data=options.data
        )
        windows = magnitude_windows(staged.magnitudes, WIDTH)
        for engine in options.engine:
            plan = SearchPlan(
                k=options.k,
                device=options.device,
                engine=engine,
                tile_rows=options.tile_rows,
                memory_bytes=int(options.memory_gib * 2**30) if options.memory_gib else None,
            )
            if options.stages:
                print_stages(staged, windows, plan)
                continue
            results.append(measure(staged, windows, plan, options.sample))
            print(told(results[-1]), flush=True)
            if options.json:
                text = json.dumps([asdict(result) for result in results], indent=1)
                options.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Make N galaxies whose embeddings look like a trained encoder's, at any N and 2,048 dimensions.

    python benchmarks/search/data.py --real real.npy --galaxies 1000000 --output FOLDER
        [--case trained --case slow] [--seed 1]

Writes FOLDER/catalog.parquet and, for each case, FOLDER/CASE.npy: (n, 2048) float16 rows of unit
length. The same arguments give the same bytes, and the first rows do not depend on n. ``--check``
prints instead how spectrum, intrinsic dimension and neighbor distances compare with the real ones.

How the case ``trained`` is made
    Real embeddings (real_embeddings.py) are projected on their first 128 principal axes. A new
    galaxy is a smoothed bootstrap: a real one, drawn towards the mean of its 12 nearest neighbors
    and moved by a random combination of their differences. So the local spread has the directions,
    the dimension and the size that the real embeddings have there, and neighbor distances shrink
    with N as N^(-1/dimension), without clumps around the real ones. How far it is drawn is fitted,
    so that a bootstrap of the real number has the real median distance to the tenth neighbor
    (``--check`` shows both). The other axes follow the power law of axes 20 to 128; along
    them a galaxy is a random smooth function (random Fourier features) of its first 128
    coordinates, with the length scale at which neighbors differ as much as they do along the real
    axes 64 to 128. Then the mean is added, axes are mixed by a fixed rotation, rows are scaled to
    unit length and rounded to float16.

How the case ``slow`` is made
    Gaussian, variance falling as axis^-0.5: no low dimension to find, 63 axes hold a sixth of the
    variance, all neighbors are nearly equally far. Mean and total variance are those of
    ``trained``, and so are the first two coordinates, which the magnitude depends on.

The catalog
    5,100 square degrees, a fifth of the galaxies in groups, rows in HEALPix order. mag_r follows
    the first two coordinates with scatter and has the counts of a magnitude-limited survey; colors
    follow the third. z_phot is independent of everything: the uncorrelated cuts are on it.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from cdshealpix import nested
from scipy import fft

from skylike.files import replaced_file

Floats = npt.NDArray[np.float32]

DIMENSION: Final = 2048
CASES: Final = ("trained", "slow")
CHUNK_ROWS: Final = 16_384
"""Galaxies made at a time from one random stream: 128 MB of float32."""

HEAD_AXES: Final = 128
"""Principal axes on which real embeddings are taken as they are."""

FIT_AXES: Final = (20, 128)
"""Axes between which the power law of the spectrum is fitted."""

LOCAL_NEIGHBORS: Final = 12
"""Neighbors whose differences make up the local spread: about twice the dimension of the real
embeddings, which is 4.5 to 5.6 (Levina & Bickel, 100 and 20 neighbors). The bootstrap then has 5.1
at 3,707 galaxies, 5.9 at 64,000 and 6.9 at 400,000; 20 neighbors give 9 at 400,000."""

SPREAD: Final = 0.8
"""Share of the neighbors' spread that a new galaxy is moved by. With 0.5, clumps remain around the
real ones (dimension 3 at 64,000)."""

SLOW_SLOPE: Final = -0.5

MAGNITUDE_LIMIT: Final = 20.0
COUNTS_SLOPE: Final = 0.55
"""log10 of the galaxies brighter than m grows by this with each magnitude."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Real embeddings (n, d) on their principal axes, with what new ones are made from."""

    head: Floats
    """Coordinates on the first axes, (n, HEAD_AXES)."""

    neighbors: npt.NDArray[np.int64]
    """Rows of the nearest neighbors, (n, LOCAL_NEIGHBORS)."""

    mean: Floats
    """The mean on those axes, and the length of its rest, (HEAD_AXES + 1,)."""

    variance: Floats
    """Along each of DIMENSION - 1 axes: measured, then the power law's."""

    slope: float
    """Of the power law."""

    length_scale: float
    """Of the smooth functions that make the further axes."""

    keep: float
    """How much of the difference to the mean of its neighbors a real one keeps."""


def analyze(real: npt.NDArray[np.floating]) -> Sample:
    """Take real unit embeddings (n, d) apart."""
    mean = real.mean(axis=0, dtype=np.float64)
    centered = real - mean
    variance, axes = np.linalg.eigh(centered.T @ centered / len(real))
    variance, axes = variance[::-1], axes[:, ::-1][:, :HEAD_AXES]
    head = (centered @ axes).astype(np.float32)  # (n, HEAD_AXES)
    distances, neighbors = nearest(head, LOCAL_NEIGHBORS)
    first, last = FIT_AXES
    numbers = np.arange(1, DIMENSION)
    fit = np.polyfit(np.log(numbers[first:last]), np.log(variance[first:last]), 1)
    power_law = np.exp(np.polyval(fit, np.log(numbers)))
    steps = (head - head[neighbors[:, 0]])[:, HEAD_AXES // 2 :]
    roughness = float(((steps**2).mean(axis=0) / (2 * variance[HEAD_AXES // 2 : HEAD_AXES])).mean())
    on_axes = mean @ axes
    rest = np.sqrt(mean @ mean - on_axes @ on_axes)
    sample = Sample(
        head,
        neighbors,
        np.append(on_axes, rest).astype(np.float32),
        np.append(variance[:HEAD_AXES], power_law[HEAD_AXES:]).astype(np.float32),
        float(fit[0]),
        _length_scale(distances[:, 0], roughness),
        1.0,
    )
    return _fitted(sample, float(np.median(distances[:, 9])))


def nearest(
    rows: Floats, k: int, queries: Floats | None = None
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return distances and rows (q, k) of the nearest others; queries are the first rows."""
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(np.ascontiguousarray(rows))
    squares, found = index.search(np.ascontiguousarray(rows if queries is None else queries), k + 1)
    return np.sqrt(np.maximum(squares[:, 1:], 0)), found[:, 1:]


def _length_scale(distances: Floats, roughness: float) -> float:
    """Solve mean(1 - exp(-r^2 / 2 l^2)) = roughness for l, by bisection in its logarithm."""
    low, high = np.log(distances[distances > 0].min()) - 5, np.log(distances.max()) + 5
    for _ in range(60):
        middle = (low + high) / 2
        found = -np.expm1(-(distances**2) / (2 * np.exp(2 * middle))).mean()
        low, high = (middle, high) if found > roughness else (low, middle)
    return float(np.exp(middle))


def _fitted(sample: Sample, wanted: float) -> Sample:
    """Fit what is kept to the median distance to the tenth neighbor among as many as are real."""
    low, high = 0.2, 1.5
    for _ in range(8):
        trial = replace(sample, keep=(low + high) / 2)
        rows = _heads(trial, len(sample.head), np.random.default_rng(0))
        found = np.median(nearest(rows, 10)[0][:, 9])
        low, high = (trial.keep, high) if found < wanted else (low, trial.keep)
    return trial


def _heads(sample: Sample, n: int, random: np.random.Generator) -> Floats:
    """Draw a smoothed bootstrap on the first axes, (n, HEAD_AXES)."""
    chosen = random.integers(len(sample.head), size=n)
    weights = random.standard_normal((n, LOCAL_NEIGHBORS), dtype=np.float32)
    weights -= weights.mean(axis=1, keepdims=True)  # combinations of differences
    weights *= SPREAD / np.sqrt(LOCAL_NEIGHBORS)
    weights += (1 - sample.keep) / LOCAL_NEIGHBORS
    rows = np.float32(sample.keep) * sample.head[chosen]
    for place in range(LOCAL_NEIGHBORS):
        rows += weights[:, place, None] * sample.head[sample.neighbors[chosen, place]]
    return rows


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that fixes the rows, made once from sample and seed."""

    sample: Sample
    seed: int
    frequencies: Floats
    """Of the random Fourier features, (HEAD_AXES, tail)."""
    phases: Floats
    signs: Floats
    """Of the rotation: two rounds, (2, DIMENSION)."""
    order: npt.NDArray[np.int64]
    """Of its axes."""


def make_recipe(real: npt.NDArray[np.floating], *, seed: int) -> Recipe:
    """Analyze real embeddings and draw what all rows share."""
    sample = analyze(real)
    random = np.random.default_rng([seed, 2**31])
    tail = DIMENSION - 1 - HEAD_AXES
    frequencies = random.standard_normal((HEAD_AXES, tail), dtype=np.float32)
    return Recipe(
        sample,
        seed,
        frequencies / np.float32(sample.length_scale),
        random.uniform(0, 2 * np.pi, tail).astype(np.float32),
        random.choice(np.array([-1, 1], dtype=np.float32), (2, DIMENSION)),
        random.permutation(DIMENSION),
    )


def iter_chunks(recipe: Recipe, n: int) -> Iterator[tuple[slice, Floats]]:
    """Yield where rows go and their coordinates on the first axes, the mean left out."""
    for number, start in enumerate(range(0, n, CHUNK_ROWS)):
        # Always a whole chunk, so that the first rows are the same for every n.
        heads = _heads(recipe.sample, CHUNK_ROWS, np.random.default_rng([recipe.seed, number]))
        stop = min(start + CHUNK_ROWS, n)
        yield slice(start, stop), heads[: stop - start]


def embeddings(recipe: Recipe, case: str, heads: Floats, start: int) -> npt.NDArray[np.float16]:
    """Return the rows (b, DIMENSION) of a case that belong to coordinates on the first axes."""
    sample = recipe.sample
    if case == "trained":
        waves = heads @ recipe.frequencies
        waves += recipe.phases
        np.cos(waves, out=waves)
        waves *= np.sqrt(2 * sample.variance[HEAD_AXES:])
        centered = np.hstack([heads, waves])  # (b, DIMENSION - 1)
    else:
        spectrum = np.arange(1, DIMENSION, dtype=np.float32) ** SLOW_SLOPE
        spectrum *= sample.variance.sum() / spectrum.sum()
        random = np.random.default_rng([recipe.seed, start, 1])
        centered = random.standard_normal((len(heads), DIMENSION - 1), dtype=np.float32)
        centered[:, :2] = heads[:, :2] / np.sqrt(sample.variance[:2])
        centered *= np.sqrt(spectrum)
    centered[:, :HEAD_AXES] += sample.mean[:HEAD_AXES]
    rest = np.full((len(heads), 1), sample.mean[HEAD_AXES], dtype=np.float32)
    rows = rotate(np.hstack([centered, rest]), recipe)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float16)


def rotate(rows: Floats, recipe: Recipe) -> Floats:
    """Mix all axes: permute, then twice random signs and an orthonormal cosine transform."""
    mixed = rows[:, recipe.order]
    for signs in recipe.signs:
        mixed *= signs
        mixed = fft.dct(mixed, norm="ortho", axis=1, overwrite_x=True, workers=-1)
    return mixed


def positions(n: int, *, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Draw right ascension and declination (n,) in HEALPix order over 120 x 48 degrees."""
    random = np.random.default_rng([seed, 2**31 + 1])
    ra = random.uniform(120, 240, n)
    dec = np.degrees(np.arcsin(random.uniform(0, np.sin(np.radians(48)), n)))
    grouped = random.random(n) < 0.2
    centers = random.integers(n, size=n) // 200 * 200  # 200 galaxies share a center
    ra = np.where(grouped, ra[centers] + random.normal(0, 0.1, n), ra) % 360
    dec = np.clip(np.where(grouped, dec[centers] + random.normal(0, 0.1, n), dec), -89, 89)
    order = np.argsort(healpix29(ra, dec), kind="stable")
    return ra[order], dec[order]


def healpix29(ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Return HEALPix indices, NESTED, order 29."""
    from astropy import units as u  # noqa: PLC0415 - half a second, for this call only
    from astropy.coordinates import Latitude, Longitude  # noqa: PLC0415

    cells: npt.NDArray[np.uint64] = nested.lonlat_to_healpix(
        Longitude(ra * u.deg), Latitude(dec * u.deg), 29
    )
    return cells


def catalog(recipe: Recipe, n: int) -> pa.Table:
    """Make the catalog rows of n galaxies."""
    spread = np.sqrt(recipe.sample.variance[:3])
    scores = np.vstack([heads[:, :3] / spread for _, heads in iter_chunks(recipe, n)])  # (n, 3)
    random = np.random.default_rng([recipe.seed, 2**31 + 2])
    latent = scores @ np.array([0.6, 0.4, 0.0]) + random.normal(0, 0.6, n)
    rank = (np.argsort(np.argsort(latent)) + 0.5) / n
    mag_r = MAGNITUDE_LIMIT + np.log10(rank) / COUNTS_SLOPE
    g_r = 0.75 + 0.25 * np.tanh(scores[:, 2]) + random.normal(0, 0.05, n)
    r_z = 0.45 + 0.15 * np.tanh(scores[:, 2]) + random.normal(0, 0.05, n)
    ra, dec = positions(n, seed=recipe.seed)
    ebv = 0.03 + 0.02 * np.sin(np.radians(3 * ra)) * np.cos(np.radians(5 * dec))
    kinds = np.array(["REX", "EXP", "DEV", "SER"])
    z_phot = random.gamma(4, 0.07, n)
    columns = {
        "ra": ra,
        "dec": dec,
        "mag_g": mag_r + g_r,
        "mag_r": mag_r,
        "mag_z": mag_r - r_z,
        "ebv": ebv + np.abs(random.normal(0, 0.005, n)),
        "z_phot": z_phot,
        "z_spec": np.where(random.random(n) < 0.05, z_phot + random.normal(0, 0.02, n), np.nan),
        "maskbits": np.where(random.random(n) < 0.03, 1 << random.integers(0, 12, n), 0),
    }
    arrays = {
        name: pa.array(values.astype(np.float32), from_pandas=True)
        if name not in {"ra", "dec", "maskbits"}
        else pa.array(values)
        for name, values in columns.items()
    }
    return pa.table(
        arrays | {"type": pa.array(kinds[random.choice(4, n, p=[0.3, 0.3, 0.25, 0.15])])}
    )


def write(recipe: Recipe, n: int, cases: list[str], folder: Path) -> None:
    """Write catalog and vectors; files appear whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with replaced_file(folder / "catalog.parquet") as part:
        pq.write_table(catalog(recipe, n), part)
    for case in cases:
        with replaced_file(folder / f"{case}.npy") as part:
            rows = np.lib.format.open_memmap(part, "w+", np.float16, (n, DIMENSION))
            for place, heads in iter_chunks(recipe, n):
                rows[place] = embeddings(recipe, case, heads, place.start)
            rows.flush()
            del rows
        print(f"{folder / case}.npy: {n:,} x {DIMENSION} float16", flush=True)


def check(real: npt.NDArray[np.floating], recipe: Recipe, sizes: list[int]) -> None:
    """Print spectrum, intrinsic dimension and neighbor distances beside the real ones."""
    print(f"power law of axes {FIT_AXES}: {recipe.sample.slope:.2f}", end="; ")
    print(f"of the difference to the mean of its neighbors {recipe.sample.keep:.2f} is kept")
    print(
        f"{'':24}|{'variance':>10} share of axes 1  8  63 |  d  | distance to neighbor 1, 10, 100"
    )
    describe(f"real, {len(real):,} x {real.shape[1]}", real.astype(np.float32))
    for case in CASES:
        for n in sizes:
            rows = [embeddings(recipe, case, h, s.start) for s, h in iter_chunks(recipe, n)]
            describe(f"{case}, {n:,}", np.concatenate(rows))


def describe(name: str, rows: npt.NDArray[np.floating]) -> None:
    """Print one line; neighbors of at most 500 rows among all."""
    some = np.random.default_rng(0).choice(len(rows), min(len(rows), 4000), replace=False)
    centered = rows[some].astype(np.float64) - rows[some].mean(axis=0, dtype=np.float64)
    variance = np.linalg.eigvalsh(centered.T @ centered)[::-1]
    share = np.cumsum(variance) / variance.sum()
    wide = rows.astype(np.float32)
    distances, _ = nearest(wide, 100, wide[:500])
    # Levina & Bickel 2004, with MacKay & Ghahramani's mean of inverses.
    logs = np.log(distances[:, 19:20] / distances[:, :19])
    dimension = 1 / np.mean(logs[np.isfinite(logs).all(axis=1)])
    quantiles = "  ".join(
        "/".join(f"{q:.5f}" for q in np.quantile(distances[:, k - 1], [0.1, 0.5, 0.9]))
        for k in (1, 10, 100)
    )
    print(
        f"{name:24}|{variance.sum() / len(some):10.2e} {share[0]:.2f} {share[7]:.2f} "
        f"{share[62]:.3f} | {dimension:4.1f} | {quantiles}",
        flush=True,
    )


def main() -> None:
    """Make or check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, required=True, help="from real_embeddings.py")
    parser.add_argument("--galaxies", type=int, default=1_000_000)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    real = np.load(options.real)
    recipe = make_recipe(real, seed=options.seed)
    if options.check:
        check(real, recipe, sorted({len(real), min(options.galaxies, 64_000)}))
        return
    if options.output is None:
        parser.error("--output is needed")
    write(recipe, options.galaxies, options.case or list(CASES), options.output)


if __name__ == "__main__":
    main()

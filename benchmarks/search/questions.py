"""What every method is asked, and the float64 truth: rows of the benchmark, questions, answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

K: Final = 100
FRACTIONS: Final = (0.0001, 0.001, 0.01, 0.1, 0.5)
CORRELATED: Final = "mag_r"
UNCORRELATED: Final = "z_phot"
RADII: Final = (1.0, 10.0)
"""Degrees, around each query's own position."""

TRUTH_ROWS: Final = 16_384
SAME: Final = 1e-12
"""Similarities so near the hundredth count as equal to it: float64 sums in another order differ."""


@dataclass(frozen=True)
class Cut:
    """``column < below``."""

    column: str
    below: float

    @property
    def sql(self) -> str:
        """The cut as SQL and as skylike's own cuts write it."""
        return f"{self.column} < {self.below}"


@dataclass(frozen=True)
class Cone:
    """A cone, in degrees."""

    ra: float
    dec: float
    radius: float


@dataclass(frozen=True)
class Row:
    """A row of the benchmark: a cut or the size of a cone, or neither."""

    name: str
    cut: Cut | None = None
    radius: float | None = None


@dataclass(frozen=True, eq=False)
class Question:
    """One search: the K most similar to a galaxy, without itself, inside a cut or a cone."""

    row: int
    """Of the galaxy, in the files; identifiers are ``Sky.ids[row]``."""
    galaxy_id: int
    vector: npt.NDArray[np.float16]
    """As stored (d,)."""
    cut: Cut | None
    cone: Cone | None


@dataclass(frozen=True, eq=False)
class Sky:
    """The generated galaxies, row by row as in the files."""

    ids: npt.NDArray[np.int32]
    """(n,) ascending."""
    columns: dict[str, npt.NDArray[np.float64]]
    """ra, dec, mag_r, z_phot: (n,) each, as the database compares them."""
    vectors: npt.NDArray[np.float16]
    """(n, d), a memory map."""

    @cached_property
    def points(self) -> npt.NDArray[np.float64]:
        """Unit vectors of the positions (n, 3)."""
        return unit(self.columns["ra"], self.columns["dec"])

    def mask(self, question: Question) -> npt.NDArray[np.bool_]:
        """Tell which galaxies (n,) a question is among, its own one aside."""
        if question.cut is not None:
            inside = self.columns[question.cut.column] < question.cut.below
        elif question.cone is not None:
            cone = question.cone
            center = unit(np.array([cone.ra]), np.array([cone.dec]))[0]
            chord = 2 * np.sin(np.radians(cone.radius) / 2)
            inside = ((self.points - center) ** 2).sum(axis=1) <= chord**2
        else:
            inside = np.ones(len(self.ids), dtype=np.bool_)
        inside[question.row] = False
        return inside


def unit(ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Turn degrees into unit vectors (n, 3)."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)


def open_sky(folder: Path, case: str, ids: npt.NDArray[np.int32]) -> Sky:
    """Open what data.py wrote; ids as the database gave them, in the order of the rows."""
    vectors = np.load(folder / f"{case}.npy", mmap_mode="r")
    if len(vectors) != len(ids):
        raise SystemExit(f"{folder} has {len(vectors):,} galaxies, the database {len(ids):,}")
    table = pq.read_table(
        folder / "catalog.parquet", columns=["ra", "dec", CORRELATED, UNCORRELATED]
    )
    columns = {name: table[name].to_numpy().astype(np.float64) for name in table.column_names}
    return Sky(ids, columns, vectors)


def rows_of(sky: Sky) -> list[Row]:
    """Return the rows: cuts by fraction, correlated and not, no cut, cones."""
    n = len(sky.ids)
    rows = []
    for fraction in FRACTIONS:
        for column, kind in ((CORRELATED, "correlated"), (UNCORRELATED, "uncorrelated")):
            below = np.partition(sky.columns[column], int(fraction * n))[int(fraction * n)]
            # Enough digits to be the same number in every method.
            rows.append(Row(f"{fraction:.2%} {kind}", Cut(column, float(f"{below:.6f}"))))
    rows.append(Row("100%"))
    return rows + [Row(f"cone {radius:g} deg", radius=radius) for radius in RADII]


def questions_of(sky: Sky, row: Row, queries: npt.NDArray[np.int64]) -> list[Question]:
    """Return a row's questions, one for each query galaxy."""
    return [
        Question(
            int(q),
            int(sky.ids[q]),
            np.array(sky.vectors[q]),
            row.cut,
            None
            if row.radius is None
            else Cone(float(sky.columns["ra"][q]), float(sky.columns["dec"][q]), row.radius),
        )
        for q in queries
    ]


def choose_queries(n: int, count: int, *, seed: int = 7) -> npt.NDArray[np.int64]:
    """Draw query galaxies, whatever the cut: most lie outside of a narrow one."""
    return np.sort(np.random.default_rng(seed).choice(n, count, replace=False))


def similarities(sky: Sky, queries: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return float64 cosines (q, n) of the query galaxies with all galaxies."""
    targets = normalized(np.array(sky.vectors[queries]))  # (q, d)
    found = np.empty((len(queries), len(sky.ids)))
    for place, rows in blocks(sky.vectors):
        found[:, place] = targets @ normalized(rows).T
    return found


def blocks(
    vectors: npt.NDArray[np.float16],
) -> Iterator[tuple[slice, npt.NDArray[np.float16]]]:
    """Yield blocks of rows."""
    for start in range(0, len(vectors), TRUTH_ROWS):
        place = slice(start, min(start + TRUTH_ROWS, len(vectors)))
        yield place, np.array(vectors[place])


def normalized(rows: npt.NDArray[np.float16]) -> npt.NDArray[np.float64]:
    """Divide rows (b, d) by their own norms in float64."""
    wide = rows.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide


@dataclass(frozen=True, eq=False)
class Truth:
    """The right answer to a question."""

    matching: int
    """Galaxies that meet cut or cone."""
    hundredth: float
    """Similarity of the last of the K best; of the worst where fewer match."""
    similarities: npt.NDArray[np.float64]
    """Of all galaxies (n,)."""
    inside: npt.NDArray[np.bool_]

    @property
    def expected(self) -> int:
        """How many results there are to give."""
        return min(K, self.matching)

    def recall(self, rows: npt.NDArray[np.int64]) -> float:
        """Return the share of the K best among the rows (m,) of the files that were returned."""
        if not self.expected:
            return 1.0
        rows = np.unique(rows)
        right = self.inside[rows] & (self.similarities[rows] >= self.hundredth - SAME)
        return min(int(right.sum()), self.expected) / self.expected


def truth_of(sky: Sky, question: Question, scores: npt.NDArray[np.float64]) -> Truth:
    """Return the truth of a question, from the similarities (n,) of its galaxy."""
    inside = sky.mask(question)
    chosen = scores[inside]
    place = max(0, len(chosen) - K)
    hundredth = float(np.partition(chosen, place)[place]) if len(chosen) else 1.0
    return Truth(len(chosen), hundredth, scores, inside)

"""Rows of a file of embeddings, made into shards that can be staged, with every row counted."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from skylike.embeddings.exchange.matching import NO_GALAXY, MatchedRows
from skylike.embeddings.exchange.vector_files import VectorFile
from skylike.embeddings.store_staging import Shard

SHARD_ROWS = 2048
"""Vectors that are written together: what a kill loses."""


@dataclass(frozen=True)
class VectorCounts:
    """What became of the rows of a file; the numbers add up to ``n_rows``."""

    n_rows: int
    n_embedded: int
    """Rows that are the embedding of a galaxy, those of an earlier import of this file included."""

    n_unnamed: int
    """Without identifier or position."""

    n_unmatched: int
    """Their galaxy is not in the catalog."""

    n_doubles: int
    """Another row is taken for their galaxy."""

    n_odd: int
    """Without a vector, or with one of another length."""

    n_not_finite: int
    """Vectors with NaN or infinity."""

    n_zero: int
    """Vectors of length 0, which have no direction."""


@dataclass
class Tally:
    """What became of the rows that are of a galaxy."""

    n_embedded: int = 0
    n_odd: int = 0
    n_not_finite: int = 0
    n_zero: int = 0

    def counts(self, rows: MatchedRows) -> VectorCounts:
        """Return them with the rows that are of none."""
        return VectorCounts(
            n_rows=len(rows.galaxy_id),
            n_unnamed=rows.n_unnamed,
            n_unmatched=rows.n_unmatched,
            n_doubles=rows.n_doubles,
            **asdict(self),
        )


def iter_shards(
    file: VectorFile, rows: MatchedRows, done: npt.NDArray[np.int32], tally: Tally
) -> Iterator[tuple[Shard, int]]:
    """Stream a file as shards of unit vectors; the last one may be empty.

    Parameters
    ----------
    done
        Galaxies that need none.
    tally
        Counts what is read.

    Yields
    ------
    tuple
        What is to be written, and how many rows were read for it.
    """
    is_done = np.isin(rows.galaxy_id, done)
    ids: list[npt.NDArray[np.int32]] = []
    vectors: list[npt.NDArray[np.float16]] = []
    n_read = first = 0
    for batch in file.batches():
        part = slice(first, first + len(batch.vectors))
        is_wanted = rows.galaxy_id[part] != NO_GALAXY
        tally.n_odd += int((is_wanted & batch.is_odd).sum())
        is_wanted &= ~batch.is_odd
        unit, is_good = _unit_rows(batch.vectors[is_wanted], tally)
        is_good &= ~is_done[part][is_wanted]
        ids.append(rows.galaxy_id[part][is_wanted][is_good])
        vectors.append(unit[is_good])
        first, n_read = part.stop, n_read + len(batch.vectors)
        if sum(map(len, ids)) >= SHARD_ROWS:
            yield Shard(np.concatenate(ids), None, np.concatenate(vectors)), n_read
            ids, vectors, n_read = [], [], 0
    if ids:
        yield Shard(np.concatenate(ids), None, np.concatenate(vectors)), n_read


def _unit_rows(
    vectors: npt.NDArray[np.floating], tally: Tally
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]:
    """Bring vectors (b, d) to unit length; tell which have one, and count the others."""
    exact = vectors.astype(np.float64)
    is_finite = np.asarray(np.isfinite(exact).all(axis=1))  # (b,)
    # Squares of very large or small numbers would overflow or vanish.
    largest = np.abs(np.where(is_finite[:, None], exact, 0.0)).max(axis=1)  # (b,)
    is_good = is_finite & (largest > 0)
    exact[~is_good] = 0.0
    exact /= np.where(is_good, largest, 1.0)[:, None]
    exact /= np.where(is_good, np.linalg.norm(exact, axis=1), 1.0)[:, None]
    tally.n_not_finite += int((~is_finite).sum())
    tally.n_zero += int((is_finite & ~is_good).sum())
    tally.n_embedded += int(is_good.sum())
    return exact.astype(np.float16), is_good

"""Compact vectors: short vectors whose distances never exceed the true ones.

With x a unit vector, mu the mean, B (m, d) orthonormal rows: y = B (x - mu), r = |x - mu - B^T y|,
and the compact vector is (y, r). For two vectors |x1 - x2|^2 = |y1 - y2|^2 + |rest1 - rest2|^2, and
the rests differ at least as much as their lengths do, so the distance of compact vectors is a lower
bound. Rounding to float16 may break the bound by the slack of each vector; :func:`project` measures
it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

MAX_COMPONENTS: Final = 63
"""Default m: with the length of the rest 64 entries, 136 bytes a row."""

_FLOAT32_UNIT: Final = 2.0**-24
"""Half the distance between 1 and the next float32: the relative error of one rounding."""


@dataclass(frozen=True)
class CompactBasis:
    """The projection of one encoder's embeddings."""

    mean: npt.NDArray[np.float64]
    """mu (d,): the mean of the stored embeddings, each at unit length."""

    directions: npt.NDArray[np.float64]
    """B (m, d): the first principal axes, orthonormal rows, by falling variance."""

    explained_variance: npt.NDArray[np.float64]
    """Fraction of the variance along each axis (m,); zeros where there is no variance at all."""


class Moments:
    """Sums over embeddings, from which mean and covariance follow; one pass, float64."""

    def __init__(self, dimension: int) -> None:
        self.n = 0
        self._sum = np.zeros(dimension)
        self._products = np.zeros((dimension, dimension))

    def add(self, vectors: npt.NDArray[np.float16]) -> None:
        """Take in stored embeddings (b, d)."""
        unit = unit_rows(vectors)
        self.n += len(unit)
        self._sum += unit.sum(axis=0)
        self._products += unit.T @ unit

    def pack(self) -> bytes:
        """Return the sums as bytes: float64, the sum and the upper triangle of the products."""
        upper = self._products[np.triu_indices(len(self._sum))]
        return np.concatenate([self._sum, upper]).tobytes()

    def add_packed(self, packed: bytes, *, n: int) -> None:
        """Take in what :meth:`pack` gave of other sums, over n vectors of the same dimension."""
        values, d = np.frombuffer(packed), len(self._sum)
        products = np.zeros((d, d))
        products[np.triu_indices(d)] = values[d:]
        self.n += n
        self._sum += values[:d]
        self._products += products + np.triu(products, 1).T

    def basis(self, components: int) -> CompactBasis:
        """Return mean and principal axes of what was taken in (at least one vector)."""
        mean = self._sum / self.n
        covariance = self._products / self.n - np.outer(mean, mean)  # (d, d)
        variance, axes = np.linalg.eigh(covariance)  # ascending
        variance = np.clip(variance[::-1], 0.0, None)
        # What cancellation leaves of vectors that are all the same is no variance.
        total = float(variance.sum())
        fraction = variance / total if total > 1e-12 else np.zeros_like(variance)
        return CompactBasis(
            mean, np.ascontiguousarray(axes.T[::-1][:components]), fraction[:components]
        )


def default_components(dimension: int) -> int:
    """Return the number m of components for embeddings of a dimension: half of it, at most 63."""
    return max(1, min(MAX_COMPONENTS, dimension // 2))


def unit_rows(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Divide stored vectors (n, d) by their own norms, in float64: the truth of similarity."""
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    return exact


def project(
    vectors: npt.NDArray[np.floating], basis: CompactBasis
) -> tuple[npt.NDArray[np.float16], float]:
    """Make compact vectors of embeddings.

    Parameters
    ----------
    vectors
        (n, d), of any length above 0.

    Returns
    -------
    compact : ndarray
        (n, m + 1) float16.
    slack : float
        For any two of these vectors, the distance of their compact vectors, computed in float32,
        minus twice this is at most their true distance.
    """
    centered = unit_rows(vectors) - basis.mean
    axes = basis.directions
    y = centered @ axes.T  # (n, m)
    rest = np.linalg.norm(centered - y @ axes, axis=1, keepdims=True)  # (n, 1)
    exact = np.hstack([y, rest])  # (n, m + 1)
    compact = exact.astype(np.float16)
    rounding = np.linalg.norm(compact.astype(np.float64) - exact, axis=1)
    m = len(axes)
    # pgvector sums m + 1 squares of differences in float32; no distance exceeds 2 (unit vectors).
    # The axes are orthonormal to within their Gram matrix, which stretches a length of at most 2 by
    # half of its deviation.
    arithmetic = 2.0 * (m + 4) * _FLOAT32_UNIT
    stretch = float(np.linalg.norm(axes @ axes.T - np.eye(m), 2))
    return compact, float(rounding.max(initial=0.0)) + arithmetic + 2.0 * stretch


def fit(
    batches: Iterable[npt.NDArray[np.float16]], *, dimension: int, components: int
) -> CompactBasis:
    """Find mean and principal axes of embeddings in one pass.

    Parameters
    ----------
    batches
        (b, d) stored embeddings; at least one vector in all.
    """
    moments = Moments(dimension)
    for batch in batches:
        moments.add(batch)
    return moments.basis(components)

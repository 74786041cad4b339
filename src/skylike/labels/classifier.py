"""A linear classifier of embeddings: logistic regression with an L2 penalty.

Stein et al. 2021 (arXiv:2110.00023) found 1,192 strong lenses with a linear classifier on
self-supervised embeddings beside similarity search.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from skylike.labels.metrics import Metrics, measure

Vectors = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]

PENALTIES: Final = tuple(float(10.0**power) for power in range(1, -6, -1))
"""Strengths that cross-validation chooses from. Embeddings are scaled to a mean square distance of
1 from their mean and class weights sum to 1: at 10 the weights point from one class mean to the
other, at 1e-5 classes that a plane can separate are separated."""

DEFAULT_PENALTY: Final = 0.01
"""For examples too few to cross-validate."""

MOST_FOLDS: Final = 5

_ITERATIONS: Final = 500


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Weights and intercept for unit vectors.

    Attributes
    ----------
    weights
        (d,).
    intercept
        What the scalar product needs to be 0 on the decision boundary.
    penalty
        Strength of the L2 penalty that it was fitted with.
    """

    weights: Floats
    intercept: float
    penalty: float

    def margins(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        """Return the log odds of being a member, (n,) float32, NaN for vectors of length 0.

        Parameters
        ----------
        vectors
            Stored embeddings (n, d); each counts with its direction only.
        """
        wide = vectors.astype(np.float32)  # (n, d)
        lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
        with np.errstate(invalid="ignore", divide="ignore"):
            products = (wide @ self.weights.astype(np.float32)) / lengths
        return np.asarray(products + np.float32(self.intercept), dtype=np.float32)

    def scores(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        """Return the probability of being a member if both classes were equally frequent, (n,)."""
        return np.asarray(expit(self.margins(vectors)), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Examples:
    """What a classifier learns from.

    Attributes
    ----------
    vectors
        (n, d) stored embeddings, none of length 0.
    is_member
        (n,) holds members and others.
    is_random
        (n,) others that nobody looked at: drawn at random from the unlabeled galaxies.
    """

    vectors: Vectors
    is_member: Truth
    is_random: Truth


@dataclass(frozen=True, eq=False)
class _Reduced:
    """Examples in the space that they span, where the fit is the same and has fewer unknowns."""

    rows: Floats
    """(n, r) coordinates, centered and scaled."""
    basis: Floats
    """(d, r) orthonormal columns."""
    center: Floats
    """(d,)"""
    scale: float


def fit(examples: Examples, *, penalty: float) -> LinearModel:
    """Fit a classifier with a given strength of the penalty."""
    reduced = _reduce(examples.vectors)
    weights = example_weights(examples.is_member, examples.is_random)
    solution = _minimize(
        reduced.rows,
        examples.is_member,
        weights,
        penalty,
        start=np.zeros(reduced.rows.shape[1] + 1),
    )
    return _unreduced(solution, reduced, penalty)


def cross_validate(
    examples: Examples, folds: npt.NDArray[np.int64]
) -> tuple[LinearModel, Metrics, Floats]:
    """Choose the penalty, measure the classifier on examples it has not seen, fit it on all.

    Parameters
    ----------
    folds
        (n,) which part each example is in; without any part both classes are left.

    Returns
    -------
    model : LinearModel
        With the strongest penalty whose log loss on the parts left out is within one standard error
        of the smallest (Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, 7.10):
        labels come from searches and suggestions, crowd the decision boundary, and make weaker
        penalties look better than they are on the rest of the sky.
    metrics : Metrics
        Of the log odds on the parts left out, with that penalty.
    margins : ndarray
        Those log odds, (n,).
    """
    reduced = _reduce(examples.vectors)
    held_out = np.empty((len(PENALTIES), len(folds)))
    for fold in np.unique(folds):
        learned, told = folds != fold, folds == fold
        path = _path(reduced.rows[learned], examples, learned)
        for place, solution in enumerate(path):
            held_out[place, told] = reduced.rows[told] @ solution[:-1] + solution[-1]
    weights = example_weights(examples.is_member, examples.is_random)
    chosen = _one_standard_error(_losses(held_out, examples.is_member, weights), folds)
    *_, solution = _path(reduced.rows, examples, slice(None), PENALTIES[: chosen + 1])
    metrics = measure(held_out[chosen], examples.is_member)
    return _unreduced(solution, reduced, PENALTIES[chosen]), metrics, held_out[chosen]


def example_weights(is_member: Truth, is_random: Truth) -> Floats:
    """Return the weight of each example, (n,), in all 1.

    Members and others weigh the same, and among the others those that a person has rejected weigh
    as much as the random ones: they are few, and they are what the classifier confuses.
    """
    weights = np.zeros(len(is_member))
    weights[is_member] = 0.5 / is_member.sum()
    kinds = [kind for kind in (~is_member & ~is_random, ~is_member & is_random) if kind.any()]
    for kind in kinds:
        weights[kind] = 0.5 / len(kinds) / kind.sum()
    return weights


def assign_folds(
    groups: npt.NDArray[np.int64], is_member: Truth, hashed: Floats
) -> npt.NDArray[np.int64]:
    """Deal groups of examples into parts, members as evenly as groups allow.

    Parameters
    ----------
    groups
        (n,) numbers; examples of one group (one patch of sky) share a part.
    hashed
        (n,) random numbers that order the groups.

    Returns
    -------
    ndarray
        (n,) from 0; :data:`MOST_FOLDS` parts, or as many as there are groups with members.
    """
    numbers, place = np.unique(groups, return_inverse=True)
    has_member = np.zeros(len(numbers), dtype=bool)
    np.logical_or.at(has_member, place, is_member)
    random = np.ones(len(numbers))
    np.minimum.at(random, place, hashed)
    order = np.lexsort((random, ~has_member))
    fold = np.empty(len(numbers), dtype=np.int64)
    fold[order] = np.arange(len(numbers)) % min(MOST_FOLDS, int(has_member.sum()))
    return fold[place]


def _reduce(vectors: Vectors) -> _Reduced:
    rows = vectors.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    center = rows.mean(axis=0)
    rows -= center
    scale = float(np.sqrt((rows * rows).sum(axis=1).mean())) or 1.0
    rows /= scale
    if rows.shape[0] >= rows.shape[1]:
        return _Reduced(rows, np.eye(rows.shape[1]), center, scale)
    basis, triangle = np.linalg.qr(rows.T)  # (d, n), (n, n): rows = triangle.T @ basis.T
    return _Reduced(np.ascontiguousarray(triangle.T), basis, center, scale)


def _unreduced(solution: Floats, reduced: _Reduced, penalty: float) -> LinearModel:
    weights = reduced.basis @ solution[:-1] / reduced.scale  # (d,)
    return LinearModel(weights, float(solution[-1] - weights @ reduced.center), penalty)


def _path(
    rows: Floats,
    examples: Examples,
    chosen: Truth | slice,
    penalties: Sequence[float] = PENALTIES,
) -> Iterator[Floats]:
    """Fit from the strongest penalty to weaker ones, each starting where the last one ended."""
    is_member = examples.is_member[chosen]
    weights = example_weights(is_member, examples.is_random[chosen])
    solution = np.zeros(rows.shape[1] + 1)
    for penalty in penalties:
        solution = _minimize(rows, is_member, weights, penalty, start=solution)
        yield solution


def _minimize(
    rows: Floats, is_member: Truth, weights: Floats, penalty: float, *, start: Floats
) -> Floats:
    """Minimize the weighted log loss + penalty / 2 |w|^2: (r + 1,), the intercept last, free."""
    sign = np.where(is_member, 1.0, -1.0)

    def loss(solution: Floats) -> tuple[float, Floats]:
        slopes = solution[:-1]
        signed = sign * (rows @ slopes + solution[-1])  # (n,)
        pull = -sign * weights * expit(-signed)  # (n,) derivative by the log odds
        value = weights @ np.logaddexp(0, -signed) + penalty / 2 * slopes @ slopes
        return float(value), np.append(rows.T @ pull + penalty * slopes, pull.sum())

    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _ITERATIONS, "gtol": 1e-8, "ftol": 1e-12},
    )
    return np.asarray(found.x, dtype=np.float64)


def _losses(margins: Floats, is_member: Truth, weights: Floats) -> Floats:
    """Return the share of each example in the weighted log loss: margins (p, n) to (p, n)."""
    return np.asarray(weights * np.logaddexp(0, np.where(is_member, -margins, margins)))


def _one_standard_error(losses: Floats, folds: npt.NDArray[np.int64]) -> int:
    """Return the first penalty, (p, n) losses, that is not clearly worse than the best."""
    n_folds = int(folds.max()) + 1
    by_fold = n_folds * np.stack(
        [losses[:, folds == f].sum(axis=1) for f in range(n_folds)], axis=1
    )
    mean = by_fold.mean(axis=1)  # (p,)
    best = int(np.argmin(mean))
    error = by_fold[best].std(ddof=1) / np.sqrt(n_folds)
    return int(np.argmax(mean <= mean[best] + error))

"""Probes: classes told by the neighbors of an embedding, and by planes through its space."""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

Floats = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]

UNDECIDED: Final = -1
"""Predicted where a galaxy has no neighbor to vote."""

FOLDS: Final = 5

PENALTIES: Final = (1.0, 0.1, 0.01, 0.001, 0.0001)
"""Strengths of the L2 penalty that a probe chooses from, strongest first; the log loss is a mean
over galaxies and features have unit variance."""

_HELD_OUT: Final = 5
"""One in so many of the galaxies of a training part chooses the penalty."""

_ITERATIONS: Final = 300


def neighbor_vote(lists: npt.NDArray[np.int64], classes: Classes, *, k: int) -> Classes:
    """Return the most frequent class among the first k of each list; ties go to the nearest, (n,).

    Parameters
    ----------
    lists
        (n, m) places of the neighbors, nearest first, the galaxy itself left out, -1 where a list
        has ended.
    classes
        (n,) numbers of the classes from 0.
    """
    first = lists[:, :k]  # (n, k)
    voted = np.where(first >= 0, classes[first], UNDECIDED)
    n_classes = int(classes.max(initial=0)) + 1
    # A vote of the neighbor at rank r counts 1 + a little, less for higher ranks: it breaks ties
    # for the class whose nearest neighbor comes first, and can never outweigh a whole vote.
    score = np.zeros((len(lists), n_classes))
    for label in range(n_classes):
        is_for = voted == label  # (n, k)
        nearest = np.where(is_for.any(axis=1), is_for.argmax(axis=1), k)
        score[:, label] = is_for.sum(axis=1) + 0.5 * (1 - nearest / k)
    best = score.argmax(axis=1)
    return np.where((voted >= 0).any(axis=1), best, UNDECIDED)


def stratified_folds(classes: Classes, *, folds: int = FOLDS, seed: int = 0) -> Classes:
    """Deal galaxies to folds at random, those of each class as evenly as can be: (n,) from 0."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]
    assigned = np.empty(len(classes), dtype=np.int64)
    assigned[order] = np.arange(len(classes)) % folds  # on through the classes: folds stay even
    return assigned


def fit_softmax(
    rows: Floats,
    classes: Classes,
    n_classes: int,
    *,
    penalty: float,
    start: Floats | None = None,
) -> Floats:
    """Fit multinomial logistic regression: (n_classes, d + 1) weights, the last an intercept.

    The mean log loss plus ``penalty / 2`` times the sum of the squared weights, intercepts left
    free but for a millionth of it (a class without galaxies would have no minimum), by L-BFGS.

    Parameters
    ----------
    rows
        (n, d) standardized features.
    start
        Weights to begin with, as returned; None begins with zeros.
    """
    n, d = rows.shape
    target = np.zeros((n, n_classes))
    target[np.arange(n), classes] = 1.0
    strength = np.full(d + 1, penalty)
    strength[-1] = 1e-6 * penalty

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(n_classes, d + 1)
        logits = rows @ weights[:, :-1].T + weights[:, -1]  # (n, c)
        normalizer = logsumexp(logits, axis=1)
        value = float((normalizer - logits[np.arange(n), classes]).mean())
        excess = (np.exp(logits - normalizer[:, None]) - target) / n  # (n, c)
        gradient = np.column_stack([excess.T @ rows, excess.sum(axis=0)]) + strength * weights
        return value + 0.5 * float((strength * weights**2).sum()), gradient.ravel()

    begin = np.zeros((n_classes, d + 1)) if start is None else start
    found = minimize(
        loss,
        begin.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _ITERATIONS, "gtol": 1e-5},
    )
    return np.asarray(found.x, dtype=np.float64).reshape(n_classes, d + 1)


def probabilities(rows: Floats, weights: Floats) -> Floats:
    """Return the probability of each class for rows (n, d): (n, n_classes)."""
    return np.asarray(softmax(rows @ weights[:, :-1].T + weights[:, -1], axis=1), dtype=np.float64)


def linear_probe(
    vectors: npt.NDArray[np.floating], classes: Classes, *, folds: int = FOLDS, seed: int = 0
) -> Classes:
    """Predict the class of each galaxy by a linear classifier that was fitted without it, (n,).

    In each of the folds the features are standardized, the penalty is chosen by a part of the
    training galaxies that is held out, and the classifier is then fitted on all of them: nothing of
    the galaxies that are judged enters.

    Parameters
    ----------
    vectors
        (n, d) embeddings.
    classes
        (n,) numbers of the classes from 0.
    """
    n_classes = int(classes.max(initial=0)) + 1
    rows = np.asarray(vectors, dtype=np.float64)
    assigned = stratified_folds(classes, folds=folds, seed=seed)
    predicted = np.full(len(classes), UNDECIDED, dtype=np.int64)
    for fold in range(folds):
        judged = assigned == fold
        if not judged.any() or judged.all():
            continue
        scale = Standardization(rows[~judged])
        learned, known = scale(rows[~judged]), classes[~judged]
        weights = _fit_chosen(learned, known, n_classes, seed=seed + 1 + fold)
        predicted[judged] = probabilities(scale(rows[judged]), weights).argmax(axis=1)
    return predicted


class Standardization:
    """Shifts features to mean 0 and scales them to variance 1, as measured on training rows.

    Parameters
    ----------
    rows
        (n, d); a feature that never varies there is only shifted.
    """

    def __init__(self, rows: Floats) -> None:
        self._mean = rows.mean(axis=0)
        deviation = rows.std(axis=0)
        # Relative to rounding: a constant feature has a deviation of about 1e-17, not 0.
        varies = deviation > 1e-9 * np.maximum(np.abs(self._mean), 1e-30)
        self._scale = np.where(varies, deviation, 1.0)

    def __call__(self, rows: Floats) -> Floats:
        """Return rows (n, d) standardized."""
        return np.asarray((rows - self._mean) / self._scale, dtype=np.float64)


def _fit_chosen(rows: Floats, classes: Classes, n_classes: int, *, seed: int) -> Floats:
    """Fit with the penalty whose log loss on held out galaxies is the smallest."""
    held_out = stratified_folds(classes, folds=_HELD_OUT, seed=seed) == 0
    told = classes[held_out]
    best, chosen = np.inf, PENALTIES[0]
    weights: Floats | None = None
    if 0 < held_out.sum() < len(rows):
        for penalty in PENALTIES:
            weights = fit_softmax(
                rows[~held_out], classes[~held_out], n_classes, penalty=penalty, start=weights
            )
            likelihood = probabilities(rows[held_out], weights)[np.arange(len(told)), told]
            loss = float(-np.log(np.maximum(likelihood, 1e-300)).mean())
            if loss >= best:  # weaker penalties overfit from here on
                break
            best, chosen = loss, penalty
    return fit_softmax(rows, classes, n_classes, penalty=chosen, start=weights)

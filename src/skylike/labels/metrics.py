"""How well scores tell members from others: average precision, ROC AUC, precision of the best."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Scores = npt.NDArray[np.floating]
Truth = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Metrics:
    """What cross-validated scores are worth.

    Attributes
    ----------
    average_precision
        Mean of the precision at each member, from the best score down.
    chance
        Average precision of a random order: the fraction of members.
    roc_auc
        Probability that a member has a higher score than another galaxy; ties count half.
    top_n
        N of ``precision_top_n``: the number of members, so that 1 can be reached.
    precision_top_n
        Fraction of members among the N best scores.
    """

    average_precision: float
    chance: float
    roc_auc: float
    top_n: int
    precision_top_n: float


def measure(scores: Scores, is_member: Truth) -> Metrics:
    """Measure scores (n,) against the truth (n,), which holds members and others."""
    n_members = int(is_member.sum())
    return Metrics(
        average_precision=average_precision(scores, is_member),
        chance=n_members / len(is_member),
        roc_auc=roc_auc(scores, is_member),
        top_n=n_members,
        precision_top_n=precision_of_best(scores, is_member, n=n_members),
    )


def average_precision(scores: Scores, is_member: Truth) -> float:
    """Return the sum over thresholds of precision times the gain in recall.

    Equal scores are one threshold, so that the order within a tie does not count (the definition of
    scikit-learn's ``average_precision_score``).
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    hits = np.cumsum(is_member[order])  # (n,)
    last_of_tie = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    found = hits[last_of_tie]
    precision = found / (last_of_tie + 1)
    gained = np.diff(found, prepend=0)
    return float((precision * gained).sum() / hits[-1])


def roc_auc(scores: Scores, is_member: Truth) -> float:
    """Return the area under the ROC curve: the Mann-Whitney statistic of the ranks."""
    n_members = int(is_member.sum())
    n_others = len(is_member) - n_members
    ranks = rankdata(scores)  # (n,) ties share their mean rank
    above = ranks[is_member].sum() - n_members * (n_members + 1) / 2
    return float(above / (n_members * n_others))


def precision_of_best(scores: Scores, is_member: Truth, *, n: int) -> float:
    """Return the fraction of members among the n best scores.

    Of galaxies that tie with the n-th, each counts by the chance of being taken.
    """
    threshold = np.sort(scores)[::-1][n - 1]
    above, tied = scores > threshold, scores == threshold
    share = (n - above.sum()) / tied.sum()
    return float((is_member[above].sum() + share * is_member[tied].sum()) / n)

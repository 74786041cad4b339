"""All metrics of one set of vectors against classes and vote fractions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.evaluation.bootstrap import Estimate, estimate_balanced, estimate_mean
from skylike.evaluation.probes import linear_probe, neighbor_vote
from skylike.evaluation.ranking import (
    ceiling_precision,
    chance_ndcg,
    chance_precision,
    ndcg,
    precision_by_query,
)
from skylike.evaluation.similar import similar_lists
from skylike.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]

PRECISION_AT: Final = (1, 10, 100)
"""Lengths of the lists whose precision is measured."""

NDCG_AT: Final = 10
VOTERS: Final = (1, 10)
"""Neighbors that vote on a class."""


@dataclass(frozen=True)
class Score:
    """A metric of one method on one class, or on all.

    Attributes
    ----------
    estimate
        The mean over queries and its interval.
    chance
        What a random order reaches, or for an accuracy the guess that is best without an image.
    ceiling
        What the best order reaches: below 1 where a class has fewer galaxies than the list places.
    """

    estimate: Estimate
    chance: float
    ceiling: float = 1.0


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of the images, in their order.

    Attributes
    ----------
    names
        The classes.
    classes
        (n,) numbers of the classes; None where only fractions are measured.
    fractions
        (n,) vote fractions, NaN where unknown, by the name of the column.
    queries
        Places of the galaxies to ask with, for each fraction.
    """

    names: tuple[str, ...]
    classes: npt.NDArray[np.int64] | None
    fractions: Mapping[str, Floats]
    queries: Mapping[str, npt.NDArray[np.int64]]


Scores = dict[str, Score | None]
"""By the name of the metric; None where there are too few images for it."""


@dataclass(frozen=True)
class MethodScores:
    """What one method reached.

    Attributes
    ----------
    classes
        By class.
    overall
        Over all images; means over classes, which weigh the same, are named ``mean_...``.
    fractions
        By the column of the fraction.
    """

    classes: Mapping[str, Scores]
    overall: Scores
    fractions: Mapping[str, Scores]


def measure_vectors(
    stored: npt.NDArray[np.float16],
    truth: Truth,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> MethodScores:
    """Search with every image among all others and score the lists, and probe the classes.

    Parameters
    ----------
    stored
        (n, d) of :func:`skylike.evaluation.similar.as_stored`; zero rows have no list and count as
        failures.
    """
    n = len(stored)
    lists = similar_lists(stored, k=min(max(PRECISION_AT), n - 1), device=device, progress=progress)
    fractions = {
        name: {f"ndcg@{NDCG_AT}": _fraction_score(lists, known, truth.queries[name], seed=seed)}
        for name, known in truth.fractions.items()
    }
    if truth.classes is None:
        return MethodScores({}, {}, fractions)
    by_query = _ranking_by_query(lists, truth.classes)
    with progress.task("Probe", unit="probes") as task:
        hits = _accuracy_by_query(stored, lists, truth.classes, seed=seed)
        task.advance()
    by_class = {
        name: _class_scores(by_query, hits, truth.classes == number, seed=seed)
        for number, name in enumerate(truth.names)
    }
    return MethodScores(by_class, _overall(by_query, hits, truth, seed=seed), fractions)


@dataclass(frozen=True, eq=False)
class _ByQuery:
    """A metric of every query, all (n,)."""

    values: Floats
    chance: Floats
    ceiling: Floats


def _ranking_by_query(
    lists: npt.NDArray[np.int64], classes: npt.NDArray[np.int64]
) -> dict[str, _ByQuery | None]:
    """Return precision and nDCG of every query; None for lists longer than there are galaxies."""
    found: dict[str, _ByQuery | None] = {}
    for k in PRECISION_AT:
        found[f"precision@{k}"] = (
            _ByQuery(
                precision_by_query(lists, classes, k=k),
                chance_precision(classes),
                ceiling_precision(classes, k=k),
            )
            if k <= lists.shape[1]
            else None
        )
    found[f"ndcg@{NDCG_AT}"] = None
    if lists.shape[1] >= NDCG_AT:
        n = len(classes)
        values, chance = np.empty(n), np.empty(n)
        for number in np.unique(classes):
            mine = np.flatnonzero(classes == number)
            relevance = (classes == number).astype(np.float64)
            values[mine] = ndcg(lists, relevance, k=NDCG_AT, queries=mine)
            chance[mine] = chance_ndcg(relevance, k=NDCG_AT, queries=mine)
        found[f"ndcg@{NDCG_AT}"] = _ByQuery(values, chance, np.ones(n))
    return found


def _accuracy_by_query(
    stored: npt.NDArray[np.float16],
    lists: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
    *,
    seed: int,
) -> dict[str, Floats | None]:
    """Return whether each galaxy's class was told, 1 or 0, by each way to tell it."""
    found: dict[str, Floats | None] = {}
    for k in VOTERS:
        name = f"{k}_neighbor_accuracy"
        voted = neighbor_vote(lists, classes, k=k) if k <= lists.shape[1] else None
        found[name] = None if voted is None else (voted == classes).astype(np.float64)
    probed = linear_probe(stored, classes, seed=seed)
    found["linear_probe_accuracy"] = (probed == classes).astype(np.float64)
    return found


def _class_scores(
    by_query: Mapping[str, _ByQuery | None],
    hits: Mapping[str, Floats | None],
    mine: npt.NDArray[np.bool_],
    *,
    seed: int,
) -> Scores:
    scores: Scores = {}
    for name, metric in by_query.items():
        scores[name] = None if metric is None else _score(metric, mine, seed=seed)
    for name, values in hits.items():
        chance = float(mine.mean())  # of guesses as frequent as the classes are
        scores[name] = (
            None if values is None else Score(estimate_mean(values[mine], seed=seed), chance)
        )
    return scores


def _score(metric: _ByQuery, mine: npt.NDArray[np.bool_], *, seed: int) -> Score | None:
    estimate = estimate_mean(metric.values[mine], seed=seed)
    if not estimate.n:
        return None
    chance = metric.chance[mine]
    return Score(
        estimate, float(chance[~np.isnan(chance)].mean()), float(metric.ceiling[mine].mean())
    )


def _overall(
    by_query: Mapping[str, _ByQuery | None],
    hits: Mapping[str, Floats | None],
    truth: Truth,
    *,
    seed: int,
) -> Scores:
    classes = truth.classes
    assert classes is not None  # noqa: S101 - asked by measure_vectors only
    groups = [classes == number for number in range(len(truth.names))]
    scores: Scores = {}
    for name, metric in by_query.items():
        scores[f"mean_{name}"] = None if metric is None else _balanced(metric, groups, seed=seed)
    majority = max(float(mine.mean()) for mine in groups)
    for name, values in hits.items():
        scores[name] = scores[f"balanced_{name}"] = None
        if values is not None:
            scores[name] = Score(estimate_mean(values, seed=seed), majority)
            scores[f"balanced_{name}"] = Score(
                estimate_balanced([values[mine] for mine in groups], seed=seed), 1 / len(groups)
            )
    return scores


def _balanced(
    metric: _ByQuery, groups: Sequence[npt.NDArray[np.bool_]], *, seed: int
) -> Score | None:
    estimate = estimate_balanced([metric.values[mine] for mine in groups], seed=seed)
    if not estimate.n:
        return None
    judged = [mine & ~np.isnan(metric.values) for mine in groups]
    judged = [mine for mine in judged if mine.any()]
    return Score(
        estimate,
        float(np.mean([metric.chance[mine].mean() for mine in judged])),
        float(np.mean([metric.ceiling[mine].mean() for mine in judged])),
    )


def _fraction_score(
    lists: npt.NDArray[np.int64], known: Floats, queries: npt.NDArray[np.int64], *, seed: int
) -> Score | None:
    """Score graded relevance; an unknown fraction is relevance 0, as in the public protocol."""
    if not len(queries) or lists.shape[1] < NDCG_AT:
        return None
    relevance = np.nan_to_num(known, nan=0.0)
    values = ndcg(lists, relevance, k=NDCG_AT, queries=queries)
    chance = chance_ndcg(relevance, k=NDCG_AT, queries=queries)
    estimate = estimate_mean(values, seed=seed)
    return Score(estimate, float(np.nanmean(chance))) if estimate.n else None

"""Metrics of ranked lists: precision@k and nDCG@k, with what chance and the best ranking give."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Lists = npt.NDArray[np.int64]
"""(q, m) places of the results, best first, -1 where a list has ended; never the query itself."""


def precision_by_query(lists: Lists, classes: npt.NDArray[np.int64], *, k: int) -> Floats:
    """Return the share of each query's class among its first k results, (n,).

    Unlike :func:`skylike.evaluation.precision.precision_at_k` a place without a result counts as a
    miss: a method that cannot rank an image has not found what is like it.

    Parameters
    ----------
    lists
        (n, m) with m at least k; row i is of the galaxy at place i.
    classes
        (n,) numbers of the classes, not negative.
    """
    first = lists[:, :k]  # (n, k)
    hits = (classes[first] == classes[:, None]) & (first >= 0)
    return np.asarray(hits.mean(axis=1), dtype=np.float64)


def discounts(k: int) -> Floats:
    """Return 1 / log2(rank + 1) for the ranks 1 to k (Jarvelin & Kekalainen 2002)."""
    return np.asarray(1.0 / np.log2(np.arange(2, k + 2)), dtype=np.float64)


def gains(relevance: Floats) -> Floats:
    """Return 2^relevance - 1, the gain of a result of graded relevance (Burges et al. 2005)."""
    return np.asarray(np.exp2(relevance) - 1.0, dtype=np.float64)


def ndcg(
    lists: Lists, relevance: Floats, *, k: int, queries: npt.NDArray[np.int64] | None = None
) -> Floats:
    """Return the normalized discounted cumulative gain of the first k results of each query, (q,).

    The gain of a result is ``2^relevance - 1`` and its discount ``1 / log2(rank + 1)``. The ideal
    ranking is that of all galaxies but the query. NaN where nothing but the query is relevant.

    Parameters
    ----------
    lists
        (n, m) with m at least k; row i is of the galaxy at place i.
    relevance
        (n,) of every galaxy, from 0, to whoever asks with one of the queries.
    queries
        (q,) places of the queries; None for all.
    """
    asked = np.arange(len(lists)) if queries is None else queries
    gain = gains(relevance)
    first = lists[asked, :k]  # (q, k)
    reached = (gain[first] * (first >= 0)) @ discounts(k)  # (q,)
    ideal = ideal_gain(gain, asked, k=k)
    return _ratio(reached, ideal)


def ideal_gain(gain: Floats, queries: npt.NDArray[np.int64], *, k: int) -> Floats:
    """Return the discounted gain of the best k galaxies, the query left out, for each query (q,).

    Parameters
    ----------
    gain
        (n,) of every galaxy.
    """
    best = np.sort(gain)[::-1][: k + 1]  # (k + 1,) or all of them
    weights = np.zeros(len(best))
    weights[: min(k, len(best))] = discounts(k)[: len(best)]
    # Leaving out the galaxy at rank r of the ideal order moves those behind it up by one.
    shifted = np.concatenate([[0.0], discounts(k)[: len(best) - 1]])
    before = np.concatenate([[0.0], np.cumsum(best * weights)])  # (len + 1,) of the first r
    behind = np.concatenate([np.cumsum((best * shifted)[::-1])[::-1], [0.0]])  # of the rest, moved
    rank = np.searchsorted(-best, -gain[queries], side="left")  # (q,) len(best) if not among them
    without = before[np.minimum(rank, len(best))] + behind[np.minimum(rank + 1, len(best))]
    return np.asarray(np.where(rank < len(best), without, before[-1]), dtype=np.float64)


def chance_precision(classes: npt.NDArray[np.int64]) -> Floats:
    """Return what a random list has of each galaxy's class: (its size - 1) / (n - 1), (n,)."""
    size = np.bincount(classes)[classes]
    return np.asarray((size - 1) / max(len(classes) - 1, 1), dtype=np.float64)


def ceiling_precision(classes: npt.NDArray[np.int64], *, k: int) -> Floats:
    """Return the best precision@k that any ranking can have, below 1 in small classes: (n,)."""
    size = np.bincount(classes)[classes]
    return np.asarray(np.minimum(size - 1, k) / k, dtype=np.float64)


def chance_ndcg(
    relevance: Floats, *, k: int, queries: npt.NDArray[np.int64] | None = None
) -> Floats:
    """Return the expected nDCG@k of a random order of all but the query, for each query (q,).

    In a random order each place has the mean gain of the others.
    """
    n = len(relevance)
    asked = np.arange(n) if queries is None else queries
    gain = gains(relevance)
    mean_gain = (gain.sum() - gain[asked]) / max(n - 1, 1)  # (q,)
    expected = mean_gain * discounts(k)[: max(n - 1, 0)].sum()
    ideal = ideal_gain(gain, asked, k=k)
    return _ratio(np.asarray(expected, dtype=np.float64), ideal)


def _ratio(reached: Floats, ideal: Floats) -> Floats:
    ratio = np.full(len(ideal), np.nan)
    np.divide(reached, ideal, out=ratio, where=ideal > 0)
    return ratio

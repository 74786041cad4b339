"""Precision of similarity lists against known classes, and against chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TILE_ROWS = 2048
"""Queries compared with all galaxies at a time: 80 MB of similarities for 10,000 galaxies."""


@dataclass(frozen=True)
class ClassPrecision:
    """How well the galaxies of one class find each other.

    Attributes
    ----------
    name
        The class.
    n
        Galaxies of the class; each is a query.
    precision
        Mean share of the class in their lists; NaN where no list holds anything.
    chance
        What a random list has: (n - 1) / (all - 1), because no galaxy is in its own list.
    """

    name: str
    n: int
    precision: float
    chance: float


def precision_at_k(
    similar_labels: npt.NDArray[np.generic],
    query_labels: npt.NDArray[np.generic],
    *,
    valid: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float64]:
    """Return for each query the share of its k most similar galaxies that are of its class.

    Parameters
    ----------
    similar_labels
        (q, k) labels of the results, without the query itself.
    query_labels
        (q,) labels of the queries.
    valid
        (q, k) False where a list is shorter; such places count neither way.

    Returns
    -------
    precision
        (q,) from 0 to 1; NaN where a list is empty.

    Raises
    ------
    ValueError
        The shapes do not fit together.
    """
    if similar_labels.ndim != 2 or query_labels.shape != similar_labels.shape[:1]:
        raise ValueError(
            f"labels of shape {similar_labels.shape} for queries of shape {query_labels.shape};"
            " (q, k) and (q,) are needed"
        )
    counted = np.ones(similar_labels.shape, dtype=bool) if valid is None else valid
    if counted.shape != similar_labels.shape:
        raise ValueError(f"valid has shape {counted.shape}, the labels {similar_labels.shape}")
    hits = (similar_labels == query_labels[:, None]) & counted  # (q, k)
    n_counted = counted.sum(axis=1)  # (q,)
    share = np.full(len(query_labels), np.nan)
    np.divide(hits.sum(axis=1), n_counted, out=share, where=n_counted > 0)
    return share


def most_similar(vectors: npt.NDArray[np.floating], *, k: int) -> npt.NDArray[np.int64]:
    """Return the places of the k most similar others of each vector by cosine, (n, min(k, n - 1)).

    Parameters
    ----------
    vectors
        (n, d) of any length but zero. Ties go to the earlier place.

    Raises
    ------
    ValueError
        ``vectors`` is not (n, d), or k is below 1.
    """
    if vectors.ndim != 2 or k < 1:
        raise ValueError(
            f"vectors of shape {vectors.shape} and k = {k}; (n, d) and 1 are the least"
        )
    plain = vectors.astype(np.float32)
    unit = plain / np.linalg.norm(plain, axis=1, keepdims=True)  # (n, d)
    n = len(unit)
    k = min(k, n - 1)
    found = np.empty((n, max(k, 0)), dtype=np.int64)
    for start in range(0, n if k > 0 else 0, TILE_ROWS):
        rows = np.arange(start, min(start + TILE_ROWS, n))
        similarity = unit[rows] @ unit.T  # (tile, n)
        similarity[rows - start, rows] = -np.inf
        best = np.argpartition(-similarity, k - 1, axis=1)[:, :k]  # (tile, k)
        best.sort(axis=1)
        order = np.argsort(-np.take_along_axis(similarity, best, axis=1), axis=1, kind="stable")
        found[rows] = np.take_along_axis(best, order, axis=1)
    return found


def class_precision(
    vectors: npt.NDArray[np.floating], labels: Sequence[str], *, k: int = 10
) -> list[ClassPrecision]:
    """Search for every galaxy among all others and average precision@k by class.

    Parameters
    ----------
    vectors
        (n, d) embeddings.
    labels
        Class of each.
    k
        Length of each list, or one less than there are galaxies.

    Returns
    -------
    list of ClassPrecision
        One for each class, by name.

    Raises
    ------
    ValueError
        There are not as many labels as vectors.
    """
    names = np.asarray(labels, dtype=np.str_)
    if len(names) != len(vectors):
        raise ValueError(f"{len(names)} labels for {len(vectors)} vectors")
    precision = precision_at_k(names[most_similar(vectors, k=k)], names)
    return summarize(precision, names)


def summarize(
    precision: npt.NDArray[np.float64], labels: npt.NDArray[np.generic]
) -> list[ClassPrecision]:
    """Average the precision of every galaxy by class, beside what chance gives.

    Parameters
    ----------
    precision
        (n,) of :func:`precision_at_k`; NaN is left out of the mean.
    labels
        (n,) classes.
    """
    report = []
    for label in np.unique(labels):
        mine = precision[labels == label]
        judged = mine[~np.isnan(mine)]
        report.append(
            ClassPrecision(
                name=str(label),
                n=len(mine),
                precision=float(judged.mean()) if len(judged) else float("nan"),
                chance=(len(mine) - 1) / max(len(labels) - 1, 1),
            )
        )
    return report

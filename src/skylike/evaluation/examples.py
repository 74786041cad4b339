"""Does a way to combine examples and rejects find more of a class? A user's feedback, played."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float64]
Scorer = Callable[[Vectors, Vectors], Scores]
"""Takes examples (a, d) and rejects (r, d), gives a score of every galaxy (n,), best highest."""


@dataclass(frozen=True)
class FeedbackScore:
    """How well a way to combine does with so much feedback, averaged over trials.

    Attributes
    ----------
    precision
        Share of the class among the first k.
    average_precision
        Mean of the precision at the place of each galaxy of the class.
    """

    precision: float
    average_precision: float


def average_precision(is_wanted: npt.NDArray[np.bool_]) -> float:
    """Return the average precision of a ranking: (n,) True where a result is wanted, best first.

    NaN where none is wanted.
    """
    places = np.flatnonzero(is_wanted) + 1
    if not len(places):
        return float("nan")
    return float((np.arange(1, len(places) + 1) / places).mean())


def judge_feedback(
    scorers: Mapping[str, Scorer],
    unit: Vectors,
    is_wanted: npt.NDArray[np.bool_],
    *,
    n_examples: int,
    n_rejects: int,
    trials: int,
    k: int = 20,
    seed: int = 0,
) -> dict[str, FeedbackScore]:
    """Play a user who gives examples of a class and rejects what first comes that is not of it.

    In each trial the galaxies are split in two halves at random. Examples come from one half;
    rejects are the best there, by the mean of the examples, that are not of the class. What is
    judged is the ranking of the other half: in a survey of millions the galaxies that were marked
    are few of those that look like them, while in a sample of thousands leaving them out would
    itself look like an improvement. All ways see the same trials.

    Parameters
    ----------
    unit
        Embeddings of unit length, (n, d).
    is_wanted
        (n,) is the galaxy of the class?

    Raises
    ------
    ValueError
        A half has fewer of the class than ``n_examples``, or none to find.
    """
    totals = {name: np.zeros(2) for name in scorers}
    for trial in range(trials):
        random = np.random.default_rng((seed, trial, n_examples))
        is_here = random.random(len(unit)) < 0.5
        mine, others = np.flatnonzero(is_wanted & is_here), ~is_here
        if len(mine) < n_examples or not is_wanted[others].any():
            raise ValueError(f"{is_wanted.sum()} galaxies of the class are too few")
        chosen = random.choice(mine, n_examples, replace=False)
        first = np.argsort(-(unit @ unit[chosen].mean(axis=0)), kind="stable")  # (n,)
        rejected = first[~is_wanted[first] & is_here[first]][:n_rejects]
        for name, scorer in scorers.items():
            scores = scorer(unit[chosen], unit[rejected])[others]
            ranked = is_wanted[others][np.argsort(-scores, kind="stable")]
            totals[name] += ranked[:k].mean(), average_precision(ranked)
    return {name: FeedbackScore(*(sums / trials).tolist()) for name, sums in totals.items()}

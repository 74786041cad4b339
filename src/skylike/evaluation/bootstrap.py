"""Intervals of means by resampling queries.

What varies is which galaxies were asked with; the galaxies among which they search stay the same
ones. An interval thus says how far a mean could be off because the queries are few. It does not say
how another survey, or another set of candidates, would do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES: Final = 2000
"""Enough for the ends of a 95 % interval: 50 resamples lie beyond each (Efron & Tibshirani 1993,
section 13.3, ask for 1,000 at least)."""

_BLOCK_DRAWS: Final = 8_000_000
"""Numbers drawn at a time: 64 MB."""


@dataclass(frozen=True)
class Estimate:
    """A mean and how well it is known.

    Attributes
    ----------
    value
        NaN where there is nothing to average.
    low, high
        Ends of the interval; NaN where ``value`` is.
    n
        Queries that were averaged.
    """

    value: float
    low: float
    high: float
    n: int


def resampled_means(values: Floats, *, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Return the means of resamples with replacement, each as large as the sample: (resamples,).

    Parameters
    ----------
    values
        (q,) finite, at least one.
    """
    random = np.random.default_rng(seed)
    n = len(values)
    means = np.empty(resamples)
    step = max(1, _BLOCK_DRAWS // n)
    for start in range(0, resamples, step):
        drawn = random.integers(0, n, size=(min(step, resamples - start), n), dtype=np.int32)
        means[start : start + len(drawn)] = values[drawn].mean(axis=1)
    return means


def estimate_mean(
    values: Floats, *, seed: int, level: float = 0.95, resamples: int = RESAMPLES
) -> Estimate:
    """Average values and bound the mean by the percentiles of its bootstrap.

    Parameters
    ----------
    values
        (q,) one for each query; NaN is left out.

    Notes
    -----
    Where all values are equal (nothing found in any list) the interval has no width, and a class
    with few galaxies has an interval that is somewhat too narrow: n tells.
    """
    return estimate_balanced([values], seed=seed, level=level, resamples=resamples)


def estimate_balanced(
    groups: Sequence[Floats], *, seed: int, level: float = 0.95, resamples: int = RESAMPLES
) -> Estimate:
    """Average the means of several groups, resampled within each: classes that weigh the same.

    Parameters
    ----------
    groups
        Values (q,) of each group; NaN is left out, and a group without any other value.
    """
    known = [values[~np.isnan(values)] for values in groups]
    known = [values for values in known if len(values)]
    if not known:
        return Estimate(np.nan, np.nan, np.nan, 0)
    means = np.zeros(resamples)
    for place, values in enumerate(known):
        # A stream for each group: with one and the same, classes of equal size would vary together.
        seed_of_group = int(np.random.SeedSequence((seed, place)).generate_state(1)[0])
        means += resampled_means(values, seed=seed_of_group, resamples=resamples) / len(known)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    value = float(np.mean([values.mean() for values in known]))
    return Estimate(value, float(low), float(high), sum(len(values) for values in known))

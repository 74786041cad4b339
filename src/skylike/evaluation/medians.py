"""Medians of ranks with intervals, by resampling queries as means are."""

import numpy as np
import numpy.typing as npt

from skylike.evaluation.bootstrap import RESAMPLES, Estimate

_BLOCK_DRAWS = 4_000_000
"""Numbers drawn at a time: 32 MB."""


def estimate_median(
    values: npt.NDArray[np.float64], *, seed: int, level: float = 0.95, resamples: int = RESAMPLES
) -> Estimate:
    """Return the median of values (q,), one for each query, and the percentiles of its bootstrap.

    NaN is left out. Ranks are whole numbers, and so, mostly, are the ends of the interval.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return Estimate(np.nan, np.nan, np.nan, 0)
    random = np.random.default_rng(seed)
    step = max(1, _BLOCK_DRAWS // len(known))
    medians = np.concatenate(
        [
            np.median(
                known[random.integers(0, len(known), (min(step, resamples - start), len(known)))],
                axis=1,
            )
            for start in range(0, resamples, step)
        ]
    )
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(np.median(known)), float(low), float(high), len(known))

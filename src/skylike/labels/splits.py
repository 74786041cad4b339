"""Training, validation and test sets that stay as they are while labels are added."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.errors import SettingsError

SPLIT_NAMES: Final = ("train", "validation", "test")
"""Names of three splits; two are train and test, more are numbered ``split1``, ..."""

MAX_SPLITS: Final = 20


def parse_splits(text: str) -> tuple[float, ...]:
    """Read ``0.8,0.1,0.1``.

    Raises
    ------
    SettingsError
        A part is no number above 0, there is one or too many of them, or they do not sum to 1.
    """
    example = "write fractions that sum to 1, such as 0.8,0.1,0.1"
    try:
        fractions = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(f"--splits {text!r} is not understood; {example}") from error
    if not all(math.isfinite(part) and part > 0 for part in fractions):
        raise SettingsError(f"--splits {text!r} has a part that is not above 0; {example}")
    if not 2 <= len(fractions) <= MAX_SPLITS:
        raise SettingsError(f"--splits {text!r}: 2 to {MAX_SPLITS} parts are possible; {example}")
    if abs(math.fsum(fractions) - 1) > 1e-6:
        raise SettingsError(f"--splits {text!r} sums to {math.fsum(fractions):g}; {example}")
    return fractions


def split_names(count: int) -> tuple[str, ...]:
    """Return the names of so many splits."""
    if count == 2:
        return (SPLIT_NAMES[0], SPLIT_NAMES[2])
    if count == 3:
        return SPLIT_NAMES
    return tuple(f"split{number}" for number in range(1, count + 1))


def assign_splits(
    hashed: npt.NDArray[np.float64], fractions: tuple[float, ...]
) -> npt.NDArray[np.str_]:
    """Return the split of each galaxy.

    Parameters
    ----------
    hashed
        (n,) from 0 to below 1, equal for galaxies that must share a split
        (:func:`skylike.labels.sky_groups.hash_fractions`).
    fractions
        As :func:`parse_splits` returns them.

    Returns
    -------
    ndarray
        (n,) names. Nothing but the hash and the fractions decides, so that more labels move no
        galaxy; the price is that sizes follow the fractions only as chance has it.
    """
    bounds = np.cumsum(fractions)[:-1]
    return np.array(split_names(len(fractions)))[np.searchsorted(bounds, hashed, side="right")]

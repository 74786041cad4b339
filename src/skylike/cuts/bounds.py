"""How large and how small the numbers in a cut can be, known before any is read.

PostgreSQL raises an error where a double overflows or underflows. A cut must not, so it takes
results beyond 1e150, or nearer to zero than 1e-150, for NULL. Testing for that costs time and
makes the SQL hard to read; these bounds tell where the test can be left out: nearly always, for
magnitudes and fluxes.
"""

import math
from dataclasses import dataclass
from typing import Final

from skylike.cuts.functions import EXPONENT_LIMIT, LARGEST, SMALLEST

_ROUNDING: Final = 2.0**-53
"""A double x is a whole multiple of a number not below ``abs(x) * 2**-53`` (52 stored bits)."""


@dataclass(frozen=True)
class Bounds:
    """What is known of the absolute values of some numbers.

    Attributes
    ----------
    largest
        None is larger.
    smallest
        None but zero is smaller.
    step
        All are whole multiples of one power of two, which is not below this. Sums and differences
        are too, even after rounding: they are zero or not below it.
    """

    largest: float
    smallest: float
    step: float

    @property
    def are_safe(self) -> bool:
        """Whether no sum, product or quotient of two such numbers can overflow or underflow."""
        return self.largest <= LARGEST and self.smallest >= SMALLEST


ANY_DOUBLE: Final = Bounds(math.inf, 0.0, 0.0)
REAL_COLUMN: Final = Bounds(3.5e38, 2.0**-149, 2.0**-149)
"""Finite single precision numbers (IEEE 754 binary32), denormal ones included."""

INTEGER_COLUMN: Final = Bounds(2.0**64, 1.0, 1.0)
SAFE: Final = Bounds(LARGEST, SMALLEST, SMALLEST * _ROUNDING)


def of_constant(value: float) -> Bounds:
    """Return the bounds of one number."""
    size = abs(value)
    return Bounds(size, size or 1.0, size * _ROUNDING if value != int(value) else 1.0)


def of_sum(left: Bounds, right: Bounds) -> Bounds:
    """Return the bounds of sums and differences."""
    step = min(left.step, right.step)
    return Bounds(left.largest + right.largest, step, step)


def of_product(left: Bounds, right: Bounds) -> Bounds:
    """Return the bounds of products."""
    largest = left.largest * right.largest if left.largest and right.largest else 0.0
    return Bounds(largest, left.smallest * right.smallest, left.step * right.step)


def of_quotient(left: Bounds, right: Bounds) -> Bounds:
    """Return the bounds of quotients by what is not zero."""
    if not right.largest or not right.smallest:
        return ANY_DOUBLE
    smallest = left.smallest / right.largest
    return Bounds(left.largest / right.smallest, smallest, smallest * _ROUNDING)


def of_whole(value: Bounds) -> Bounds:
    """Return the bounds of numbers after rounding to whole ones."""
    return Bounds(value.largest + 1, 1.0, 1.0)


def of_root(value: Bounds) -> Bounds:
    """Return the bounds of square roots."""
    smallest = math.sqrt(value.smallest)
    return Bounds(math.sqrt(value.largest), smallest, smallest * _ROUNDING)


def of_logarithm() -> Bounds:
    """Return the bounds of logarithms of 1e-150 to 1e150: next to 1 they are 1.1e-16 or more."""
    return Bounds(346.0, 1e-17, 1e-17 * _ROUNDING)


def of_sine(value: Bounds) -> Bounds:
    """Return the bounds of sines and cosines of degrees: of multiples of 90 they are 0 exactly."""
    smallest = min(value.step, 1.0) / 64
    return Bounds(1.0, smallest, smallest * _ROUNDING)


def of_either(*values: Bounds) -> Bounds:
    """Return the bounds of numbers that come from any of several sets."""
    return Bounds(
        max(value.largest for value in values),
        min(value.smallest for value in values),
        min(value.step for value in values),
    )


def of_power(value: Bounds, exponent: float) -> Bounds | None:
    """Return the bounds of a power if none of its bases needs a guard, else None."""
    low, high = power_range(exponent)
    if exponent < 0 or exponent != int(exponent) or value.largest > high or value.smallest < low:
        return None
    smallest = value.smallest**exponent
    return Bounds(value.largest**exponent, smallest, smallest * _ROUNDING)


def power_range(exponent: float) -> tuple[float, float]:
    """Return the absolute values between which a base keeps its power between 1e-150 and 1e150."""
    limit = min(150.0 / abs(exponent), 150.0) if exponent else 150.0
    return 10.0**-limit, 10.0**limit


def exponent_range(base: float) -> tuple[float, float]:
    """Return the exponents that keep the power of a base above 0 between 1e-150 and 1e150."""
    logarithm = abs(math.log(base))
    limit = min(EXPONENT_LIMIT / logarithm, LARGEST) if logarithm else LARGEST
    return -limit, limit

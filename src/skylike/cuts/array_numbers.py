"""The numbers of a cut as float64 arrays, NULL in the same places as in SQL."""

from collections.abc import Callable, Mapping
from functools import singledispatch
from typing import Final

import numpy as np

from skylike.cuts import bounds
from skylike.cuts.arrays import Array, Values, coalesced, known, numbers, read_column
from skylike.cuts.functions import EXPONENT_LIMIT, LARGEST, LARGEST_WHOLE, SMALLEST
from skylike.cuts.syntax import Arithmetic, Call, Column, Negative, Number, Value

Columns = Mapping[str, Array]

_COMPUTE: Final = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}


def is_whole(value: Value, columns: Columns) -> bool:
    """Tell whether a value is an integer column or constant, or bits of such: they exceed 2^53."""
    match value:
        case Column():
            return columns[value.name].dtype.kind in "iu"
        case Arithmetic(operator="&"):
            return is_whole(value.left, columns) and is_whole(value.right, columns)
    return isinstance(value, Number) and isinstance(value.value, int)


def exact(value: Value, columns: Columns) -> Values:
    """Return what :func:`is_whole` as integers."""
    if isinstance(value, Number):
        return known(value.value)
    if isinstance(value, Column):
        return read_column(columns[value.name], value.kind)
    return _bits(value, columns)


@singledispatch
def number(value: Value, columns: Columns) -> Values:
    """Evaluate a number: float64, NaN where NULL."""
    raise TypeError(f"{value} is no number, and {list(columns)} do not make it one")


@number.register
def _number(value: Number, columns: Columns) -> Values:  # noqa: ARG001 - as registered
    return known(float(value.value))


@number.register
def _column(value: Column, columns: Columns) -> Values:
    column = read_column(columns[value.name], value.kind)
    return numbers(column.data.astype(np.float64), column.null)


@number.register
def _negative(value: Negative, columns: Columns) -> Values:
    operand = number(value.operand, columns)
    return Values(-operand.data, operand.null)


@number.register
def _arithmetic(value: Arithmetic, columns: Columns) -> Values:
    if value.operator == "&":
        bits = _bits(value, columns)
        return numbers(bits.data.astype(np.float64), bits.null)
    left, right = _kept(number(value.left, columns)), _kept(number(value.right, columns))
    result = _COMPUTE[value.operator](left.data, right.data)
    return _kept(numbers(result, left.null | right.null))


def _kept(values: Values) -> Values:
    size = np.abs(values.data)
    is_kept = (size == 0) | ((size >= SMALLEST) & (size <= LARGEST))
    return numbers(np.where(is_kept, values.data, np.nan), values.null)


def _bits(value: Value, columns: Columns) -> Values:
    if isinstance(value, Arithmetic):
        left, right = _bits(value.left, columns), _bits(value.right, columns)
        return Values(left.data & right.data, left.null | right.null)
    if is_whole(value, columns):
        whole = exact(value, columns)
        return Values(whole.data.astype(np.int64), whole.null)
    given = number(value, columns)
    has_bits = (np.abs(given.data) <= LARGEST_WHOLE) & (given.data == np.floor(given.data))
    return Values(np.where(has_bits, given.data, 0).astype(np.int64), given.null | ~has_bits)


@number.register
def _call(value: Call, columns: Columns) -> Values:
    given = [number(argument, columns) for argument in value.arguments]
    if value.name == "power":
        return _power(value, _kept(given[0]), _kept(given[1]))
    if value.name == "coalesce":
        return coalesced(given)
    if value.name in {"least", "greatest"}:
        return _extreme(value.name, given)
    only = given[0] if value.name in _ANY_SIZE else _kept(given[0])
    return numbers(np.asarray(_FUNCTIONS[value.name](only.data)), only.null)


def _extreme(name: str, given: list[Values]) -> Values:
    # fmin and fmax leave out NaN, as PostgreSQL leaves out NULL.
    pick = np.fmin if name == "least" else np.fmax
    found = given[0].data
    for other in given[1:]:
        found = pick(found, other.data)
    return numbers(found, np.zeros((), dtype=bool))


def _power(call: Call, base: Values, exponent: Values) -> Values:
    constant = call.arguments[1]
    if isinstance(constant, Number):
        power = float(constant.value)
        low, high = bounds.power_range(power)
        size = np.abs(base.data) if power == int(power) else base.data
        is_kept = ((size >= low) & (size <= high)) | ((base.data == 0) & (power >= 0))
    else:
        low, high = bounds.exponent_range(float(base.data))
        is_kept = (exponent.data >= low) & (exponent.data <= high)
    raised = np.power(base.data, exponent.data)
    return numbers(np.where(is_kept, raised, np.nan), base.null | exponent.null)


def _sine_in_first_quadrant(degrees: Array) -> Array:
    # As PostgreSQL does it (float.c, sind_q1): scaled so that 30 degrees give 0.5 exactly.
    small = np.sin(np.radians(degrees)) / np.sin(np.radians(30.0)) / 2
    large = 1 - (1 - np.cos(np.radians(90 - degrees))) / (1 - np.cos(np.radians(60.0))) / 2
    return np.asarray(np.where(degrees <= 30, small, large))


def _sine_of_degrees(degrees: Array) -> Array:
    turned = np.fmod(degrees, 360)
    folded = np.abs(turned)
    sign = np.sign(turned) * np.where(folded > 180, -1.0, 1.0)
    folded = np.where(folded > 180, 360 - folded, folded)
    sine = _sine_in_first_quadrant(np.where(folded > 90, 180 - folded, folded))
    return np.asarray(sign * sine)


def _cosine_of_degrees(degrees: Array) -> Array:
    folded = np.abs(np.fmod(degrees, 360))
    folded = np.where(folded > 180, 360 - folded, folded)
    sign = np.where(folded > 90, -1.0, 1.0)
    sine = _sine_in_first_quadrant(90 - np.where(folded > 90, 180 - folded, folded))
    return np.asarray(sign * sine)


def _exponential(values: Array) -> Array:
    return np.where(np.abs(values) <= EXPONENT_LIMIT, np.exp(values), np.nan)


def _logarithm(values: Array) -> Array:
    return np.where(values > 0, np.log(values), np.nan)


def _decimal_logarithm(values: Array) -> Array:
    return np.where(values > 0, np.log10(values), np.nan)


_FUNCTIONS: Final[Mapping[str, Callable[[Array], Array]]] = {
    "abs": np.abs,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "sqrt": np.sqrt,
    "ln": _logarithm,
    "log10": _decimal_logarithm,
    "exp": _exponential,
    "sind": _sine_of_degrees,
    "cosd": _cosine_of_degrees,
}
_ANY_SIZE: Final = frozenset({"abs", "floor", "ceil", "round"})
"""Functions that cannot overflow, whatever they are given."""

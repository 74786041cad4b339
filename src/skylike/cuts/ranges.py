"""What a cut as a whole says about one column: the interval that its values lie in."""

import math
from dataclasses import replace
from functools import reduce
from typing import Final, NamedTuple

from skylike.cuts.kinds import ColumnKind
from skylike.cuts.syntax import (
    And,
    Column,
    Comparison,
    Cut,
    IsTruth,
    Membership,
    Not,
    Number,
    Or,
    Truth,
    Value,
)


class Range(NamedTuple):
    """A closed interval; empty where ``low > high``."""

    low: float
    high: float


EVERYTHING: Final = Range(-math.inf, math.inf)
NOTHING: Final = Range(math.inf, -math.inf)

_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
_OPPOSITE: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "<>", "<>": "="}


def column_range(cut: Cut, column: str) -> Range:
    """Return an interval that holds the column's value in every row that the cut takes.

    Comparisons of the column with numbers are understood, ``BETWEEN``, ``IN``, ``AND``, ``OR`` and
    ``NOT``; nothing is concluded from anything else, such as arithmetic. Bounds are inclusive, also
    those of ``<`` and ``>``.

    Parameters
    ----------
    column
        Name of a number column.

    Returns
    -------
    Range
        Infinite on a side where the cut sets no bound; empty (``low > high``) if no row can meet
        the cut. If either side is finite, rows where the column is NULL are not taken.

    Examples
    --------
    >>> from skylike.cuts import GALAXY_KINDS, parse_cut
    >>> cut = parse_cut("mag_r > 16 AND (mag_r < 18 OR mag_r IN (18.5, 19))", GALAXY_KINDS)
    >>> column_range(cut, "mag_r")
    Range(low=16.0, high=19.0)
    """
    return _range(cut.condition, Column(column, ColumnKind.NUMBER))


def _range(value: Value, column: Column) -> Range:
    found = EVERYTHING
    match value:
        case And():
            found = reduce(_both, (_range(operand, column) for operand in value.operands))
        case Or():
            found = reduce(_either, (_range(operand, column) for operand in value.operands))
        case Not() | IsTruth(value=False):
            found = _negated(value.operand, column)
        case IsTruth(value=True):
            found = _range(value.operand, column)
        case Truth(value=False):
            found = NOTHING
        case Comparison():
            found = _compared(value, column)
        case Membership() if value.operand == column:
            numbers = [choice for choice in value.choices if isinstance(choice, Number)]
            found = reduce(_either, (_at(number) for number in numbers), NOTHING)
    return found


def _negated(value: Value, column: Column) -> Range:
    """Return the range of rows where a condition is false, not merely not true."""
    match value:
        # De Morgan's laws hold with NULL too.
        case And():
            return _range(Or(tuple(Not(operand) for operand in value.operands)), column)
        case Or():
            return _range(And(tuple(Not(operand) for operand in value.operands)), column)
        case Not():
            return _range(value.operand, column)
        case Truth(value=True):
            return NOTHING
        case Comparison():
            return _compared(replace(value, operator=_OPPOSITE[value.operator]), column)
    # IS TRUE among others: it is false where its operand is NULL.
    return EVERYTHING


def _compared(value: Comparison, column: Column) -> Range:
    if value.left == column and isinstance(value.right, Number):
        operator, constant = value.operator, value.right
    elif value.right == column and isinstance(value.left, Number):
        operator, constant = _MIRRORED[value.operator], value.left
    else:
        return EVERYTHING
    here = _at(constant)
    return {
        "=": here,
        "<>": EVERYTHING,
        "<": Range(-math.inf, here.high),
        "<=": Range(-math.inf, here.high),
        ">": Range(here.low, math.inf),
        ">=": Range(here.low, math.inf),
    }[operator]


def _at(constant: Number) -> Range:
    near = float(constant.value)
    if near == constant.value:
        return Range(near, near)
    # A whole number beyond 2^53 that no double is equal to.
    return Range(math.nextafter(near, -math.inf), math.nextafter(near, math.inf))


def _both(first: Range, second: Range) -> Range:
    found = Range(max(first.low, second.low), min(first.high, second.high))
    return found if found.low <= found.high else NOTHING


def _either(first: Range, second: Range) -> Range:
    return Range(min(first.low, second.low), max(first.high, second.high))

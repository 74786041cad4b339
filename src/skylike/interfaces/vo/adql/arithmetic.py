"""Sums and products; of constants they are reckoned here."""

import math

from skylike.interfaces.vo.adql.schema import DOUBLE
from skylike.interfaces.vo.adql.values import Value, number, wider


def reckoned(left: Value, sign: str, right: Value) -> Value:
    """Reckon with two numbers: double precision, unless both are whole.

    Parameters
    ----------
    sign
        ``+``, ``-``, ``*`` or ``/``. A division by zero gives NULL; of whole numbers it leaves out
        the rest, as SQL does.
    """
    is_whole = left.is_whole and right.is_whole
    constant = _folded(sign, left.number, right.number, is_whole=is_whole)
    if constant is not None and math.isfinite(constant):
        return number(constant)
    unit = left.unit if sign in "+-" and left.unit == right.unit else None
    first, second = (left.sql, right.sql) if is_whole else (left.as_double, right.as_double)
    if sign == "/":
        second = f"NULLIF({second}, 0)"
    datatype = wider(left.datatype, right.datatype) if is_whole else DOUBLE
    return Value(f"({first} {sign} {second})", datatype, unit)


def _folded(sign: str, left: float | None, right: float | None, *, is_whole: bool) -> float | None:
    """Reckon with constants, so that ``1/3600.`` is a radius that indexes can use."""
    if left is None or right is None or (sign == "/" and right == 0):
        return None
    try:
        match sign:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
        # Whole numbers divide as in PostgreSQL: towards zero.
        return math.trunc(left / right) if is_whole else left / right
    except OverflowError:
        return None

"""The numbers of a cut as SQL: double precision, guarded so that no row raises an error."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import singledispatch
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, REAL

from skylike.cuts import bounds
from skylike.cuts.bounds import Bounds
from skylike.cuts.functions import EXPONENT_LIMIT, LARGEST, LARGEST_WHOLE, SMALLEST
from skylike.cuts.syntax import Arithmetic, Call, Column, Negative, Number, Value
from skylike.errors import CutError

MAX_SIZE: Final = 5_000
"""Parts of the SQL of one number. A guard names what it guards twice, so nested ones multiply."""

Sql = sa.ColumnElement[Any]
Columns = Mapping[str, sa.ColumnElement[Any]]

_DOUBLE: Final[DOUBLE_PRECISION[float]] = DOUBLE_PRECISION()
_PRECEDENCE: Final = {"+": 7, "-": 7, "*": 8, "/": 8}
"""SQLAlchemy's own precedences. Its own + and * would drop the parentheses of a + (b + c), which
rounds otherwise than (a + b) + c; an operator given by name keeps them."""


@dataclass(frozen=True)
class Numeric:
    """A double precision expression, what is known of its values, and how long it is."""

    sql: Sql
    bounds: Bounds
    size: int = 1

    def __post_init__(self) -> None:
        if self.size > MAX_SIZE:
            raise CutError("it nests too many functions; simplify it", "")


def double(value: float) -> Sql:
    """Return a bound double precision parameter."""
    return sa.literal(float(value), _DOUBLE)


def whole(value: int) -> Sql:
    """Return a bound parameter that is compared exactly with integer columns."""
    if -(2**63) <= value < 2**63:
        return sa.literal(value, sa.BigInteger())
    return sa.literal(Decimal(value), sa.Numeric())


def is_whole(value: Value, columns: Columns) -> bool:
    """Tell whether a value is an integer column or constant, or bits of such: they exceed 2^53."""
    match value:
        case Column():
            return isinstance(columns[value.name].type, sa.Integer)
        case Arithmetic(operator="&"):
            return is_whole(value.left, columns) and is_whole(value.right, columns)
    return isinstance(value, Number) and isinstance(value.value, int)


def exact(value: Value, columns: Columns) -> Sql:
    """Return what :func:`is_whole` as an integer."""
    if isinstance(value, Number):
        return whole(int(value.value))
    return columns[value.name] if isinstance(value, Column) else _bits(value, columns)


def typed(value: Sql) -> Sql:
    """Say that a constant is double precision, for where nothing beside it says so.

    Written into a statement ``0.1`` is numeric and ``1`` an integer, and would be calculated with,
    rounded and compared as such.
    """
    return sa.cast(value, _DOUBLE) if isinstance(value, sa.BindParameter) else value


def _uncast(value: Sql, other: Sql) -> Sql:
    """Leave out a cast that PostgreSQL makes by itself, because of what is on the other side.

    A real beside a double precision number, or beside a constant, is taken for double precision;
    an integer beside double precision too, but beside a constant it would be numeric.
    """
    if not isinstance(value, sa.Cast):
        return value
    column: Sql = value.clause
    is_constant = isinstance(other, sa.BindParameter)
    is_freed = isinstance(column.type, REAL) or not is_constant
    return column if is_freed and isinstance(column, sa.ColumnClause) else value


@singledispatch
def number(value: Value, columns: Columns) -> Numeric:
    """Turn a number into SQL.

    Raises
    ------
    CutError
        Its guards would make the SQL too long.
    """
    raise TypeError(f"{value} is no number, and {list(columns)} do not make it one")


@number.register
def _number(value: Number, columns: Columns) -> Numeric:  # noqa: ARG001 - as registered
    return Numeric(double(value.value), bounds.of_constant(float(value.value)))


@number.register
def _column(value: Column, columns: Columns) -> Numeric:
    column = columns[value.name]
    if isinstance(column.type, sa.Integer):
        return Numeric(sa.cast(column, _DOUBLE), bounds.INTEGER_COLUMN)
    if isinstance(column.type, REAL):
        return Numeric(sa.cast(column, _DOUBLE), bounds.REAL_COLUMN)
    is_double = isinstance(column.type, sa.Double)
    return Numeric(column if is_double else sa.cast(column, _DOUBLE), bounds.ANY_DOUBLE)


@number.register
def _negative(value: Negative, columns: Columns) -> Numeric:
    operand = number(value.operand, columns)
    return Numeric(-operand.sql, operand.bounds, operand.size + 1)


@number.register
def _arithmetic(value: Arithmetic, columns: Columns) -> Numeric:
    if value.operator == "&":
        return Numeric(sa.cast(_bits(value, columns), _DOUBLE), bounds.INTEGER_COLUMN, 4)
    left = _kept(number(value.left, columns))
    right = _kept(number(value.right, columns))
    known = {"*": bounds.of_product, "/": bounds.of_quotient}.get(value.operator, bounds.of_sum)
    first, second = left.sql, right.sql
    if isinstance(second, sa.BindParameter):
        first = typed(_uncast(first, second))
    else:
        second = _uncast(second, first)
    is_constant = isinstance(value.right, Number) and value.right.value != 0
    if value.operator == "/" and not is_constant:
        second = sa.func.nullif(second, double(0), type_=_DOUBLE)
    precedence = _PRECEDENCE[value.operator]
    result: Sql = first.op(value.operator, precedence=precedence, return_type=_DOUBLE)(second)
    return _kept(Numeric(result, known(left.bounds, right.bounds), left.size + right.size + 1))


def _kept(value: Numeric) -> Numeric:
    if value.bounds.are_safe:
        return value
    size = sa.func.abs(value.sql, type_=_DOUBLE)
    in_range = size.between(double(SMALLEST), double(LARGEST))
    kept = sa.case((sa.or_(value.sql == double(0), in_range), value.sql))
    return Numeric(kept, bounds.SAFE, 3 * value.size + 1)


def _bits(value: Value, columns: Columns) -> Sql:
    if isinstance(value, Arithmetic):
        return _bits(value.left, columns).bitwise_and(_bits(value.right, columns))
    if isinstance(value, Number):
        return exact(value, columns)
    if is_whole(value, columns):
        return exact(value, columns)
    given = number(value, columns).sql
    size = sa.func.abs(given, type_=_DOUBLE)
    has_bits = sa.and_(size <= double(LARGEST_WHOLE), given == sa.func.floor(given, type_=_DOUBLE))
    return sa.case((has_bits, sa.cast(given, sa.BigInteger)))


@number.register
def _call(value: Call, columns: Columns) -> Numeric:
    if value.name == "power":
        return _power(value, columns)
    given = [number(argument, columns) for argument in value.arguments]
    if value.name in {"least", "greatest", "coalesce"}:
        first, *others = (one.sql for one in given)
        chosen = getattr(sa.func, value.name)(typed(first), *others, type_=_DOUBLE)
        known = bounds.of_either(*[one.bounds for one in given])
        return Numeric(chosen, known, sum(one.size for one in given) + 1)
    (only,) = given
    return _SINGLE[value.name](value.name, replace(only, sql=typed(only.sql)))


def _plain_call(name: str, given: Numeric) -> Numeric:
    known = given.bounds if name == "abs" else bounds.of_whole(given.bounds)
    return Numeric(getattr(sa.func, name)(given.sql, type_=_DOUBLE), known, given.size + 1)


def _wave(name: str, given: Numeric) -> Numeric:
    given = _kept(given)
    called = getattr(sa.func, name)(given.sql, type_=_DOUBLE)
    return Numeric(called, bounds.of_sine(given.bounds), given.size + 1)


def _guarded_call(name: str, given: Numeric) -> Numeric:
    given = _kept(given)
    called = getattr(sa.func, name)(given.sql, type_=_DOUBLE)
    size = 2 * given.size + 1
    if name == "exp":
        limits = double(-EXPONENT_LIMIT), double(EXPONENT_LIMIT)
        return Numeric(sa.case((given.sql.between(*limits), called)), bounds.SAFE, size)
    if name == "sqrt":
        root = sa.case((given.sql >= double(0), called))
        return Numeric(root, bounds.of_root(given.bounds), size)
    return Numeric(sa.case((given.sql > double(0), called)), bounds.of_logarithm(), size)


_SINGLE: Final[Mapping[str, Callable[[str, Numeric], Numeric]]] = {
    **dict.fromkeys(["abs", "floor", "ceil", "round"], _plain_call),
    **dict.fromkeys(["sind", "cosd"], _wave),
    **dict.fromkeys(["sqrt", "ln", "log10", "exp"], _guarded_call),
}


def _power(call: Call, columns: Columns) -> Numeric:
    base, exponent = call.arguments
    left, right = _kept(number(base, columns)), _kept(number(exponent, columns))
    first = typed(left.sql) if isinstance(right.sql, sa.BindParameter) else left.sql
    raised: Sql = sa.func.power(first, right.sql, type_=_DOUBLE)
    size = left.size + right.size + 1
    if isinstance(base, Number) and not isinstance(exponent, Number):
        low, high = map(double, bounds.exponent_range(float(base.value)))
        return Numeric(sa.case((right.sql.between(low, high), raised)), bounds.SAFE, 2 * size)
    assert isinstance(exponent, Number)  # noqa: S101 - the parser lets nothing else through
    power = float(exponent.value)
    known = bounds.of_power(left.bounds, power)
    if known is not None:
        return Numeric(raised, known, size)
    return Numeric(sa.case((_may_raise(left.sql, power), raised)), bounds.SAFE, 3 * size)


def _may_raise(base: Sql, exponent: float) -> sa.ColumnElement[bool]:
    """Say when a power with a constant exponent exists, and is neither too large nor too small."""
    low, high = map(double, bounds.power_range(exponent))
    size = sa.func.abs(base, type_=_DOUBLE) if exponent == int(exponent) else base
    in_range = size.between(low, high)
    return sa.or_(base == double(0), in_range) if exponent >= 0 else in_range

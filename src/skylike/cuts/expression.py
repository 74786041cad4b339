"""Cuts as SQL: an SQLAlchemy condition with bound parameters, safe from errors at any row."""

from functools import singledispatch
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION
from sqlalchemy.sql.elements import Grouping

from skylike.cuts.kinds import ColumnKind
from skylike.cuts.sql_numbers import Columns, Sql, double, exact, is_whole, number, typed
from skylike.cuts.syntax import (
    And,
    Call,
    Column,
    Comparison,
    Cut,
    Derived,
    HasLabel,
    InBox,
    InCone,
    InPolygon,
    IsNull,
    IsTruth,
    Like,
    Membership,
    Moment,
    Not,
    Or,
    Text,
    Truth,
    Value,
    columns_of,
    kind_of,
)
from skylike.database.engine import SCHEMA
from skylike.errors import CutError

Condition = sa.ColumnElement[bool]

_DOUBLES: Final = ARRAY(DOUBLE_PRECISION)
_LABEL: Final = sa.table(
    "label",
    sa.column("name", sa.Text()),
    sa.column("galaxy_id", sa.Integer()),
    sa.column("is_member", sa.Boolean()),
    schema=SCHEMA,
).alias("l")
"""What people said of galaxies, as far as a cut must know the table."""

_PRECEDENCE: Final = 5
"""SQLAlchemy's own precedence of comparisons."""

_BY_CODE_POINT: Final = "C"
"""Collation of comparisons that depend on the order or the case of letters: that of Python."""


def to_expression(cut: Cut, columns: Columns) -> Condition:
    """Turn a cut into SQL.

    Parameters
    ----------
    columns
        An expression with its SQL type for each of ``cut.columns``. Single precision and integer
        columns are compared as they are, so that their indexes serve; arithmetic is double
        precision. Numbers must be finite, as the catalog's are: it has NULL instead.

    Returns
    -------
    ColumnElement
        A condition for WHERE. It agrees with :func:`skylike.cuts.mask.to_mask`, NULLs included, up
        to the last digit of logarithms, powers and sines.

    Raises
    ------
    CutError
        A column is not to be had here, or functions are nested too deeply to be guarded.
    """
    missing = sorted(cut.columns - columns.keys())
    if missing:
        raise CutError(f"the column {missing[0]} cannot be used here", cut.text)
    try:
        return condition(cut.condition, columns)
    except CutError as error:
        raise CutError(error.reason, cut.text) from error


def value_expression(value: Value, columns: Columns) -> Sql:
    """Turn a value of any kind into SQL, for where it is shown instead of compared.

    Parameters
    ----------
    value
        Such as that of a derived column.
    columns
        As for :func:`to_expression`.

    Returns
    -------
    ColumnElement
        Double precision, except of whole numbers, which stay exact; text; or boolean.

    Raises
    ------
    CutError
        A column is not to be had here, or functions are nested too deeply to be guarded.
    """
    missing = sorted(columns_of(value) - columns.keys())
    if missing:
        raise CutError(f"the column {missing[0]} cannot be used here", missing[0])
    if kind_of(value) is ColumnKind.NUMBER:
        whole = is_whole(value, columns)
        return exact(value, columns) if whole else typed(number(value, columns).sql)
    return _plain(value, columns)


def check_derived(derived: Derived, columns: Columns) -> None:
    """Check that a statement can be made of a derived column.

    Raises
    ------
    CutError
        As :func:`value_expression`; it repeats the definition.
    """
    try:
        value_expression(derived.value, columns)
    except CutError as error:
        raise CutError(error.reason, f"{derived.name} = {derived.text}") from error


@singledispatch
def condition(value: Value, columns: Columns) -> Condition:
    """Turn a condition into SQL."""
    raise TypeError(f"{value} is no condition, and {list(columns)} do not make it one")


@condition.register
def _and(value: And, columns: Columns) -> Condition:
    return sa.and_(*[condition(operand, columns) for operand in value.operands])


@condition.register
def _or(value: Or, columns: Columns) -> Condition:
    return sa.or_(*[condition(operand, columns) for operand in value.operands])


@condition.register
def _not(value: Not, columns: Columns) -> Condition:
    if isinstance(value.operand, IsNull):
        return _nullable(value.operand, columns).is_not(None)
    return sa.not_(_grouped(value.operand, columns))


@condition.register
def _truth(value: Truth, columns: Columns) -> Condition:  # noqa: ARG001 - as registered
    return sa.true() if value.value else sa.false()


@condition.register
def _column(value: Column, columns: Columns) -> Condition:
    return columns[value.name]


@condition.register
def _comparison(value: Comparison, columns: Columns) -> Condition:
    if is_whole(value.left, columns) and is_whole(value.right, columns):
        left, right = exact(value.left, columns), exact(value.right, columns)
    else:
        left, right = _comparable(value.left, columns), _comparable(value.right, columns)
        if kind_of(value.left) is ColumnKind.TEXT and value.operator not in {"=", "<>"}:
            left = sa.collate(left, _BY_CODE_POINT)
    return left.op(value.operator, precedence=_PRECEDENCE, return_type=sa.Boolean())(right)


def _comparable(value: Value, columns: Columns) -> Sql:
    # PostgreSQL compares real with double precision as doubles, and its index on the real column
    # serves; a cast would bar it.
    if isinstance(value, Column) and isinstance(columns[value.name].type, sa.Float):
        return columns[value.name]
    return _plain(value, columns)


def _plain(value: Value, columns: Columns) -> Sql:
    match value:
        case Text():
            return sa.literal(value.value, sa.Text())
        case Moment():
            return sa.literal(value.value, sa.DateTime(timezone=True))
        case Call(kind=ColumnKind.TEXT):
            choices = [_plain(argument, columns) for argument in value.arguments]
            return sa.func.coalesce(*choices, type_=sa.Text())
        case Column(kind=ColumnKind.TEXT | ColumnKind.TIME):
            return columns[value.name]
    if kind_of(value) is ColumnKind.NUMBER:
        return number(value, columns).sql
    return _grouped(value, columns)


def _grouped(value: Value, columns: Columns) -> Condition:
    # SQLAlchemy takes NOT for the tightest operator: (NOT p) IS NULL would lose its parentheses.
    found = condition(value, columns)
    return found if isinstance(value, Column) else Grouping(found)


@condition.register
def _membership(value: Membership, columns: Columns) -> Condition:
    everything: tuple[Value, ...] = (value.operand, *value.choices)
    if all(is_whole(one, columns) for one in everything):
        operand, *choices = (exact(one, columns) for one in everything)
    else:
        operand, *choices = (_comparable(one, columns) for one in everything)
        if kind_of(value.operand) is ColumnKind.NUMBER:
            # A list of numeric constants alone would be rounded to the type of a real column.
            choices[0] = typed(choices[0])
    return operand.in_(choices)


@condition.register
def _like(value: Like, columns: Columns) -> Condition:
    text = _plain(value.operand, columns)
    if value.ignore_case:
        return sa.collate(text, _BY_CODE_POINT).ilike(value.pattern)
    return text.like(value.pattern)


@condition.register
def _is_null(value: IsNull, columns: Columns) -> Condition:
    return _nullable(value, columns).is_(None)


def _nullable(value: IsNull, columns: Columns) -> Sql:
    operand = value.operand
    return columns[operand.name] if isinstance(operand, Column) else _plain(operand, columns)


@condition.register
def _is_truth(value: IsTruth, columns: Columns) -> Condition:
    return _grouped(value.operand, columns).is_(sa.true() if value.value else sa.false())


@condition.register
def _in_cone(value: InCone, columns: Columns) -> Condition:
    center = double(value.center_ra), double(value.center_dec), double(value.radius)
    return _region("in_cone", value, columns, *center)


@condition.register
def _in_box(value: InBox, columns: Columns) -> Condition:
    edges = value.ra_min, value.ra_max, value.dec_min, value.dec_max
    return _region("in_box", value, columns, *map(double, edges))


@condition.register
def _in_polygon(value: InPolygon, columns: Columns) -> Condition:
    numbers = [float(number) for vertex in value.vertices for number in vertex]
    return _region("in_polygon", value, columns, sa.literal(numbers, _DOUBLES))


def _region(
    name: str, value: InCone | InBox | InPolygon, columns: Columns, *arguments: Sql
) -> Condition:
    """Call one of our functions, which the server inlines so that the index on (dec, ra) serves."""
    ra, dec = columns[value.ra.name], columns[value.dec.name]
    test: Condition = getattr(getattr(sa.func, SCHEMA), name)(
        ra, dec, *arguments, type_=sa.Boolean()
    )
    if not any(getattr(column, "nullable", True) for column in (ra, dec)):
        return test
    # Columns that are not the catalog's own positions: what is off the sky is in no region, and
    # of what is half unknown nothing is known.
    is_on_sky = ra.between(double(0), double(360)) & dec.between(double(-90), double(90))
    is_known = ra.is_not(None) & dec.is_not(None)
    return sa.case((is_on_sky, test), (is_known, sa.false()))


@condition.register
def _has_label(value: HasLabel, columns: Columns) -> Condition:
    galaxy = columns[value.galaxy.name]
    members = _LABEL.select().with_only_columns(_LABEL.c.galaxy_id)
    labeled = _LABEL.c.name == sa.literal(value.name, sa.Text())
    return galaxy.in_(members.where(labeled, _LABEL.c.is_member))

"""Cuts on arrays: the same condition as in SQL, for rows that are not in the database yet."""

import re
from functools import singledispatch
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.cuts.array_numbers import Columns, exact, is_whole, number
from skylike.cuts.arrays import Values, coalesced, known, negated, read_column
from skylike.cuts.kinds import ColumnKind
from skylike.cuts.polygon import in_polygon
from skylike.cuts.syntax import (
    And,
    Call,
    Column,
    Comparison,
    Cut,
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
    Number,
    Or,
    Text,
    Truth,
    Value,
    iter_values,
    kind_of,
)
from skylike.errors import CutError

_COMPARE: Final = {
    "=": np.equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def to_mask(cut: Cut, columns: Columns) -> npt.NDArray[np.bool_]:
    """Apply a cut to columns.

    Parameters
    ----------
    columns
        Arrays of equal length n for each of ``cut.columns``, and one at least, so that n is known.
        Masked entries, NaN, NaT and, in object arrays, None are NULL. Texts are str, bytes (UTF-8)
        or objects; times are datetime64, UTC.

    Returns
    -------
    ndarray
        (n,) bool: where the cut is true, and not merely not false.

    Raises
    ------
    CutError
        A column is not there, or the cut asks for labels, which only the catalog has.
    """
    if any(isinstance(value, HasLabel) for value in iter_values(cut.condition)):
        raise CutError("has_label serves in the catalog only; files have no labels", cut.text)
    missing = sorted(cut.columns - columns.keys())
    if missing:
        raise CutError(f"the column {missing[0]} is not there", cut.text)
    rows = len(next(iter(columns.values())))
    with np.errstate(all="ignore"):
        found = condition(cut.condition, columns)
    return np.broadcast_to(found.data & ~found.null, rows).copy()


@singledispatch
def condition(value: Value, columns: Columns) -> Values:
    """Evaluate a condition: bool, with its NULLs."""
    raise TypeError(f"{value} is no condition, and {list(columns)} do not make it one")


@condition.register
def _and(value: And, columns: Columns) -> Values:
    return _all([condition(operand, columns) for operand in value.operands])


@condition.register
def _or(value: Or, columns: Columns) -> Values:
    # De Morgan's law holds with NULL too.
    return negated(_all([negated(condition(operand, columns)) for operand in value.operands]))


def _all(operands: list[Values]) -> Values:
    is_false = is_null = np.zeros((), dtype=bool)
    for operand in operands:
        is_false = is_false | (~operand.data & ~operand.null)
        is_null = is_null | operand.null
    return Values(np.asarray(~is_false), np.asarray(is_null & ~is_false))


@condition.register
def _not(value: Not, columns: Columns) -> Values:
    return negated(condition(value.operand, columns))


@condition.register
def _truth(value: Truth, columns: Columns) -> Values:  # noqa: ARG001 - as registered
    return known(np.bool_(value.value))


@condition.register
def _column(value: Column, columns: Columns) -> Values:
    return read_column(columns[value.name], value.kind)


@condition.register
def _comparison(value: Comparison, columns: Columns) -> Values:
    if is_whole(value.left, columns) and is_whole(value.right, columns):
        left, right = exact(value.left, columns), exact(value.right, columns)
    else:
        left, right = _plain(value.left, columns), _plain(value.right, columns)
    compared = np.asarray(_COMPARE[value.operator](left.data, right.data), dtype=bool)
    return Values(compared, left.null | right.null)


def _plain(value: Value, columns: Columns) -> Values:
    match value:
        case Text():
            return known(value.value)
        case Moment():
            return known(np.datetime64(value.value.replace(tzinfo=None), "us"))
        case Call(kind=ColumnKind.TEXT):
            return coalesced([_plain(argument, columns) for argument in value.arguments])
        case Column(kind=ColumnKind.TEXT | ColumnKind.TIME):
            return read_column(columns[value.name], value.kind)
    if kind_of(value) is ColumnKind.NUMBER:
        return number(value, columns)
    return condition(value, columns)


@condition.register
def _membership(value: Membership, columns: Columns) -> Values:
    if all(is_whole(one, columns) for one in (value.operand, *value.choices)):
        operand = exact(value.operand, columns)
        limits = np.iinfo(operand.data.dtype)
        wanted = [choice.value for choice in value.choices if isinstance(choice, Number)]
        choices = np.array(
            [choice for choice in wanted if limits.min <= choice <= limits.max],
            dtype=operand.data.dtype,
        )
    else:
        operand = _plain(value.operand, columns)
        choices = np.array([_plain(choice, columns).data for choice in value.choices])
    return Values(np.asarray(np.isin(operand.data, choices)), operand.null)


@condition.register
def _like(value: Like, columns: Columns) -> Values:
    texts = _plain(value.operand, columns)
    distinct, place = np.unique(texts.data, return_inverse=True)
    pattern = like_pattern(value.pattern, ignore_case=value.ignore_case)
    matches = np.array([pattern.fullmatch(text) is not None for text in distinct.tolist()], bool)
    return Values(matches[place].reshape(texts.data.shape), texts.null)


def like_pattern(pattern: str, *, ignore_case: bool) -> re.Pattern[str]:
    """Turn a LIKE pattern into a regular expression that is fast on any text.

    Each part between two ``%`` is bound to its first fit, which is as good as any later one, so
    that nothing is ever tried twice.
    """
    parts = [""]
    for part in re.findall(r"\\.|.", pattern, re.DOTALL):
        if part == "%":
            parts.append("")
        else:
            parts[-1] += "." if part == "_" else _character(part[-1], ignore_case=ignore_case)
    first, *others = parts
    if others:
        *middle, last = others
        first += "".join(f"(?>.*?{part})" for part in middle) + f".*{last}"
    return re.compile(first, re.DOTALL)


def _character(character: str, *, ignore_case: bool) -> str:
    # As in PostgreSQL's collation C, only A to Z have another case.
    if ignore_case and character.isascii() and character.isalpha():
        return f"[{character.lower()}{character.upper()}]"
    return re.escape(character)


@condition.register
def _is_null(value: IsNull, columns: Columns) -> Values:
    return known(_plain(value.operand, columns).null)


@condition.register
def _is_truth(value: IsTruth, columns: Columns) -> Values:
    operand = condition(value.operand, columns)
    return known((operand.data == value.value) & ~operand.null)


@condition.register
def _in_cone(value: InCone, columns: Columns) -> Values:
    ra, dec = number(value.ra, columns), number(value.dec, columns)
    half_latitude = np.radians(dec.data - value.center_dec) / 2
    half_longitude = np.radians(ra.data - value.center_ra) / 2
    cosines = np.cos(np.radians(dec.data)) * np.cos(np.radians(value.center_dec))
    haversine = np.sin(half_latitude) ** 2 + cosines * np.sin(half_longitude) ** 2
    limit = np.sin(np.radians(value.radius) / 2) ** 2
    return _on_sky(ra, dec, np.asarray(haversine <= limit))


@condition.register
def _in_box(value: InBox, columns: Columns) -> Values:
    ra, dec = number(value.ra, columns), number(value.dec, columns)
    is_east, is_west = ra.data >= value.ra_min, ra.data <= value.ra_max
    if value.ra_min > value.ra_max:
        inside = is_east | is_west
    else:
        inside = (is_east & is_west) | (ra.data <= value.ra_max - 360)
    inside = inside & (dec.data >= value.dec_min) & (dec.data <= value.dec_max)
    return _on_sky(ra, dec, np.asarray(inside))


@condition.register
def _in_polygon(value: InPolygon, columns: Columns) -> Values:
    ra, dec = number(value.ra, columns), number(value.dec, columns)
    return _on_sky(ra, dec, in_polygon(ra.data, dec.data, value.vertices))


def _on_sky(ra: Values, dec: Values, inside: npt.NDArray[np.bool_]) -> Values:
    is_on_sky = (ra.data >= 0) & (ra.data <= 360) & (np.abs(dec.data) <= 90)
    return Values(inside & is_on_sky, ra.null | dec.null)

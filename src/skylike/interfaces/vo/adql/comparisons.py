"""Comparisons: of one kind with its like, and of distances and regions so that indexes serve."""

from collections.abc import Callable, Mapping, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Final

from sqlglot import exp

from skylike.interfaces.vo.adql.cones import in_cone, wider_radius
from skylike.interfaces.vo.adql.schema import BOOLEAN, TIMESTAMP
from skylike.interfaces.vo.adql.statement import Statement
from skylike.interfaces.vo.adql.values import Value

_FLIPPED: Final = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "=": eq,
    "<>": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


def compared(left: Value, operator: str, right: Value, node: exp.Expr, statement: Statement) -> str:
    """Compare two values.

    Raises
    ------
    AdqlError
        They are of different kinds.
    """
    if left.number is not None and (right.predicate is not None or right.between is not None):
        left, operator, right = right, _FLIPPED[operator], left
    if left.predicate is not None and right.number is not None:
        return condition_of(left.predicate, operator, right.number)
    first, second = same_kind(left, right, node, statement)
    plain = f"{first} {operator} {second}"
    near = _near(left, operator, right) or _near(right, _FLIPPED[operator], left)
    return plain if near is None else f"({near} AND {plain})"


def _near(left: Value, operator: str, right: Value) -> str | None:
    """Say that two places lie so near that an index finds them, if a comparison says that."""
    if left.between is None or right.between is not None or operator not in {"<", "<=", "="}:
        return None
    first, second = left.between
    return in_cone(first, second, wider_radius(right))


def condition_of(predicate: str, operator: str, constant: float) -> str:
    """Say when 1 (of a condition that holds) or 0 compares so with a constant."""
    holds, fails = (_OPERATORS[operator](number, constant) for number in (1, 0))
    if holds and fails:
        return f"{predicate} IS NOT NULL"
    if holds:
        return predicate
    return f"NOT {predicate}" if fails else f"({predicate} AND NOT {predicate})"


def matched(value: Value, choices: Sequence[Value], node: exp.Expr, statement: Statement) -> str:
    """Say that a value is one of several.

    Raises
    ------
    AdqlError
        One is of another kind.
    """
    written = [same_kind(value, choice, node, statement)[1] for choice in choices]
    return f"{value.sql} IN ({', '.join(written)})"


def same_kind(left: Value, right: Value, node: exp.Expr, statement: Statement) -> tuple[str, str]:
    """Return the SQL of two values of one kind; a text beside a time is read as one.

    Raises
    ------
    AdqlError
        They cannot be compared.
    """
    if left.is_number and right.is_number:
        # Bare columns stay as they are: a cast would bar their index.
        return left.sql, right.sql
    if left.is_text and right.is_text:
        return left.sql, right.sql
    if left.datatype == right.datatype == BOOLEAN:
        return left.sql, right.sql
    if {left.datatype, right.datatype} <= {TIMESTAMP} or (
        TIMESTAMP in {left.datatype, right.datatype} and (left.is_text or right.is_text)
    ):
        return _moment(left), _moment(right)
    raise statement.error(f"{_said(left)} cannot be compared with {_said(right)}", node)


def _moment(value: Value) -> str:
    if value.is_text:
        return f"CAST({value.sql} AS timestamp with time zone)"
    return value.sql


def _said(value: Value) -> str:
    if value.shape is not None:
        return "a geometry"
    if value.is_number:
        return "a number"
    if value.datatype.arraysize not in {None, "*"}:
        return "an array"
    return {"boolean": "a truth value"}.get(
        value.datatype.votable, "a time" if value.datatype == TIMESTAMP else "a text"
    )

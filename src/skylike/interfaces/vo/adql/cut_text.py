"""Conditions of ADQL as cuts: of those that mean exactly the same in both languages.

A cut is written from the tree; it is read again by the parser of cuts, which has the last word.
What is not here has no cut that means the same at every row: whole numbers divide differently, and
texts are ordered differently.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from skylike.cuts import GALAXY_KINDS, ColumnKind
from skylike.cuts.coordinates import Cone
from skylike.interfaces.vo.adql.cones import constant_cone
from skylike.interfaces.vo.adql.expressions import evaluate
from skylike.interfaces.vo.adql.scope import Scope
from skylike.interfaces.vo.adql.statement import Statement
from skylike.interfaces.vo.adql.tokens import FUNCTION_MARK
from skylike.interfaces.vo.adql.values import Circle, Point, Polygon, Shape, Value

_COMPARISONS: Final[Mapping[type[exp.Expr], str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_FLIPPED: Final = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ARITHMETIC: Final[Mapping[type[exp.Expr], str]] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
}
_FUNCTIONS: Final = {
    "abs": "abs",
    "ceiling": "ceil",
    "floor": "floor",
    "log": "ln",
    "log10": "log10",
    "sqrt": "sqrt",
}


class _NotACutError(Exception):
    """A condition has no cut that means the same."""


@dataclass(frozen=True)
class Said:
    """A condition as a search takes it: a cut, and a cone, each or None."""

    where: str | None
    cone: Cone | None


@dataclass(frozen=True)
class _Reader:
    scope: Scope
    statement: Statement

    def value(self, node: exp.Expr) -> Value:
        return evaluate(node, self.scope, self.statement)


def cut_text(node: exp.Expr, scope: Scope, statement: Statement) -> Said | None:
    """Say a condition as a cut and a cone, or return None where that cannot be."""
    reader = _Reader(scope, statement)
    cone: Cone | None = None
    conditions = []
    try:
        for part in _conjuncts(node):
            found = _cone_of(part, reader) if cone is None else None
            if found is None:
                conditions.append(_condition(part, reader))
            cone = cone or found
    except _NotACutError:
        return None
    return Said(" AND ".join(conditions) or None, cone)


def _conjuncts(node: exp.Expr) -> list[exp.Expr]:
    left, found = [node], []
    while left:
        one = left.pop()
        if isinstance(one, exp.And):
            left += [one.expression, one.this]
        elif isinstance(one, exp.Paren):
            left.append(one.this)
        else:
            found.append(one)
    return found


def _cone_of(node: exp.Expr, reader: _Reader) -> Cone | None:
    """Return the cone that a condition is, such as ``1 = CONTAINS(POINT(...), CIRCLE(...))``."""
    if not isinstance(node, exp.EQ):
        return None
    for one, other in ((node.this, node.expression), (node.expression, node.this)):
        if reader.value(one).number == 1:
            shapes = _contains(other, reader)
            match shapes:
                case Point(), Circle(center, radius):
                    return constant_cone(center, radius)
    return None


def _contains(node: exp.Expr, reader: _Reader) -> tuple[Shape, Shape] | None:
    """Return the shapes of CONTAINS where the first is the position of the galaxy."""
    if isinstance(node, exp.Paren):
        return _contains(node.this, reader)
    is_call = isinstance(node, exp.Anonymous) and len(node.expressions) == 2
    if not is_call or node.name.partition(FUNCTION_MARK)[0] != "contains":
        return None
    first, second = (reader.value(one).shape for one in node.expressions)
    if isinstance(first, Point) and second is not None and _is_own(first):
        return first, second
    return None


def _is_own(point: Point) -> bool:
    names = [None if one.origin is None else one.origin.column for one in (point.ra, point.dec)]
    return names == ["ra", "dec"]


def _condition(node: exp.Expr, reader: _Reader) -> str:
    writer = _CONDITIONS.get(type(node))
    if writer is None:
        raise _NotACutError
    return writer(node, reader)


def _paren(node: exp.Expr, reader: _Reader) -> str:
    return f"({_condition(node.this, reader)})"


def _chain(node: exp.Expr, reader: _Reader) -> str:
    operands = []
    current = node
    while type(current) is type(node):
        operands.append(_condition(current.expression, reader))
        current = current.this
    operands.append(_condition(current, reader))
    word = " AND " if isinstance(node, exp.And) else " OR "
    return f"({word.join(reversed(operands))})"


def _not(node: exp.Expr, reader: _Reader) -> str:
    return f"(NOT {_condition(node.this, reader)})"


def _comparison(node: exp.Expr, reader: _Reader) -> str:
    left, right = reader.value(node.this), reader.value(node.expression)
    sign = _COMPARISONS[type(node)]
    for one, other, way in ((left, node.expression, _FLIPPED[sign]), (right, node.this, sign)):
        if one.number is not None and (shapes := _contains(other, reader)) is not None:
            return _region_test(shapes, way, one.number)
    if left.is_text and right.is_text and sign in {"=", "<>"}:
        return f"{_text(node.this, reader)} {sign} {_text(node.expression, reader)}"
    return f"{_number(node.this, reader)} {sign} {_number(node.expression, reader)}"


def _region_test(shapes: tuple[Shape, Shape], sign: str, constant: float) -> str:
    if sign != "=" or constant not in {0, 1}:
        raise _NotACutError
    match shapes[1]:
        case Circle(center, radius) if (cone := constant_cone(center, radius)) is not None:
            sql = f"in_cone(ra, dec, {cone.ra!r}, {cone.dec!r}, {cone.radius!r})"
        case Polygon(vertices):
            numbers = ", ".join(repr(float(one)) for vertex in vertices for one in vertex)
            sql = f"in_polygon(ra, dec, {numbers})"
        case _:
            raise _NotACutError
    return sql if constant else f"(NOT {sql})"


def _between(node: exp.Expr, reader: _Reader) -> str:
    value, low, high = (_number(node.args[part], reader) for part in ("this", "low", "high"))
    return f"({value} BETWEEN {low} AND {high})"


def _in(node: exp.Expr, reader: _Reader) -> str:
    if node.args.get("query") is not None:
        raise _NotACutError
    is_text = reader.value(node.this).is_text
    write = _text if is_text else _number
    choices = [reader.value(choice) for choice in node.expressions]
    if any(choice.constant is None for choice in choices):
        raise _NotACutError
    written = ", ".join(write(choice, reader) for choice in node.expressions)
    return f"{write(node.this, reader)} IN ({written})"


def _like(node: exp.Expr, reader: _Reader) -> str:
    pattern = reader.value(node.expression).constant
    if not isinstance(pattern, str):
        raise _NotACutError
    word = "ILIKE" if isinstance(node, exp.ILike) else "LIKE"
    negated = "NOT " if node.args.get("negate") else ""
    escaped = _quoted(pattern.replace("\\", "\\\\"))
    return f"({_text(node.this, reader)} {negated}{word} {escaped})"


def _is(node: exp.Expr, reader: _Reader) -> str:
    name = _own_column(reader.value(node.this))
    return f"({name} IS {'NOT ' if node.args.get('negate') else ''}NULL)"


def _own_column(value: Value) -> str:
    if value.origin is None or value.origin.column not in GALAXY_KINDS:
        raise _NotACutError
    return f'"{value.origin.column}"'


def _text(node: exp.Expr, reader: _Reader) -> str:
    value = reader.value(node)
    if isinstance(value.constant, str):
        return _quoted(value.constant)
    name = _own_column(value)
    if GALAXY_KINDS[name.strip('"')] is not ColumnKind.TEXT:
        raise _NotACutError
    return name


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _number(node: exp.Expr, reader: _Reader) -> str:
    value = reader.value(node)
    if value.number is not None:
        return f"({value.number!r})" if value.number < 0 else repr(value.number)
    if not value.is_number or value.likeness is not None:
        raise _NotACutError
    if value.origin is not None:
        return _own_column(value)
    if isinstance(node, exp.Paren):
        return f"({_number(node.this, reader)})"
    if isinstance(node, exp.BitwiseAnd) or (type(node) in _ARITHMETIC and not value.is_whole):
        sign = _ARITHMETIC.get(type(node), "&")
        left, right = _number(node.this, reader), _number(node.expression, reader)
        return f"({left} {sign} {right})"
    return _called(node, value, reader)


def _called(node: exp.Expr, value: Value, reader: _Reader) -> str:
    if value.is_whole:
        raise _NotACutError
    if isinstance(node, exp.Neg):
        return f"(- {_number(node.this, reader)})"
    name = _FUNCTIONS.get(node.name.partition(FUNCTION_MARK)[0])
    if isinstance(node, exp.Anonymous) and name is not None and len(node.expressions) == 1:
        return f"{name}({_number(node.expressions[0], reader)})"
    raise _NotACutError


_CONDITIONS: Final[Mapping[type[exp.Expr], Callable[[exp.Expr, _Reader], str]]] = {
    **dict.fromkeys(_COMPARISONS, _comparison),
    **dict.fromkeys([exp.And, exp.Or], _chain),
    **dict.fromkeys([exp.Like, exp.ILike], _like),
    exp.Between: _between,
    exp.In: _in,
    exp.Is: _is,
    exp.Not: _not,
    exp.Paren: _paren,
}

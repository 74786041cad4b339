"""sqlglot's tree to ours: kinds are checked, constants read, short forms spelled out."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from sqlglot import exp

from skylike.cuts.arguments import Argument, said
from skylike.cuts.calls import make_call
from skylike.cuts.kinds import ColumnKind
from skylike.cuts.source import Source
from skylike.cuts.syntax import (
    And,
    Arithmetic,
    Column,
    Comparison,
    Constant,
    IsNull,
    IsTruth,
    Like,
    Membership,
    Moment,
    Negative,
    Not,
    Number,
    Or,
    Text,
    Truth,
    Value,
    kind_of,
)
from skylike.cuts.tokens import FUNCTION_MARK

_ARITHMETIC: Final[Mapping[type[exp.Expr], str]] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.BitwiseAnd: "&",
}
_COMPARISON: Final[Mapping[type[exp.Expr], str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}


def build(node: exp.Expr, source: Source) -> Value:
    """Turn a node whose classes have been checked into our syntax tree.

    Raises
    ------
    CutError
        Kinds do not fit together, or a function has the wrong arguments.
    """
    if type(node) in _ARITHMETIC:
        left, right = _number(node.this, source), _number(node.expression, source)
        if isinstance(node, exp.BitwiseAnd):
            _check_bits(left, node.this, source)
            _check_bits(right, node.expression, source)
        return Arithmetic(_ARITHMETIC[type(node)], left, right)
    if type(node) in _COMPARISON:
        return _comparison(node.this, _COMPARISON[type(node)], node.expression, source)
    return _BUILDERS[type(node)](node, source)


def _paren(node: exp.Expr, source: Source) -> Value:
    return build(node.this, source)


def _column(node: exp.Expr, source: Source) -> Value:
    return source.value_of(node.name)


def _literal(node: exp.Expr, _source: Source) -> Value:
    if node.is_string:
        return Text(node.name)
    is_whole = re.fullmatch(r"[0-9]{1,20}", node.name) is not None
    return Number(int(node.name) if is_whole else float(node.name))


def _null(node: exp.Expr, source: Source) -> Value:
    raise source.error(
        "NULL stands only in IS NULL and IS NOT NULL; comparing with it is never true",
        source.position(node) if node.parent is None else source.position(node.parent),
    )


def _truth(node: exp.Expr, _source: Source) -> Value:
    return Truth(bool(node.this))


def _negative(node: exp.Expr, source: Source) -> Value:
    operand = _number(node.this, source)
    match operand:
        case Number():
            return Number(-operand.value)
        case Negative():
            # Written out it would be --, which begins a comment.
            return operand.operand
        case _:
            return Negative(operand)


def _not(node: exp.Expr, source: Source) -> Value:
    return Not(_condition(node.this, source))


def _chain(node: exp.Expr, source: Source) -> Value:
    # A chain leans to the left, as deep as it is long: walked, not recursed into.
    operands = []
    current = node
    while type(current) is type(node):
        operands.append(_condition(current.expression, source))
        current = current.this
    operands.append(_condition(current, source))
    joined = tuple(reversed(operands))
    return And(joined) if isinstance(node, exp.And) else Or(joined)


def _check_bits(value: Value, node: exp.Expr, source: Source) -> None:
    match value:
        case Column() | Arithmetic(operator="&"):
            return
        case Number(int() as whole) if -(2**63) <= whole < 2**63:
            return
    raise source.error(
        "& takes columns and whole numbers, such as maskbits & 4096 = 0", source.position(node)
    )


def _number(node: exp.Expr, source: Source) -> Value:
    return _of_kind(node, ColumnKind.NUMBER, source)


def _condition(node: exp.Expr, source: Source) -> Value:
    return _of_kind(node, ColumnKind.BOOLEAN, source)


def _of_kind(node: exp.Expr, kind: ColumnKind, source: Source) -> Value:
    value = build(node, source)
    if kind_of(value) is not kind:
        wanted = "a condition" if kind is ColumnKind.BOOLEAN else f"a {kind}"
        raise source.error(f"{wanted} is needed here, not {said(value)}", source.position(node))
    return value


def _comparison(left_node: exp.Expr, operator: str, right_node: exp.Expr, source: Source) -> Value:
    left, right = build(left_node, source), build(right_node, source)
    left, right = (
        _as_moment(left, right, left_node, source),
        _as_moment(right, left, right_node, source),
    )
    kind = kind_of(left)
    position = source.position(left_node)
    if kind is not kind_of(right):
        raise source.error(
            f"{said(left)} cannot be compared with {said(right)}", source.position(right_node)
        )
    if kind is ColumnKind.BOOLEAN:
        if operator not in {"=", "<>"}:
            raise source.error(f"conditions cannot be compared with {operator}", position)
        for node in (left_node, right_node):
            if not isinstance(node, exp.Column | exp.Boolean | exp.Paren):
                raise source.error(
                    "put parentheses around conditions that are compared", source.position(node)
                )
    return Comparison(operator, left, right)


def _as_moment(value: Value, other: Value, node: exp.Expr, source: Source) -> Value:
    if not isinstance(value, Text) or kind_of(other) is not ColumnKind.TIME:
        return value
    try:
        moment = datetime.fromisoformat(value.value)
    except ValueError as error:
        raise source.error(
            f"'{value.value}' is not a time; write '2026-01-31' or '2026-01-31 12:00:00'",
            source.position(node),
        ) from error
    return Moment(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))


def _between(node: exp.Expr, source: Source) -> Value:
    low, high = node.args["low"], node.args["high"]
    return And(
        (
            _comparison(node.this, ">=", low, source),
            _comparison(node.this, "<=", high, source),
        )
    )


def _membership(node: exp.Expr, source: Source) -> Value:
    operand = build(node.this, source)
    choices = tuple(_choice(choice, operand, source) for choice in node.expressions)
    return Membership(operand, choices)


def _choice(node: exp.Expr, operand: Value, source: Source) -> Constant:
    choice = _as_moment(build(node, source), operand, node, source)
    if not isinstance(choice, Constant):
        raise source.error("a list after IN holds only constants", source.position(node))
    if kind_of(choice) is not kind_of(operand):
        raise source.error(
            f"{said(operand)} cannot be compared with {said(choice)}", source.position(node)
        )
    return choice


def _like(node: exp.Expr, source: Source) -> Value:
    operand = _of_kind(node.this, ColumnKind.TEXT, source)
    pattern = build(node.expression, source)
    position = source.position(node.expression)
    if not isinstance(pattern, Text):
        raise source.error("the pattern of LIKE is a text between single quotes", position)
    if re.fullmatch(r"(?:[^\\]|\\.)*", pattern.value, re.DOTALL) is None:
        raise source.error("a pattern cannot end in a single backslash; write two", position)
    like = Like(operand, pattern.value, isinstance(node, exp.ILike))
    return Not(like) if node.args.get("negate") else like


def _is(node: exp.Expr, source: Source) -> Value:
    operand = build(node.this, source)
    wanted = node.expression
    test: Value
    if isinstance(wanted, exp.Null):
        test = IsNull(operand)
    elif isinstance(wanted, exp.Boolean) and kind_of(operand) is ColumnKind.BOOLEAN:
        test = IsTruth(operand, bool(wanted.this))
    else:
        raise source.error(
            "after IS comes NULL or NOT NULL, and after a condition also TRUE or FALSE",
            source.position(node),
        )
    return Not(test) if node.args.get("negate") else test


def _call(node: exp.Expr, source: Source) -> Value:
    name = node.name.removesuffix(FUNCTION_MARK)
    return _called(name, node.expressions, node, source)


def _power(node: exp.Expr, source: Source) -> Value:
    return _called("power", [node.this, node.expression], node, source)


def _called(name: str, arguments: list[exp.Expr], node: exp.Expr, source: Source) -> Value:
    given = [Argument(build(argument, source), source.position(argument)) for argument in arguments]
    return make_call(name, given, source, position=source.position(node))


_BUILDERS: Final[Mapping[type[exp.Expr], Callable[[exp.Expr, Source], Value]]] = {
    exp.And: _chain,
    exp.Anonymous: _call,
    exp.Between: _between,
    exp.Boolean: _truth,
    exp.Column: _column,
    exp.ILike: _like,
    exp.In: _membership,
    exp.Is: _is,
    exp.Like: _like,
    exp.Literal: _literal,
    exp.Neg: _negative,
    exp.Not: _not,
    exp.Null: _null,
    exp.Or: _chain,
    exp.Paren: _paren,
    exp.Pow: _power,
}

"""sqlglot's tree to values: each node checked, each written anew."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from sqlglot import exp

from skylike.interfaces.vo.adql.arithmetic import reckoned
from skylike.interfaces.vo.adql.calls import Call
from skylike.interfaces.vo.adql.casts import cast_value
from skylike.interfaces.vo.adql.comparisons import compared, matched
from skylike.interfaces.vo.adql.functions import AGGREGATES, FUNCTIONS
from skylike.interfaces.vo.adql.geometry import GEOMETRY
from skylike.interfaces.vo.adql.schema import BOOLEAN, LONG, TEXT
from skylike.interfaces.vo.adql.scope import Scope
from skylike.interfaces.vo.adql.statement import Statement
from skylike.interfaces.vo.adql.tokens import FUNCTION_MARK
from skylike.interfaces.vo.adql.values import Value, number, wider

_ALL_FUNCTIONS: Final = {**FUNCTIONS, **GEOMETRY}


def evaluate(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    """Turn an expression into a value.

    Raises
    ------
    AdqlError
        It names what is not there, or is not allowed, or kinds do not fit together.
    """
    builder = _BUILDERS.get(type(node))
    if builder is None:
        raise statement.error("this is not understood here", node)
    return builder(node, scope, statement)


def condition(node: exp.Expr, scope: Scope, statement: Statement) -> str:
    """Turn a condition into SQL.

    Raises
    ------
    AdqlError
        As :func:`evaluate`, or it is no condition.
    """
    value = evaluate(node, scope, statement)
    if value.datatype != BOOLEAN:
        raise statement.error("a condition is needed here; compare it with something", node)
    return value.sql


def _truth(sql: str) -> Value:
    return Value(f"({sql})", BOOLEAN)


def _column(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this", "table", "db", "catalog")
    if isinstance(node.this, exp.Star):
        raise statement.error("* stands only after SELECT and in COUNT(*)", node)
    if node.args.get("catalog"):
        raise statement.error("write schema.table.column at most", node)
    owners = [node.args[part] for part in ("db", "table") if node.args.get(part)]
    named = [statement.name(owner) for owner in owners]
    return statement.find_column(statement.name(node.this), named, scope, node)


def _literal(node: exp.Expr, _scope: Scope, statement: Statement) -> Value:
    if node.is_string:
        return statement.text(node.name)
    return number(int(node.name) if node.name.isdigit() else float(node.name))


def _paren(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this")
    return evaluate(node.this, scope, statement)


def _null(_node: exp.Expr, _scope: Scope, statement: Statement) -> Value:
    raise statement.error("NULL stands only in IS NULL and IS NOT NULL", _node.parent or _node)


def _boolean(node: exp.Expr, _scope: Scope, _statement: Statement) -> Value:
    return Value("TRUE" if node.this else "FALSE", BOOLEAN)


def _numbers(node: exp.Expr, scope: Scope, statement: Statement) -> tuple[Value, Value]:
    statement.only(node, "this", "expression", "typed", "safe")
    left, right = (evaluate(part, scope, statement) for part in (node.this, node.expression))
    for value, part in ((left, node.this), (right, node.expression)):
        if not value.is_number:
            raise statement.error("a number is needed here", part)
    return left, right


def _arithmetic(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    left, right = _numbers(node, scope, statement)
    return reckoned(left, _ARITHMETIC[type(node)], right)


def _bits(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    left, right = _numbers(node, scope, statement)
    if not (left.is_whole and right.is_whole):
        raise statement.error("bits are those of whole numbers", node)
    datatype = wider(left.datatype, right.datatype)
    return Value(f"({left.sql} {_BITS[type(node)]} {right.sql})", datatype)


def _not_bits(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this")
    value = evaluate(node.this, scope, statement)
    if not value.is_whole:
        raise statement.error("bits are those of whole numbers", node)
    return Value(f"(~ {value.sql})", value.datatype)


def _negative(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this")
    value = evaluate(node.this, scope, statement)
    if not value.is_number:
        raise statement.error("a number is needed here", node)
    if value.number is not None:
        return number(-value.number)
    return Value(f"(- {value.sql})", value.datatype, value.unit)


def _joined(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this", "expression", "safe")
    parts = [evaluate(part, scope, statement) for part in (node.this, node.expression)]
    if not all(part.is_text for part in parts):
        raise statement.error("|| joins texts; CAST(... AS VARCHAR) makes one of a number", node)
    return Value(f"({parts[0].sql} || {parts[1].sql})", TEXT)


def _chain(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    # A chain leans to the left, as deep as it is long: walked, not recursed into.
    operands = []
    current = node
    while type(current) is type(node):
        statement.only(current, "this", "expression")
        operands.append(condition(current.expression, scope, statement))
        current = current.this
    operands.append(condition(current, scope, statement))
    word = " AND " if isinstance(node, exp.And) else " OR "
    return _truth(word.join(reversed(operands)))


def _not(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this")
    return _truth(f"NOT {condition(node.this, scope, statement)}")


def _comparison(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this", "expression")
    left, right = (evaluate(part, scope, statement) for part in (node.this, node.expression))
    return _truth(compared(left, _COMPARISON[type(node)], right, node, statement))


def _between(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this", "low", "high")
    value, low, high = (
        evaluate(node.args[part], scope, statement) for part in ("this", "low", "high")
    )
    above = compared(value, ">=", low, node, statement)
    return _truth(f"{above} AND {compared(value, '<=', high, node, statement)}")


def _in(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this", "expressions", "query")
    value = evaluate(node.this, scope, statement)
    query = node.args.get("query")
    if query is None:
        choices = [evaluate(choice, scope, statement) for choice in node.expressions]
        if not choices:
            raise statement.error("the list after IN is empty", node)
        return _truth(matched(value, choices, node, statement))
    result = statement.subquery(query, scope, statement)
    if len(result.columns) != 1:
        raise statement.error("the SELECT after IN gives one column", node)
    compared(value, "=", result.columns[0].value, node, statement)  # of one kind?
    return _truth(f"{value.sql} IN ({result.sql})")


def _exists(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this")
    return _truth(f"EXISTS ({statement.subquery(node.this, scope, statement).sql})")


def _like(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this", "expression", "negate")
    text, pattern = (evaluate(part, scope, statement) for part in (node.this, node.expression))
    if not (text.is_text and pattern.is_text):
        raise statement.error("LIKE and ILIKE compare texts", node)
    word = "ILIKE" if isinstance(node, exp.ILike) else "LIKE"
    negated = "NOT " if node.args.get("negate") else ""
    # ADQL has no escape character; PostgreSQL has one unless told otherwise.
    return _truth(f"{text.sql} {negated}{word} {pattern.sql} ESCAPE ''")


def _is(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this", "expression", "negate")
    value = evaluate(node.this, scope, statement)
    if not isinstance(node.expression, exp.Null):
        raise statement.error("after IS comes NULL or NOT NULL", node)
    negated = "NOT " if node.args.get("negate") else ""
    return _truth(f"{value.sql} IS {negated}NULL")


def _cast(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this", "to")
    return cast_value(evaluate(node.this, scope, statement), node.args["to"], statement)


def _subquery(node: exp.Expr, _scope: Scope, statement: Statement) -> Value:
    raise statement.error("a SELECT as a value is no ADQL; join it, or use IN or EXISTS", node)


def _function(node: exp.Expr, scope: Scope, statement: Statement) -> Value:
    statement.only(node, "this", "expressions")
    name = node.name.partition(FUNCTION_MARK)[0]
    function = _ALL_FUNCTIONS.get(name)
    if function is None:
        raise statement.error(f"there is no function {name.upper()}; docs/adql.md lists them", node)
    given = node.expressions
    is_distinct = len(given) == 1 and isinstance(given[0], exp.Distinct)
    if name == "count" and len(given) == 1 and isinstance(given[0], exp.Star):
        return Value("count(*)", LONG, ucd="meta.number")
    if is_distinct:
        if name not in AGGREGATES:
            raise statement.error("DISTINCT stands only in COUNT, SUM, AVG, MIN and MAX", node)
        given = given[0].expressions
    arguments = tuple(evaluate(argument, scope, statement) for argument in given)
    return function(Call(name, arguments, node, statement, scope, is_distinct))


class _Builder(Protocol):
    def __call__(self, node: exp.Expr, scope: Scope, statement: Statement, /) -> Value: ...


_ARITHMETIC: Final[Mapping[type[exp.Expr], str]] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
}
_BITS: Final[Mapping[type[exp.Expr], str]] = {
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
    exp.BitwiseXor: "#",
}
_COMPARISON: Final[Mapping[type[exp.Expr], str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_BUILDERS: Final[Mapping[type[exp.Expr], _Builder | Callable[..., Value]]] = {
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    **dict.fromkeys(_BITS, _bits),
    **dict.fromkeys(_COMPARISON, _comparison),
    **dict.fromkeys([exp.And, exp.Or], _chain),
    **dict.fromkeys([exp.Like, exp.ILike], _like),
    exp.Anonymous: _function,
    exp.Between: _between,
    exp.BitwiseNot: _not_bits,
    exp.Boolean: _boolean,
    exp.Cast: _cast,
    exp.Column: _column,
    exp.DPipe: _joined,
    exp.Exists: _exists,
    exp.In: _in,
    exp.Is: _is,
    exp.Literal: _literal,
    exp.Neg: _negative,
    exp.Not: _not,
    exp.Null: _null,
    exp.Paren: _paren,
    exp.Select: _subquery,
    exp.Subquery: _subquery,
}

"""SELECTs and set operations, written anew from sqlglot's tree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlglot import exp

from skylike.interfaces.vo.adql.expressions import condition, evaluate
from skylike.interfaces.vo.adql.ordering import key_sql, order_keys, page_clauses
from skylike.interfaces.vo.adql.scope import Named, Relation, Scope, result_relation
from skylike.interfaces.vo.adql.statement import Result, Statement
from skylike.interfaces.vo.adql.tables import read_from
from skylike.interfaces.vo.adql.tokens import FUNCTION_MARK
from skylike.interfaces.vo.adql.values import Likeness, plain, wider

_SELECT: Final = (
    *("with_", "distinct", "limit", "expressions", "from_", "joins"),
    *("where", "group", "having", "order", "offset"),
)
_SET: Final = ("with_", "this", "expression", "distinct", "order", "offset")
_WORDS: Final[Mapping[type[exp.Expr], str]] = {
    exp.Union: "UNION",
    exp.Except: "EXCEPT",
    exp.Intersect: "INTERSECT",
}


def build_query(
    node: exp.Expr, scope: Scope, statement: Statement, *, limit: int | None = None
) -> Result:
    """Write a SELECT, a set operation, or either in parentheses.

    Parameters
    ----------
    scope
        What is around it.
    limit
        Most rows that it may give; TOP may ask for less.

    Raises
    ------
    AdqlError
        Something in it is not there, not allowed, or of the wrong kind.
    """
    if isinstance(node, exp.Subquery):
        statement.only(node, "this")
        return build_query(node.this, scope, statement, limit=limit)
    inner = Scope(parent=scope if scope.relations else scope.parent, tables=scope.tables)
    with_sql, inner = _with(node, inner, statement)
    if isinstance(node, exp.Select):
        result = _select(node, inner, statement, limit=limit)
    elif isinstance(node, exp.SetOperation):
        result = _set_operation(node, inner, statement, limit=limit)
    else:
        raise statement.error("a SELECT is needed here", node)
    return Result(with_sql + result.sql, result.columns)


def subquery(node: exp.Expr, scope: Scope, statement: Statement) -> Result:
    """Write a SELECT within a query."""
    return build_query(node, scope, statement)


def _with(node: exp.Expr, scope: Scope, statement: Statement) -> tuple[str, Scope]:
    clause = node.args.get("with_")
    if clause is None:
        return "", scope
    statement.only(clause, "expressions")
    written = []
    for definition in clause.expressions:
        statement.only(definition, "this", "alias")
        alias = definition.args["alias"]
        statement.only(alias, "this", "columns")
        result = build_query(definition.this, scope, statement)
        name = statement.alias()
        relation = result_relation(statement.name(alias.this).text, name, result.columns)
        relation = _renamed(relation, alias, statement)
        written.append(f"{name} AS ({result.sql})")
        scope = replace(scope, tables=(*scope.tables, relation))
    return f"WITH {', '.join(written)} ", scope


def _renamed(relation: Relation, alias: exp.Expr, statement: Statement) -> Relation:
    names = [statement.name(column).text for column in alias.args.get("columns") or ()]
    if not names:
        return relation
    if len(names) != len(relation.columns):
        raise statement.error(
            f"WITH names {len(names)} columns, its SELECT gives {len(relation.columns)}", alias
        )
    pairs = zip(names, relation.columns, strict=True)
    columns = tuple(Named(name, column.value) for name, column in pairs)
    return replace(relation, columns=columns)


@dataclass
class _Parts:
    """The parts of a SELECT while it is written."""

    columns: tuple[Named, ...]
    conditions: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)


def _select(node: exp.Expr, outer: Scope, statement: Statement, *, limit: int | None) -> Result:
    statement.only(node, *_SELECT)
    joined = read_from(node, outer, statement)
    scope = joined.scope
    parts = _Parts(tuple(select_list(node, scope, statement)))
    if node.args.get("where"):
        parts.conditions.append(condition(node.args["where"].this, scope, statement))
    keys = order_keys(node, scope, statement, parts.columns)
    parts.order = [sql for _, sql in keys]
    distinct = _distinct(node, statement)
    if keys and keys[0][0] is not None and not node.args.get("group") and not distinct:
        _as_search(keys[0][0], parts)
    written = ["SELECT " + distinct + written_columns(parts.columns), "FROM " + joined.sql]
    if parts.conditions:
        written.append("WHERE " + " AND ".join(parts.conditions))
    written.extend(_groups(node, scope, statement))
    if parts.order:
        written.append("ORDER BY " + ", ".join(parts.order))
    written.extend(page_clauses(node, statement, limit=limit))
    return Result(" ".join(written), parts.columns)


def _as_search(likeness: Likeness, parts: _Parts) -> None:
    """Leave out what a search would: the example, and galaxies that cannot be compared."""
    other = f"skylike.embedding_of({likeness.example})"
    galaxy = f"CAST({likeness.galaxy.sql} AS integer)"
    parts.conditions += [
        f"{likeness.galaxy.sql} <> {likeness.example}",
        f"skylike.similarity(skylike.embedding_of({galaxy}), (SELECT {other})) IS NOT NULL",
    ]
    parts.order.append(likeness.galaxy.sql)


def _distinct(node: exp.Expr, statement: Statement) -> str:
    clause = node.args.get("distinct")
    if clause is None:
        return ""
    statement.only(clause)
    return "DISTINCT "


def select_list(node: exp.Expr, scope: Scope, statement: Statement) -> list[Named]:
    """Return the columns that a SELECT gives, with the names that they get.

    Raises
    ------
    AdqlError
        One is not understood.
    """
    columns: list[Named] = []
    if not node.expressions:
        raise statement.error("after SELECT something is missing", node)
    for item in node.expressions:
        if isinstance(item, exp.Star):
            statement.only(item)
            columns.extend(scope.visible())
        elif isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
            columns.extend(_all_of(item, scope, statement))
        elif isinstance(item, exp.Alias):
            statement.only(item, "this", "alias")
            value = evaluate(item.this, scope, statement)
            columns.append(Named(statement.name(item.args["alias"]).text, value))
        else:
            columns.append(Named(_own_name(item, statement), evaluate(item, scope, statement)))
    return columns


def _all_of(item: exp.Expr, scope: Scope, statement: Statement) -> Sequence[Named]:
    statement.only(item.this)
    owners = [item.args[part] for part in ("db", "table") if item.args.get(part)]
    names = [statement.name(owner) for owner in owners]
    for relation in scope.relations:
        is_schema = len(names) == 1 or (
            relation.schema is not None and names[0].matches(relation.schema)
        )
        if is_schema and names[-1].matches(relation.name):
            return relation.columns
    raise statement.error(f"there is no table {names[-1].text} here", item)


def _own_name(item: exp.Expr, statement: Statement) -> str:
    if isinstance(item, exp.Column):
        return statement.name(item.this).text
    if isinstance(item, exp.Anonymous):
        return item.name.partition(FUNCTION_MARK)[0]
    return ""


def written_columns(columns: Sequence[Named]) -> str:
    """Write the columns of a SELECT, which are c1, c2, ... from here on."""
    return ", ".join(f"{column.value.sql} AS c{n}" for n, column in enumerate(columns, 1))


def _groups(node: exp.Expr, scope: Scope, statement: Statement) -> list[str]:
    written = []
    clause = node.args.get("group")
    if clause is not None:
        statement.only(clause, "expressions")
        if not clause.expressions:
            raise statement.error("after GROUP BY something is missing", clause)
        keys = [_group_key(key, scope, statement) for key in clause.expressions]
        written.append("GROUP BY " + ", ".join(keys))
    clause = node.args.get("having")
    if clause is not None:
        written.append("HAVING " + condition(clause.this, scope, statement))
    return written


def _group_key(node: exp.Expr, scope: Scope, statement: Statement) -> str:
    if isinstance(node, exp.Literal):
        raise statement.error("GROUP BY takes columns and expressions, not places", node)
    return key_sql(evaluate(node, scope, statement))


def _set_operation(
    node: exp.Expr, scope: Scope, statement: Statement, *, limit: int | None
) -> Result:
    statement.only(node, *_SET)
    left = build_query(node.this, scope, statement)
    right = build_query(node.expression, scope, statement)
    if len(left.columns) != len(right.columns):
        raise statement.error(
            f"one side has {len(left.columns)} columns, the other {len(right.columns)}", node
        )
    pairs = zip(left.columns, right.columns, strict=True)
    columns = tuple(_either(one, other, node, statement) for one, other in pairs)
    word = _WORDS[type(node)] + ("" if node.args.get("distinct") else " ALL")
    written = [f"({left.sql}) {word} ({right.sql})"]
    keys = [sql for _, sql in order_keys(node, scope, statement, columns)]
    if keys:
        written.append("ORDER BY " + ", ".join(keys))
    written.extend(page_clauses(node, statement, limit=limit))
    return Result(" ".join(written), columns)


def _either(one: Named, other: Named, node: exp.Expr, statement: Statement) -> Named:
    first, second = one.value, other.value
    if first.is_number and second.is_number:
        datatype = wider(first.datatype, second.datatype)
    elif first.datatype == second.datatype:
        datatype = first.datatype
    else:
        raise statement.error(f"the sides differ in the kind of column {one.name or '?'}", node)
    same = first.origin is not None and first.origin == second.origin
    value = first if same else plain(first)
    return Named(one.name, replace(value, datatype=datatype))

"""What stands after FROM: tables, subqueries and joins."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from skylike.interfaces.vo.adql.comparisons import same_kind
from skylike.interfaces.vo.adql.expressions import condition
from skylike.interfaces.vo.adql.schema import AdqlTable
from skylike.interfaces.vo.adql.scope import (
    Name,
    Named,
    Relation,
    Scope,
    again,
    quote,
    relation_of,
    result_relation,
)
from skylike.interfaces.vo.adql.statement import Statement
from skylike.interfaces.vo.adql.values import derived

MAX_TABLES: Final = 20
"""Of one SELECT: planning time grows steeply with them."""

_KINDS: Final = {"": "JOIN", "LEFT": "LEFT JOIN", "RIGHT": "RIGHT JOIN", "FULL": "FULL JOIN"}


@dataclass(frozen=True)
class Joined:
    """Tables joined so far: their SQL, and what names mean in them."""

    sql: str
    scope: Scope


def read_from(select: exp.Expr, outer: Scope, statement: Statement) -> Joined:
    """Turn what stands after FROM into SQL.

    Parameters
    ----------
    outer
        A scope without relations: its parent is the SELECT around this one.

    Raises
    ------
    AdqlError
        A table is not there, or a join is not understood.
    """
    start = select.args.get("from_")
    if start is None:
        raise statement.error("FROM is missing", select)
    statement.only(start, "this")
    joined = _item(start.this, outer, statement)
    return _joins(joined, select.args.get("joins") or (), outer, statement)


def _joins(joined: Joined, joins: Sequence[exp.Expr], outer: Scope, statement: Statement) -> Joined:
    for join in joins:
        joined = _join(joined, join, outer, statement)
    return joined


def _item(node: exp.Expr, outer: Scope, statement: Statement) -> Joined:
    if isinstance(node, exp.Table):
        statement.only(node, "this", "db", "catalog", "alias", "joins")
        joined = _table(node, outer, statement)
        return _joins(joined, node.args.get("joins") or (), outer, statement)
    if not isinstance(node, exp.Subquery):
        raise statement.error("after FROM come tables and subqueries", node)
    statement.only(node, "this", "alias", "joins")
    if isinstance(node.this, exp.Table | exp.Subquery) and not node.args.get("alias"):
        inner = _item(node.this, outer, statement)
        joined = Joined(_alone(inner), inner.scope)
    else:
        joined = _subquery(node, outer, statement)
    return _joins(joined, node.args.get("joins") or (), outer, statement)


def _alias(node: exp.Expr, statement: Statement) -> Name | None:
    alias = node.args.get("alias")
    if alias is None:
        return None
    statement.only(alias, "this")
    return statement.name(alias.this)


def _table(node: exp.Expr, outer: Scope, statement: Statement) -> Joined:
    if not isinstance(node.this, exp.Identifier):
        raise statement.error("no function stands after FROM", node)
    parts = [node.args[part] for part in ("catalog", "db", "this") if node.args.get(part)]
    found = statement.find_table([statement.name(part) for part in parts], outer, node)
    called, alias = _alias(node, statement), statement.alias()
    if isinstance(found, Relation):
        relation, sql = again(found, alias, called), f"{found.alias} AS {alias}"
    else:
        relation, sql = relation_of(found, alias, called), f"{_written(found)} AS {alias}"
    return Joined(sql, replace(outer, relations=(relation,)))


def _written(table: AdqlTable) -> str:
    name = ".".join(quote(part) for part in table.relation)
    if table.encoder_id is None:
        return name
    return " ".join(("(SELECT * FROM", name, f"WHERE encoder_id = {int(table.encoder_id)})"))


def _subquery(node: exp.Expr, outer: Scope, statement: Statement) -> Joined:
    called = _alias(node, statement)
    if called is None:
        raise statement.error("a subquery after FROM needs a name: (SELECT ...) AS name", node)
    # It sees what is around this SELECT and what WITH defined, not the tables beside it.
    result = statement.subquery(node.this, replace(outer, relations=()), statement)
    alias = statement.alias()
    relation = result_relation(called.text, alias, result.columns)
    return Joined(f"({result.sql}) AS {alias}", replace(outer, relations=(relation,)))


def _join(left: Joined, join: exp.Expr, outer: Scope, statement: Statement) -> Joined:
    statement.only(join, "this", "side", "kind", "method", "using", "on")
    side, kind, method = (join.args.get(part) or "" for part in ("side", "kind", "method"))
    right = _item(join.this, outer, statement)
    both = replace(
        outer,
        relations=(*left.scope.relations, *right.scope.relations),
        merged=(*left.scope.merged, *right.scope.merged),
    )
    if len(both.relations) > MAX_TABLES:
        raise statement.error(f"more than {MAX_TABLES} tables are joined", join)
    _check_names(both, join, statement)
    using, on = join.args.get("using"), join.args.get("on")
    if side not in _KINDS or kind not in {"", "INNER", "OUTER", "CROSS"}:
        raise statement.error("this join is not understood", join)
    if method not in {"", "NATURAL"} or (kind == "OUTER" and not side):
        raise statement.error("this join is not understood", join)
    if not (using or on or method or side):
        if kind == "INNER":
            raise statement.error("a join needs ON or USING", join)
        return Joined(f"{left.sql} CROSS JOIN {_alone(right)}", both)
    if using or method:
        names = _shared(left, right) if method else _named(using or (), statement)
        test, scope = _merged(left, right, names, both=both, side=side, at=(join, statement))
    elif on is not None:
        test, scope = condition(on, both, statement), both
    else:
        raise statement.error("a join needs ON or USING", join)
    return Joined(f"{left.sql} {_KINDS[side]} {_alone(right)} ON {test}", scope)


def _alone(joined: Joined) -> str:
    return f"({joined.sql})" if len(joined.scope.relations) > 1 else joined.sql


def _check_names(scope: Scope, join: exp.Expr, statement: Statement) -> None:
    seen = set()
    for relation in scope.relations:
        key = (relation.schema, relation.name.casefold())
        if key in seen:
            raise statement.error(
                f"two tables are called {relation.name}; give one another name with AS", join
            )
        seen.add(key)


def _named(using: Sequence[exp.Expr], statement: Statement) -> list[Name]:
    return [statement.name(one) for one in using]


def _shared(left: Joined, right: Joined) -> list[Name]:
    there = {column.name for column in right.scope.visible()}
    shared = [column.name for column in left.scope.visible() if column.name in there]
    return [Name(name, is_quoted=True) for name in shared]


def _merged(
    left: Joined,
    right: Joined,
    names: Sequence[Name],
    *,
    both: Scope,
    side: str,
    at: tuple[exp.Expr, Statement],
) -> tuple[str, Scope]:
    """Compare the columns of USING, and make one of each two."""
    join, statement = at
    tests, merged = ["TRUE"], []
    for name in names:
        first = statement.find_column(name, (), replace(left.scope, parent=None), join)
        second = statement.find_column(name, (), replace(right.scope, parent=None), join)
        one, other = same_kind(first, second, join, statement)
        tests.append(f"{one} = {other}")
        kept = {"RIGHT": second}.get(side, first)
        if side == "FULL":
            kept = derived(f"COALESCE({one}, {other})", first.datatype, first)
        spelled = left.scope.find(name, ())[0].name
        merged.append(Named(spelled, kept))
    known = {column.name for column in merged}
    others = tuple(column for column in both.merged if column.name not in known)
    return " AND ".join(tests), replace(both, merged=(*merged, *others))

"""ORDER BY, TOP and OFFSET."""

from collections.abc import Sequence

from sqlglot import exp

from skylike.interfaces.vo.adql.expressions import evaluate
from skylike.interfaces.vo.adql.scope import Name, Named, Scope
from skylike.interfaces.vo.adql.statement import Statement
from skylike.interfaces.vo.adql.values import Likeness, Value


def order_keys(
    node: exp.Expr, scope: Scope, statement: Statement, columns: Sequence[Named]
) -> list[tuple[Likeness | None, str]]:
    """Write the keys of ORDER BY, each with the likeness that it is, if any.

    Parameters
    ----------
    scope
        Of a SELECT; without relations of a set operation, which has only its columns.
    columns
        What the SELECT gives.

    Raises
    ------
    AdqlError
        A key is not there.
    """
    clause = node.args.get("order")
    if clause is None:
        return []
    statement.only(clause, "expressions")
    keys = []
    for key in clause.expressions:
        statement.only(key, "this", "desc", "nulls_first")
        value, sql = _order_key(key.this, scope, statement, columns)
        likeness = None if value is None else value.likeness
        keys.append((likeness, sql + (" DESC" if key.args.get("desc") else " ASC")))
    return keys


def _order_key(
    node: exp.Expr, scope: Scope, statement: Statement, columns: Sequence[Named]
) -> tuple[Value | None, str]:
    """Find what a key of ORDER BY means: a place, a column of the result, or an expression."""
    if isinstance(node, exp.Literal) and not node.is_string:
        place = int(node.name) if node.name.isdigit() else 0
        if not 1 <= place <= len(columns):
            raise statement.error(f"ORDER BY has no column {node.name}", node)
        return columns[place - 1].value, str(place)
    if isinstance(node, exp.Column) and not node.args.get("table"):
        name = statement.name(node.this)
        places = [n for n, column in enumerate(columns, 1) if _is_named(column, name)]
        if places:
            return columns[places[0] - 1].value, str(places[0])
    if not scope.relations:
        raise statement.error("of a UNION, ORDER BY takes columns of the result", node)
    value = evaluate(node, scope, statement)
    return value, key_sql(value)


def key_sql(value: Value) -> str:
    """Write a key of ORDER BY or GROUP BY; a bare whole number there would be a place."""
    return value.sql if value.number is None else f"({value.sql} + 0)"


def _is_named(column: Named, name: Name) -> bool:
    return name.matches(column.name)


def top_of(node: exp.Expr, part: str, statement: Statement) -> int | None:
    """Return the number after TOP (``limit``) or OFFSET, or None where there is none.

    Raises
    ------
    AdqlError
        It is no whole number.
    """
    clause = node.args.get(part)
    if clause is None:
        return None
    statement.only(clause, "expression")
    count = clause.args["expression"]
    if not isinstance(count, exp.Literal) or not count.name.isdigit() or len(count.name) > 18:
        word = "TOP" if part == "limit" else "OFFSET"
        raise statement.error(f"{word} takes a whole number", clause)
    return int(count.name)


def page_clauses(node: exp.Expr, statement: Statement, *, limit: int | None) -> list[str]:
    """Write LIMIT and OFFSET of what TOP and OFFSET say, and of the most rows allowed."""
    top, offset = top_of(node, "limit", statement), top_of(node, "offset", statement)
    wanted = [count for count in (top, limit) if count is not None]
    written = [f"LIMIT {min(wanted)}"] if wanted else []
    return [*written, f"OFFSET {offset}"] if offset else written

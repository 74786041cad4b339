"""Queries that ask for the most similar galaxies: answered by the composite search.

``SELECT TOP k ... FROM skylike.galaxy WHERE cut ORDER BY skylike_similarity(galaxy_id, 42) DESC``
compares every row with galaxy 42 if it is run as it stands. Where the cut can be said as one of
``docs/cuts.md``, the search finds the same galaxies in the same order, and the statement only
fetches what is said of them.
"""

from typing import Final

from sqlglot import exp

from skylike.cuts import GALAXY_KINDS, parse_cut
from skylike.errors import CutError
from skylike.interfaces.vo.adql.cut_text import Said, cut_text
from skylike.interfaces.vo.adql.expressions import evaluate
from skylike.interfaces.vo.adql.functions import SUMMARIES
from skylike.interfaces.vo.adql.ordering import top_of
from skylike.interfaces.vo.adql.query import select_list, written_columns
from skylike.interfaces.vo.adql.schema import GALAXIES, AdqlTable, SimilarityRewrite
from skylike.interfaces.vo.adql.scope import Relation, Scope, relation_of
from skylike.interfaces.vo.adql.statement import Result, Statement
from skylike.interfaces.vo.adql.tables import read_from
from skylike.interfaces.vo.adql.tokens import FUNCTION_MARK
from skylike.interfaces.vo.adql.values import Likeness, Value
from skylike.search.query import MAX_K

_ELSEWHERE: Final = ("with_", "distinct", "joins", "group", "having")


def find_ranking(
    tree: exp.Expr, statement: Statement, *, max_rows: int
) -> SimilarityRewrite | None:
    """Return the search that a query asks for, or None where it asks for something else.

    Parameters
    ----------
    tree
        A query that has been understood.
    max_rows
        Most rows to hand out.
    """
    if not isinstance(tree, exp.Select) or any(tree.args.get(part) for part in _ELSEWHERE):
        return None
    table, scope = _only_table(tree, statement)
    is_plain = not any(_is_summary(node) for node in tree.find_all(exp.Anonymous))
    if table is None or table.full_name not in GALAXIES or not is_plain:
        return None
    likeness, is_rising = _order(tree, scope, statement)
    top, offset = top_of(tree, "limit", statement), top_of(tree, "offset", statement) or 0
    k = max_rows + 1 if top is None else min(max_rows + 1, top)
    said = _cut(tree, scope, statement)
    is_search = likeness is not None and _is_column(likeness.galaxy, "galaxy_id")
    if likeness is None or said is None or not is_search or k < 1 or k + offset > MAX_K:
        return None
    return SimilarityRewrite(likeness.example, is_rising, said.where, said.cone, k, offset)


def build_ranking(tree: exp.Expr, statement: Statement) -> Result:
    """Write the statement that fetches what a query selects of galaxies that were found."""
    statement.found = "found"
    joined = read_from(tree, Scope(), statement)
    relation = joined.scope.relations[0]
    columns = tuple(select_list(tree, joined.scope, statement))
    galaxy_id = next(one.value.sql for one in relation.columns if one.name == "galaxy_id")
    parts = (
        "SELECT " + written_columns(columns),
        "FROM unnest(CAST(%(found_ids)s AS integer[]),"
        " CAST(%(found_similarities)s AS double precision[]))"
        " WITH ORDINALITY AS found (galaxy_id, similarity, place)",
        f"JOIN {joined.sql} ON {galaxy_id} = found.galaxy_id ORDER BY found.place",
    )
    return Result(" ".join(parts), columns)


def _is_summary(node: exp.Expr) -> bool:
    return node.name.partition(FUNCTION_MARK)[0] in SUMMARIES


def _only_table(tree: exp.Expr, statement: Statement) -> tuple[AdqlTable | None, Scope]:
    node = tree.args["from_"].this
    if not isinstance(node, exp.Table) or node.args.get("joins"):
        return None, Scope()
    parts = [node.args[part] for part in ("catalog", "db", "this") if node.args.get(part)]
    found = statement.find_table([statement.name(part) for part in parts], Scope(), node)
    if isinstance(found, Relation):
        return None, Scope()
    alias = node.args.get("alias")
    called = None if alias is None else statement.name(alias.this)
    return found, Scope((relation_of(found, "galaxy", called),))


def _order(tree: exp.Expr, scope: Scope, statement: Statement) -> tuple[Likeness | None, bool]:
    """Find the likeness that rows are ordered by, and whether by its rising value."""
    clause = tree.args.get("order")
    if clause is None or not 1 <= len(clause.expressions) <= 2:
        return None, False
    first, *others = clause.expressions
    for other in others:
        value = _key(other.this, tree, scope, statement)
        if other.args.get("desc") or value is None or not _is_column(value, "galaxy_id"):
            return None, False
    value = _key(first.this, tree, scope, statement)
    return (None if value is None else value.likeness), not first.args.get("desc")


def _key(node: exp.Expr, tree: exp.Expr, scope: Scope, statement: Statement) -> Value | None:
    columns = select_list(tree, scope, statement)
    if isinstance(node, exp.Literal):
        return columns[int(node.name) - 1].value
    if isinstance(node, exp.Column) and not node.args.get("table"):
        name = statement.name(node.this)
        for column in columns:
            if name.matches(column.name):
                return column.value
    return evaluate(node, scope, statement)


def _is_column(value: Value, column: str) -> bool:
    return value.origin is not None and value.origin.column == column


def _cut(tree: exp.Expr, scope: Scope, statement: Statement) -> Said | None:
    clause = tree.args.get("where")
    if clause is None:
        return Said(None, None)
    said = cut_text(clause.this, scope, statement)
    if said is None or said.where is None:
        return said
    try:
        parse_cut(said.where, GALAXY_KINDS)
    except CutError:
        # Longer or deeper than a cut may be: the statement answers, more slowly.
        return None
    return said

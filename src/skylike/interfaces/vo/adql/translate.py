"""ADQL to PostgreSQL: one SELECT, made anew of what was understood."""

from collections.abc import Iterable, Mapping

from skylike.errors import AdqlError
from skylike.interfaces.vo.adql.parse import parse
from skylike.interfaces.vo.adql.query import build_query, subquery
from skylike.interfaces.vo.adql.ranking import build_ranking, find_ranking
from skylike.interfaces.vo.adql.schema import (
    AdqlSchema,
    OutputColumn,
    Translated,
    UploadedTable,
)
from skylike.interfaces.vo.adql.scope import Named, Scope
from skylike.interfaces.vo.adql.statement import Statement
from skylike.interfaces.vo.adql.tokens import Source


def translate(
    adql: str,
    *,
    schema: AdqlSchema,
    max_rows: int,
    uploads: Mapping[str, UploadedTable] | None = None,
) -> Translated:
    """Translate a query.

    Parameters
    ----------
    adql
        One SELECT of ADQL 2.1; ``docs/adql.md`` says what is offered.
    schema
        The tables that it may name.
    max_rows
        Most rows to hand out; the statement gives one more, where there are more.
    uploads
        Tables ``TAP_UPLOAD.name`` that came with it.

    Raises
    ------
    AdqlError
        It is not understood or not allowed; where there is one, with the place.
    """
    source = Source(adql)
    tree, quoted = parse(source)
    offered = schema.with_uploads(uploads or {})
    statement = Statement(source, offered, quoted, subquery)
    try:
        result = build_query(tree, Scope(), statement, limit=max_rows + 1)
    except RecursionError as error:
        raise AdqlError("the query is nested too deeply", adql) from error
    search = find_ranking(tree, statement, max_rows=max_rows)
    if search is not None:
        statement = Statement(source, offered, quoted, subquery)
        result = build_ranking(tree, statement)
    return Translated(result.sql, statement.parameters, _output(result.columns), search, max_rows)


def _output(columns: Iterable[Named]) -> tuple[OutputColumn, ...]:
    taken: set[str] = set()
    found = []
    for place, column in enumerate(columns, 1):
        value = column.value
        name = unique = column.name or f"col_{place}"
        count = 1
        while unique.casefold() in taken:
            count += 1
            unique = f"{name}_{count}"
        taken.add(unique.casefold())
        origin = value.origin
        found.append(
            OutputColumn(
                unique,
                None if origin is None else origin.table,
                None if origin is None else origin.column,
                value.unit,
                value.ucd,
                value.description,
                value.datatype,
            )
        )
    return tuple(found)

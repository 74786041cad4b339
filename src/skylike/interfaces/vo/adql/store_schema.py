"""Reads from the database which tables queries may name."""

from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from skylike.database.comments import parse_comment
from skylike.database.engine import SCHEMA
from skylike.interfaces.vo.adql.schema import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    GALAXIES,
    INT,
    LONG,
    SHORT,
    TEXT,
    TIMESTAMP,
    AdqlColumn,
    AdqlSchema,
    AdqlTable,
    Datatype,
)

_TYPES: Final = {
    "bool": BOOLEAN,
    "int2": SHORT,
    "int4": INT,
    "int8": LONG,
    "float4": FLOAT,
    "float8": DOUBLE,
    "text": TEXT,
    "varchar": TEXT,
    "name": TEXT,
    "timestamptz": TIMESTAMP,
}
"""Columns of other types are not offered, but for vectors."""

_VECTORS: Final = frozenset({"halfvec", "vector", "_float4"})
_POSITION: Final = frozenset({"ra", "dec", "healpix29"})

_COLUMNS: Final = """
SELECT n.nspname AS schema, c.relname AS relation, a.attname AS name, t.typname AS type,
    col_description(c.oid, a.attnum) AS comment, obj_description(c.oid, 'pg_class') AS description
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p', 'v', 'm')
    AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    AND (
        n.nspname = 'tap_schema'
        OR n.nspname = :schema
        AND (c.relname IN ('galaxy', 'embedding') OR starts_with(c.relname, 'topcat_'))
    )
ORDER BY n.nspname, c.relname <> 'galaxy', c.relname, a.attnum
"""


def read_schema(connection: Connection) -> AdqlSchema:
    """Read the tables that queries may name, with what their comments say.

    They are ``skylike.galaxy``, the views ``skylike.topcat_...``, ``skylike.embedding`` of the
    active encoder, and all in the schema ``tap_schema``, as far as the connection's role may read
    them.
    """
    encoder = connection.execute(
        sa.text("SELECT encoder_id, dimension FROM skylike.encoder WHERE is_active")
    ).one_or_none()
    rows = connection.execute(sa.text(_COLUMNS), {"schema": SCHEMA}).all()
    tables = []
    for (schema, relation), some in groupby(rows, key=lambda row: (row.schema, row.relation)):
        table = _table(schema, relation, list(some), encoder)
        if table is not None:
            tables.append(table)
    return AdqlSchema(tuple(tables))


def _table(
    schema: str, relation: str, rows: list[Row[Any]], encoder: Row[Any] | None
) -> AdqlTable | None:
    is_of_encoder = (schema, relation) == (SCHEMA, "embedding")
    if is_of_encoder and encoder is None:
        return None
    name = "TAP_SCHEMA" if schema == "tap_schema" else schema
    is_catalog = f"{name}.{relation}" in GALAXIES
    columns = []
    for row in rows:
        datatype = _datatype(row.type, encoder)
        if datatype is None or (is_of_encoder and row.name == "encoder_id"):
            continue
        meaning = parse_comment(row.comment)
        is_indexed = is_catalog and row.name in _POSITION
        columns.append(
            AdqlColumn(
                row.name,
                datatype,
                meaning.unit,
                meaning.ucd,
                meaning.description,
                is_indexed=is_indexed,
            )
        )
    encoder_id = encoder.encoder_id if is_of_encoder and encoder is not None else None
    return AdqlTable(
        name,
        relation,
        (schema, relation),
        tuple(columns),
        rows[0].description or "",
        encoder_id=encoder_id,
    )


def _datatype(type_name: str, encoder: Row[Any] | None) -> Datatype | None:
    if type_name in _VECTORS:
        return None if encoder is None else Datatype("float", str(encoder.dimension))
    return _TYPES.get(type_name)

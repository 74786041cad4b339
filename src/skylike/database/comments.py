"""What columns mean: description, unit and UCD, kept in the database's own comments.

A column's comment reads ``Right ascension, ICRS [unit=deg; ucd=pos.eq.ra;meta.main]``. VOTable
fields, TAP_SCHEMA, tooltips and ``docs/data-model.md`` are made from it.
"""

import re
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.database.engine import SCHEMA

_COMMENT = re.compile(
    r"(?P<description>.*?)\s*\[unit=(?P<unit>[^;\]]+);\s*ucd=(?P<ucd>[^\]]+)\]\s*", re.S
)


@dataclass(frozen=True)
class ColumnMeaning:
    """What a column holds.

    Attributes
    ----------
    description
        One phrase for people.
    unit
        As :mod:`astropy.units` reads it (``nmgy`` is no VOUnit), or None for a pure number or text.
    ucd
        IVOA unified content descriptor (UCD 1.1 vocabulary), empty where the comment has none.
    """

    description: str
    unit: str | None
    ucd: str


def parse_comment(text: str | None) -> ColumnMeaning:
    """Split the comment of a column; without the bracket (a foreign column) all is description."""
    match = _COMMENT.fullmatch(text or "")
    if match is None:
        return ColumnMeaning((text or "").strip(), None, "")
    unit = match["unit"].strip()
    return ColumnMeaning(
        match["description"].strip(), None if unit == "none" else unit, match["ucd"].strip()
    )


def read_meanings(connection: Connection, table: str) -> dict[str, ColumnMeaning]:
    """Read what the columns of a table or view mean.

    Parameters
    ----------
    table
        Name, in schema ``skylike`` unless it has another before a dot; not quoted.

    Returns
    -------
    dict
        Column name to meaning, in the order of the columns; empty where there is no such table.
    """
    schema, _, name = table.rpartition(".")
    rows = connection.execute(
        sa.text(
            "SELECT a.attname AS name, col_description(a.attrelid, a.attnum) AS comment"
            " FROM pg_catalog.pg_attribute AS a"
            " JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid"
            " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE n.nspname = :schema AND c.relname = :name"
            " AND a.attnum > 0 AND NOT a.attisdropped"
            " ORDER BY a.attnum"
        ),
        {"schema": schema or SCHEMA, "name": name},
    )
    return {row.name: parse_comment(row.comment) for row in rows}

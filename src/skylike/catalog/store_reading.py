"""The reading half of the store: surveys, loads, and galaxies in batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.bands import BANDS
from skylike.catalog.columns import is_reported
from skylike.cuts import Cut, to_expression
from skylike.database.sql_files import statement
from skylike.database.tables import galaxy, survey

EXPORT_ROWS: Final = 50_000
"""Galaxies fetched at a time: about 20 MB."""

_NOT_EXPORTED: Final = frozenset({"survey_id", "load_id"})
"""Numbers that mean nothing outside this database."""


@dataclass(frozen=True)
class SurveyOverview:
    """What one survey has in the catalog."""

    name: str
    description: str
    bands: tuple[str, ...]
    n_galaxies: int
    magnitudes: Mapping[str, tuple[float, float, int]]
    """By band: brightest, faintest, and how many galaxies have it."""


@dataclass(frozen=True)
class LoadOverview:
    """What one file brought, as recorded."""

    load_id: int
    survey: str
    file: str
    magnitudes: str
    selection: str | None
    rows_read: int
    rows_inserted: int
    rows_updated: int
    rows_unchanged: int
    rows_rejected: Mapping[str, int]
    loaded_at: datetime

    @property
    def not_selected(self) -> int:
        """Rows that the selection did not take."""
        stored = self.rows_inserted + self.rows_updated + self.rows_unchanged
        return self.rows_read - stored - sum(self.rows_rejected.values())


def fetch_surveys(connection: Connection) -> list[SurveyOverview]:
    """Return what each survey has, by name; reads the whole catalog once."""
    ranges = [
        expression.label(f"{name}_{band}")
        for band in BANDS
        for name, expression in (
            ("min", sa.func.min(galaxy.c[f"mag_{band}"])),
            ("max", sa.func.max(galaxy.c[f"mag_{band}"])),
            ("count", sa.func.count(galaxy.c[f"mag_{band}"])),
        )
    ]
    rows = connection.execute(
        sa.select(
            survey.c.name,
            survey.c.description,
            survey.c.bands,
            sa.func.count(galaxy.c.galaxy_id).label("n_galaxies"),
            *ranges,
        )
        .join_from(survey, galaxy, galaxy.c.survey_id == survey.c.survey_id, isouter=True)
        .group_by(survey.c.survey_id)
        .order_by(survey.c.name)
    ).mappings()
    return [
        SurveyOverview(
            row["name"],
            row["description"],
            tuple(row["bands"]),
            row["n_galaxies"],
            {
                band: (row[f"min_{band}"], row[f"max_{band}"], row[f"count_{band}"])
                for band in BANDS
                if row[f"count_{band}"]
            },
        )
        for row in rows
    ]


def fetch_loads(connection: Connection, *, limit: int) -> list[LoadOverview]:
    """Return the last loads, newest first."""
    rows = connection.execute(statement("catalog_loads"), {"limit": limit}).mappings()
    return [LoadOverview(**row) for row in rows]


def fetch_bands(connection: Connection) -> frozenset[str]:
    """Fetch the bands in which any survey that is loaded has a flux or a magnitude."""
    return frozenset(connection.scalars(sa.select(sa.func.unnest(survey.c.bands)).distinct()))


def exported_columns(connection: Connection) -> list[str]:
    """Return the columns of ``galaxy`` that are exported: ``survey`` and those of its bands."""
    bands = fetch_bands(connection)
    names = [c.name for c in galaxy.c if c.name not in {*_NOT_EXPORTED, "galaxy_id"}]
    return ["galaxy_id", "survey", *(name for name in names if is_reported(name, bands))]


def iter_galaxies(
    connection: Connection, columns: Sequence[str], *, cut: Cut | None = None
) -> Iterator[pa.Table]:
    """Stream galaxies in order of galaxy_id, in one snapshot.

    Parameters
    ----------
    columns
        Columns of ``galaxy``, or ``survey`` for the survey's name.
    cut
        Galaxies to take, over :data:`skylike.cuts.GALAXY_KINDS`; None takes all.

    Yields
    ------
    pyarrow.Table
        Up to :data:`EXPORT_ROWS` galaxies; at least one table, empty where nothing matches.
    """
    known: dict[str, sa.ColumnElement[object]] = {c.name: c for c in galaxy.c}
    known["survey"] = survey.c.name.label("survey")
    schema = pa.schema([(name, arrow_type(known[name].type)) for name in columns])
    query = (
        sa.select(*(known[name] for name in columns))
        .join_from(galaxy, survey, galaxy.c.survey_id == survey.c.survey_id)
        .order_by(galaxy.c.galaxy_id)
    )
    if cut is not None:
        query = query.where(to_expression(cut, {**known, "survey": survey.c.name}))
    streamed = connection.execution_options(yield_per=EXPORT_ROWS).execute(query)
    empty = True
    for rows in streamed.partitions():
        empty = False
        values = zip(*rows, strict=True)
        yield pa.table(
            [pa.array(column, type=f.type) for column, f in zip(values, schema, strict=True)],
            schema=schema,
        )
    if empty:
        yield schema.empty_table()


def arrow_type(sql_type: sa.types.TypeEngine[object]) -> pa.DataType:
    """Return the Arrow type of a column of ``galaxy``."""
    if isinstance(sql_type, sa.BigInteger):
        return pa.int64()
    if isinstance(sql_type, sa.Integer):
        return pa.int32()
    if isinstance(sql_type, sa.Double):
        return pa.float64()
    if isinstance(sql_type, sa.Float):
        return pa.float32()
    if isinstance(sql_type, sa.DateTime):
        return pa.timestamp("us", tz="UTC")
    return pa.string()

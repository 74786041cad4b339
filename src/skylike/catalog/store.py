"""The catalog in the database: surveys, loads, and galaxies by staging and upsert."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from skylike.bands import BANDS
from skylike.catalog.columns import KEY, POSITION
from skylike.catalog.object_ids import healpix29
from skylike.database.copy import copy_into
from skylike.database.sql_files import statement
from skylike.database.tables import catalog_load, galaxy, survey
from skylike.errors import CoordinateError

_STAGING = "staged_galaxy"
_ROW = "file_row"
_WRITTEN_AT = sa.func.statement_timestamp()
"""Taken when the table is locked: now() is when the transaction began to read its file, and whoever
looked at the catalog in between would take the change for older than what was seen."""

_QUERY_ROWS = 20_000
"""Identifiers or positions sent with one query: bounds the size of its array parameters."""


@dataclass(frozen=True)
class UpsertCounts:
    """What became of the rows of a batch; the four sum to its length."""

    inserted: int
    """Galaxies that were new."""
    updated: int
    """Galaxies that were there with other values."""
    unchanged: int
    """Galaxies that were there with the same values; not written."""
    duplicates: int
    """Rows whose key stands in an earlier row of the batch; the first row counts."""


@dataclass(frozen=True)
class LoadRecord:
    """What is remembered of one catalog file in ``catalog_load``."""

    file: str
    file_bytes: int
    format: str
    column_map: Mapping[str, str]
    magnitudes: str
    selection: str | None = None
    rows_read: int = 0
    counts: UpsertCounts = UpsertCounts(0, 0, 0, 0)
    rows_rejected: Mapping[str, int] | None = None


def ensure_survey(connection: Connection, name: str, *, description: str = "") -> int:
    """Return the identifier of a survey, making its row where there is none."""
    found = connection.scalar(sa.select(survey.c.survey_id).where(survey.c.name == name))
    if found is not None:
        return int(found)
    connection.execute(
        postgresql.insert(survey)
        .values(name=name, description=description, bands=[])
        .on_conflict_do_nothing()
    )
    return int(
        connection.execute(sa.select(survey.c.survey_id).where(survey.c.name == name)).scalar_one()
    )


def insert_load(connection: Connection, survey_id: int, record: LoadRecord) -> int:
    """Write the ``catalog_load`` row of a file about to be merged; return its identifier."""
    values = _load_values(record) | {"survey_id": survey_id, "loaded_at": sa.func.now()}
    return int(
        connection.execute(
            sa.insert(catalog_load).values(values).returning(catalog_load.c.load_id)
        ).scalar_one()
    )


def finish_load(connection: Connection, load_id: int, record: LoadRecord) -> None:
    """Complete the ``catalog_load`` row with what the merge counted."""
    connection.execute(
        sa.update(catalog_load)
        .where(catalog_load.c.load_id == load_id)
        .values(_load_values(record))
    )


def _load_values(record: LoadRecord) -> dict[str, object]:
    return {
        "file": record.file,
        "file_bytes": record.file_bytes,
        "format": record.format,
        "column_map": dict(record.column_map),
        "magnitudes": record.magnitudes,
        "selection": record.selection,
        "rows_read": record.rows_read,
        "rows_inserted": record.counts.inserted,
        "rows_updated": record.counts.updated,
        "rows_unchanged": record.counts.unchanged,
        "rows_rejected": dict(record.rows_rejected or {}),
    }


def open_staging(connection: Connection, columns: Sequence[str]) -> sa.Table:
    """Make the temporary table that the rows of one file gather in.

    Parameters
    ----------
    columns
        Columns of ``galaxy`` that the file has, beside key and position. Those it lacks are not
        touched by :func:`merge_staging`.
    """
    names = (KEY, *POSITION, *columns)
    staged = sa.Table(
        _STAGING,
        sa.MetaData(),
        sa.Column(_ROW, sa.BigInteger, nullable=False),
        *(sa.Column(name, galaxy.c[name].type) for name in names),
        prefixes=["TEMPORARY"],
    )
    staged.create(connection, checkfirst=False)
    return staged


def stage_rows(connection: Connection, batch: pa.Table, *, first_row: int) -> int:
    """Append a batch to the staging table by binary COPY; return its length.

    Parameters
    ----------
    batch
        The staging table's columns except the row number, of the types in
        :data:`skylike.catalog.columns.GALAXY_TYPES`.
    first_row
        Number of the batch's first row in its file: of rows with one key the lowest counts.
    """
    rows = pa.array(np.arange(first_row, first_row + batch.num_rows, dtype=np.int64))
    return copy_into(connection, f"pg_temp.{_STAGING}", batch.append_column(_ROW, rows))


def merge_staging(
    connection: Connection, staged: sa.Table, *, survey_id: int, load_id: int | None
) -> UpsertCounts:
    """Bring the staged rows into ``galaxy`` by their natural key, and drop the staging table.

    New galaxies get max(galaxy_id) + 1, + 2, ... in HEALPix order under a lock, so that no
    identifier is burnt; a galaxy with other values is updated in place; one with the same values
    is not written.
    """
    connection.execute(sa.text("LOCK TABLE skylike.galaxy IN SHARE ROW EXCLUSIVE MODE"))
    duplicates = _count(connection, _delete_duplicates(staged))
    connection.execute(sa.text(f"ANALYZE pg_temp.{_STAGING}"))
    _add_bands(connection, staged, survey_id)
    updated = _count(connection, _update_changed(staged, survey_id, load_id))
    inserted = _count(connection, _insert_missing(staged, survey_id, load_id))
    total = connection.execute(sa.select(sa.func.count()).select_from(staged)).scalar_one()
    staged.drop(connection, checkfirst=False)
    return UpsertCounts(inserted, updated, total - inserted - updated, duplicates)


def _count(connection: Connection, change: sa.UpdateBase) -> int:
    # INSERT ... SELECT forgets how many rows it wrote unless told.
    return connection.execute(change, execution_options={"preserve_rowcount": True}).rowcount


def _delete_duplicates(staged: sa.Table) -> sa.Delete:
    number = sa.func.row_number().over(partition_by=staged.c[KEY], order_by=staged.c[_ROW])
    numbered = sa.select(staged.c[_ROW], number.label("number")).subquery()
    later = sa.select(numbered.c[_ROW]).where(numbered.c.number > 1)
    return sa.delete(staged).where(staged.c[_ROW].in_(later))


def _update_changed(staged: sa.Table, survey_id: int, load_id: int | None) -> sa.Update:
    names = [column.name for column in staged.c if column.name not in {_ROW, KEY}]
    stored = sa.tuple_(*(galaxy.c[name] for name in names))
    given = sa.tuple_(*(staged.c[name] for name in names))
    return (
        sa.update(galaxy)
        .values({name: staged.c[name] for name in names})
        .values(load_id=load_id, updated_at=_WRITTEN_AT)
        .where(galaxy.c.survey_id == survey_id, galaxy.c[KEY] == staged.c[KEY])
        .where(stored.is_distinct_from(given))
    )


def _insert_missing(staged: sa.Table, survey_id: int, load_id: int | None) -> sa.Insert:
    names = [column.name for column in staged.c if column.name != _ROW]
    last = sa.select(sa.func.coalesce(sa.func.max(galaxy.c.galaxy_id), 0)).scalar_subquery()
    place = sa.func.row_number().over(order_by=(staged.c.healpix29, staged.c[KEY]))
    known = sa.exists().where(galaxy.c.survey_id == survey_id, galaxy.c[KEY] == staged.c[KEY])
    rows = (
        sa.select(
            (last + place).cast(sa.Integer),
            sa.literal(survey_id),
            sa.literal(load_id, sa.Integer),
            _WRITTEN_AT,
            *(staged.c[name] for name in names),
        )
        .where(~known)
        .order_by(staged.c.healpix29, staged.c[KEY])
    )
    return sa.insert(galaxy).from_select(
        ["galaxy_id", "survey_id", "load_id", "updated_at", *names], rows
    )


def _add_bands(connection: Connection, staged: sa.Table, survey_id: int) -> None:
    filled = {
        band: sa.func.coalesce(
            sa.func.bool_or(sa.or_(*(staged.c[name].is_not(None) for name in names))), sa.false()
        ).label(band)
        for band in BANDS
        if (names := [f"{p}_{band}" for p in ("flux", "mag") if f"{p}_{band}" in staged.c])
    }
    if not filled:
        return
    found = connection.execute(sa.select(*filled.values())).mappings().one()
    had = set(
        connection.execute(
            sa.select(survey.c.bands).where(survey.c.survey_id == survey_id)
        ).scalar_one()
    )
    has = [band for band in BANDS if band in had or found.get(band, False)]
    if set(has) != had:
        connection.execute(
            sa.update(survey).where(survey.c.survey_id == survey_id).values(bands=has)
        )


def upsert_galaxies(
    connection: Connection, survey_name: str, batch: pa.Table, *, load_id: int | None = None
) -> UpsertCounts:
    """Bring a batch of galaxies into the catalog by their natural key, in the current transaction.

    Parameters
    ----------
    survey_name
        Survey; made where there is none.
    batch
        ``object_id``, ``ra``, ``dec``, ``healpix29`` and any others of
        :data:`skylike.catalog.columns.GALAXY_TYPES`, typed so.
        A null erases what is stored; a column that is not there leaves it.
    load_id
        Row of ``catalog_load`` to remember with what is written.
    """
    survey_id = ensure_survey(connection, survey_name)
    others = [name for name in batch.column_names if name not in {KEY, *POSITION}]
    staged = open_staging(connection, others)
    stage_rows(connection, batch, first_row=0)
    return merge_staging(connection, staged, survey_id=survey_id, load_id=load_id)


def ensure_galaxies(
    connection: Connection,
    survey_name: str,
    ra: npt.NDArray[np.float64],
    dec: npt.NDArray[np.float64],
    *,
    object_id: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int32]:
    """Return the galaxies of a survey at these positions, making rows where there are none.

    Parameters
    ----------
    ra, dec
        ICRS degrees, (n,), 0 <= ra < 360.
    object_id
        Their identifiers in the survey, (n,), or None for the HEALPix-29 indexes of the positions.
        A galaxy that is there keeps its position and everything else.

    Returns
    -------
    numpy.ndarray
        galaxy_id of each position, (n,) int32.

    Raises
    ------
    CoordinateError
        A position is not finite or out of range.
    """
    valid = (ra >= 0) & (ra < 360) & (np.abs(dec) <= 90)
    if not valid.all():
        bad = int(np.argmin(valid))
        raise CoordinateError(
            f"position {bad} (ra {ra[bad]}, dec {dec[bad]}) is not on the sky; "
            "give degrees with 0 <= ra < 360 and -90 <= dec <= 90"
        )
    cells = healpix29(ra, dec)
    keys = cells if object_id is None else object_id
    known = fetch_galaxy_ids(connection, survey_name, keys)
    if (known < 0).any():
        new = known < 0
        columns = {KEY: keys[new], "ra": ra[new], "dec": dec[new], "healpix29": cells[new]}
        upsert_galaxies(connection, survey_name, pa.table(columns))
        known = fetch_galaxy_ids(connection, survey_name, keys)
    return known


def fetch_galaxy_ids(
    connection: Connection, survey_name: str, object_ids: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Return the galaxy_id of each object of a survey, (n,) int32, -1 where there is none."""
    found = np.full(len(object_ids), -1, dtype=np.int32)
    for start in range(0, len(object_ids), _QUERY_ROWS):
        keys = object_ids[start : start + _QUERY_ROWS].tolist()
        rows = connection.execute(
            sa.select(galaxy.c.object_id, galaxy.c.galaxy_id)
            .join(survey, survey.c.survey_id == galaxy.c.survey_id)
            .where(survey.c.name == survey_name)
            .where(galaxy.c.object_id == sa.any_(sa.cast(keys, postgresql.ARRAY(sa.BigInteger))))
        )
        ids = {row.object_id: row.galaxy_id for row in rows}
        found[start : start + _QUERY_ROWS] = [ids.get(key, -1) for key in keys]
    return found


def fetch_nearest(
    connection: Connection,
    ra: npt.NDArray[np.float64],
    dec: npt.NDArray[np.float64],
    *,
    radius: float,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Return the nearest galaxy within ``radius`` degrees of each position, and its separation.

    Returns
    -------
    tuple
        galaxy_id (n,) int32, -1 where there is none; separation (n,) float64 degrees, NaN there.
    """
    galaxy_id = np.full(len(ra), -1, dtype=np.int32)
    separation = np.full(len(ra), np.nan)
    for start in range(0, len(ra), _QUERY_ROWS):
        end = start + _QUERY_ROWS
        rows = connection.execute(
            statement("catalog_nearest"),
            {"ra": ra[start:end].tolist(), "dec": dec[start:end].tolist(), "radius": radius},
        ).all()
        if rows:
            place = start + np.array([row.place for row in rows]) - 1
            galaxy_id[place] = [row.galaxy_id for row in rows]
            separation[place] = [row.separation for row in rows]
    return galaxy_id, separation


def analyze_galaxies(connection: Connection) -> None:
    """Refresh the planner's statistics of ``galaxy`` after a load."""
    connection.execute(sa.text("ANALYZE skylike.galaxy"))

"""The tables ``image_file`` and ``cutout``: what is written to them and read from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection

from skylike.cuts import Cut, to_expression
from skylike.database.copy import array_column, copy_into, iter_fixed_rows
from skylike.database.sql_files import statement
from skylike.database.tables import cutout, galaxy, image_file
from skylike.database.tables import survey as survey_table
from skylike.images.hdf5 import RGB_CHANNELS
from skylike.images.index import NO_GALAXY, CutoutFile, CutoutIndex
from skylike.images.read import FLUX_BANDS
from skylike.images.rows import CutoutRows, FileDescription, GalaxyPositions

_BLOCK_ROWS = 65_536
"""Rows of the index taken at a time: 42 million kept one by one would take 10 GB."""

_INDEX_COLUMNS = (
    ("cutout_id", ">i4"),
    ("galaxy_id", ">i4"),
    ("file_id", ">i4"),
    ("file_row", ">i4"),
    ("ebv", ">f4"),
    ("psf_size_g", ">f4"),
    ("psf_size_r", ">f4"),
    ("psf_size_z", ">f4"),
)


def fetch_cutout_index(
    connection: Connection,
    *,
    kinds: Sequence[str] = ("flux", "rgb"),
    with_galaxy_only: bool = False,
) -> CutoutIndex:
    """Fetch where all cutouts are, ordered by (file_id, file_row).

    Parameters
    ----------
    kinds
        ``"flux"``, ``"rgb"`` or both.
    with_galaxy_only
        Leave out cutouts without a galaxy, which serve training and evaluation only.
    """
    native = [(name, dtype.replace(">", "=")) for name, dtype in _INDEX_COLUMNS]
    query = sql.SQL(str(statement("images_cutout_index").compile(connection)))
    blocks = iter_fixed_rows(
        connection,
        query,
        _INDEX_COLUMNS,
        batch_rows=_BLOCK_ROWS,
        parameters={"kinds": list(kinds), "with_galaxy_only": with_galaxy_only},
    )
    names = [name for name, _ in native]
    columns = np.concatenate(
        [np.empty(0, native), *(block[names].astype(native) for block in blocks)]
    )
    return CutoutIndex(
        cutout_id=columns["cutout_id"].copy(),
        galaxy_id=columns["galaxy_id"].copy(),
        file_id=columns["file_id"].copy(),
        file_row=columns["file_row"].copy(),
        ebv=columns["ebv"].copy(),
        psf_size=np.stack([columns[f"psf_size_{band}"] for band in "grz"], axis=1),
        files=fetch_files(connection),
    )


def fetch_files(connection: Connection) -> dict[int, CutoutFile]:
    """Fetch every file of cutouts by its identifier."""
    return {
        row.file_id: CutoutFile(
            file_id=row.file_id,
            path=Path(row.path),
            kind=row.kind,
            bands=tuple(row.bands),
            size_pix=row.size_pix,
            pixel_scale=row.pixel_scale,
        )
        for row in connection.execute(sa.select(image_file).order_by(image_file.c.file_id))
    }


@dataclass(frozen=True)
class StoredFile:
    """A file of cutouts as it was added before.

    Attributes
    ----------
    path
        The HDF5 file with the pixels.
    origin
        What it was made from; the path itself where it is used in place.
    n_stored
        Cutouts that the table has of it.
    n_unlinked
        Those of them without a galaxy.
    """

    file_id: int
    path: Path
    origin: str
    fingerprint: str
    n_stored: int
    n_unlinked: int


def find_file(connection: Connection, origin: str) -> StoredFile | None:
    """Find the file that was made from an origin, or that itself is the origin, or None."""
    row = connection.execute(
        sa.select(
            image_file.c.file_id,
            image_file.c.path,
            image_file.c.origin,
            image_file.c.fingerprint,
            sa.func.count(cutout.c.cutout_id).label("n_stored"),
            sa.func.count(cutout.c.cutout_id)
            .filter(cutout.c.galaxy_id.is_(None))
            .label("n_unlinked"),
        )
        .outerjoin(cutout, cutout.c.file_id == image_file.c.file_id)
        .where(sa.or_(image_file.c.origin == origin, image_file.c.path == origin))
        .group_by(image_file.c.file_id)
    ).one_or_none()
    if row is None:
        return None
    return StoredFile(
        file_id=row.file_id,
        path=Path(row.path),
        origin=row.origin,
        fingerprint=row.fingerprint,
        n_stored=int(row.n_stored),
        n_unlinked=int(row.n_unlinked),
    )


def write_cutouts(
    connection: Connection,
    file: FileDescription,
    rows: CutoutRows,
    *,
    galaxy_id: npt.NDArray[np.int32],
    is_same: npt.NDArray[np.bool_],
) -> int:
    """Write a file of cutouts and its rows, in the connection's transaction.

    Parameters
    ----------
    rows
        The cutouts to keep. Others that an earlier version of the file had are removed.
    galaxy_id
        Galaxy of each, (n,) int32, ``NO_GALAXY`` for none; no galaxy twice.
    is_same
        (n,) the pixels are those of the version before: ``updated_at`` stays as it was.

    Returns
    -------
    int
        Galaxies that had a cutout of this kind from another file, which this one replaces.
    """
    # Two jobs that add at once would each see the other's galaxies without cutouts.
    connection.execute(sa.text("LOCK TABLE skylike.image_file IN SHARE ROW EXCLUSIVE MODE"))
    file_id = _upsert_file(connection, file)
    # The rows of an earlier version step aside, because (file_id, file_row) is unique at all times.
    connection.execute(
        sa.update(cutout).where(cutout.c.file_id == file_id).values(file_row=-1 - cutout.c.file_row)
    )
    _stage(connection, rows, galaxy_id=galaxy_id, is_same=is_same, kind=file.kind)
    replaced = connection.execute(
        sa.select(sa.func.count())
        .select_from(cutout)
        .where(cutout.c.kind == file.kind, cutout.c.file_id != file_id)
        .where(cutout.c.galaxy_id.in_(sa.text("SELECT galaxy_id FROM staged_cutout")))
    ).scalar_one()
    parameters = {"file_id": file_id, "kind": file.kind}
    connection.execute(statement("images_write_linked"), parameters)
    connection.execute(statement("images_write_unlinked"), parameters)
    connection.execute(sa.delete(cutout).where(cutout.c.file_id == file_id, cutout.c.file_row < 0))
    return int(replaced)


def fetch_unlinked_rows(connection: Connection, file_id: int) -> npt.NDArray[np.int32]:
    """Fetch the rows of a file whose cutouts have no galaxy, ascending."""
    rows = connection.scalars(
        sa.select(cutout.c.file_row)
        .where(cutout.c.file_id == file_id, cutout.c.galaxy_id.is_(None))
        .order_by(cutout.c.file_row)
    )
    return np.array(rows.all(), dtype=np.int32)


def link_later(
    connection: Connection,
    file_id: int,
    rows: CutoutRows,
    galaxy_id: npt.NDArray[np.int32],
    *,
    kind: str,
) -> int:
    """Link cutouts stored without a galaxy; galaxies with a cutout of the kind keep theirs.

    Returns
    -------
    int
        Cutouts linked.
    """
    never = np.zeros(len(rows), dtype=np.bool_)
    _stage(connection, rows, galaxy_id=galaxy_id, is_same=never, kind=kind)
    return connection.execute(statement("images_link_later"), {"file_id": file_id}).rowcount


def _upsert_file(connection: Connection, file: FileDescription) -> int:
    values = {
        "path": file.path,
        "origin": file.origin,
        "fingerprint": file.fingerprint,
        "kind": file.kind,
        "bands": list(file.bands),
        "n_cutouts": file.n_cutouts,
        "size_pix": file.size_pix,
        "pixel_scale": file.pixel_scale,
        "added_at": sa.func.now(),
    }
    found = connection.scalar(
        sa.update(image_file)
        .where(image_file.c.origin == file.origin)
        .values(values)
        .returning(image_file.c.file_id)
    )
    if found is None:
        found = connection.scalar(
            sa.insert(image_file).values(values).returning(image_file.c.file_id)
        )
    return int(found or 0)


def _stage(
    connection: Connection,
    rows: CutoutRows,
    *,
    galaxy_id: npt.NDArray[np.int32],
    is_same: npt.NDArray[np.bool_],
    kind: str,
) -> None:
    connection.execute(sa.text("DROP TABLE IF EXISTS pg_temp.staged_cutout"))
    connection.execute(
        sa.text(
            "CREATE TEMPORARY TABLE staged_cutout (file_row integer, galaxy_id integer, name text,"
            " coverage real[], missing_bands text[], is_complete boolean, is_same boolean)"
            " ON COMMIT DROP"
        )
    )
    bands = np.array(FLUX_BANDS if kind == "flux" else RGB_CHANNELS)
    missing = rows.coverage == 0  # (n, 3)
    batch = pa.table(
        {
            "file_row": pa.array(rows.file_row, pa.int32()),
            "galaxy_id": pa.array(galaxy_id, pa.int32(), mask=galaxy_id == NO_GALAXY),
            "name": pa.array(rows.name.tolist(), pa.string()),
            "coverage": array_column(
                np.ascontiguousarray(rows.coverage, dtype=np.float32).ravel(),
                np.full(len(rows), rows.coverage.shape[1], dtype=np.int64),
            ),
            "missing_bands": pa.array(
                [bands[row].tolist() for row in missing], pa.list_(pa.string())
            ),
            "is_complete": pa.array((rows.coverage == 1).all(axis=1)),
            "is_same": pa.array(is_same),
        }
    )
    copy_into(connection, "pg_temp.staged_cutout", batch)


def find_survey_of(connection: Connection, object_ids: npt.NDArray[np.int64]) -> str | None:
    """Find the survey that has most of some objects of the Legacy Surveys, or None."""
    name = connection.scalar(
        statement("images_survey_of_objects"), {"object_ids": object_ids.tolist()}
    )
    return None if name is None else str(name)


def fetch_galaxies_within(
    connection: Connection,
    circle: tuple[float, float, float],
    *,
    survey: str | None,
    cut: Cut | None,
    origin: str,
) -> GalaxyPositions:
    """Fetch the galaxies within a circle that a cut takes, or that have a cutout of an origin.

    Parameters
    ----------
    circle
        ra, dec, radius in degrees.
    survey
        Name of their survey; None for any.
    origin
        Galaxies cut out of it before are taken too: a second cut adds to the first.
    """
    columns = {column.name: column for column in galaxy.c} | {"survey": survey_table.c.name}
    wanted = sa.true() if cut is None else to_expression(cut, columns)
    if survey is not None:
        wanted = sa.and_(wanted, survey_table.c.name == survey)
    had = (
        sa.select(cutout.c.galaxy_id)
        .join(image_file, image_file.c.file_id == cutout.c.file_id)
        .where(image_file.c.origin == origin, cutout.c.galaxy_id.is_not(None))
    )
    rows = connection.execute(
        sa.select(galaxy.c.galaxy_id, galaxy.c.object_id, galaxy.c.ra, galaxy.c.dec)
        .join(survey_table, survey_table.c.survey_id == galaxy.c.survey_id)
        .where(sa.func.skylike.in_cone(galaxy.c.ra, galaxy.c.dec, *circle))
        .where(wanted | galaxy.c.galaxy_id.in_(had))
        .order_by(galaxy.c.galaxy_id)
    ).all()
    return GalaxyPositions(
        np.array([row.galaxy_id for row in rows], dtype=np.int32),
        np.array([row.object_id for row in rows], dtype=np.int64),
        np.array([row.ra for row in rows], dtype=np.float64),
        np.array([row.dec for row in rows], dtype=np.float64),
    )

"""Columns of the catalog that images are chosen by."""

import difflib

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection

from skylike.database.copy import iter_fixed_rows
from skylike.database.tables import galaxy
from skylike.errors import SettingsError

_BLOCK_ROWS = 65_536
"""Rows taken at a time."""

_NUMBERS = (sa.Float, sa.Numeric, sa.Integer)

_IDENTIFIERS = ("galaxy_id", "survey_id", "object_id", "healpix29", "load_id")
"""Numbers that say which, not how much."""


def numeric_columns() -> tuple[str, ...]:
    """Return the columns of the table ``galaxy`` that hold quantities, in its order."""
    return tuple(
        column.name
        for column in galaxy.c
        if isinstance(column.type, _NUMBERS) and column.name not in _IDENTIFIERS
    )


def check_numeric_column(name: str) -> None:
    """Check that the table ``galaxy`` has a column of quantities of this name.

    Raises
    ------
    SettingsError
        It has not; the message lists those there are.
    """
    columns = numeric_columns()
    if name not in columns:
        near = difflib.get_close_matches(name, columns, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise SettingsError(
            f"--uniform-in {name}: the catalog has no such column of numbers{meant}; "
            f"there are {', '.join(columns)}"
        )


def fetch_galaxy_column(
    connection: Connection, name: str
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Fetch a column of the galaxies that have a cutout and a value.

    Returns
    -------
    tuple
        Identifiers (g,) int32, ascending, and values (g,) float64.

    Raises
    ------
    SettingsError
        There is no such column of numbers.
    """
    check_numeric_column(name)
    query = sql.SQL(
        "SELECT galaxy_id, CAST({column} AS double precision) AS value FROM skylike.galaxy "
        "WHERE {column} IS NOT NULL AND EXISTS "
        "(SELECT FROM skylike.cutout WHERE cutout.galaxy_id = galaxy.galaxy_id) "
        "ORDER BY galaxy_id"
    ).format(column=sql.Identifier("galaxy", name))
    blocks = iter_fixed_rows(
        connection, query, (("galaxy_id", ">i4"), ("value", ">f8")), batch_rows=_BLOCK_ROWS
    )
    parts = [(block["galaxy_id"].astype("=i4"), block["value"].astype("=f8")) for block in blocks]
    ids = np.concatenate([np.empty(0, np.int32), *(part for part, _ in parts)])
    return ids, np.concatenate([np.empty(0), *(part for _, part in parts)])

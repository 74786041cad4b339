"""A list of known objects: rows of a table, matched with the catalog, the rest counted."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.errors import SettingsError, SurveyFileError
from skylike.labels.choose import MATCH_RADIUS_ARCSEC, Source, choose_galaxies
from skylike.labels.rows import read_rows
from skylike.survey.tables import open_tables

_SHOWN_VALUES: Final = 12
"""Values of a column that an error message lists."""


@dataclass(frozen=True)
class KnownList:
    """Where the known objects are named.

    Attributes
    ----------
    path
        CSV, TSV, ECSV, FITS, VOTable, Parquet or HDF5 table; a row names its galaxy by
        ``galaxy_id``, ``object_id`` with a survey, or ``ra`` and ``dec``
        (:func:`skylike.labels.rows.read_rows`).
    column, value
        Only rows whose column holds this value; None for all rows, or where the table has
        ``is_member``, its members.
    survey
        Survey of every ``object_id``.
    radius_arcsec
        Farthest that a galaxy may lie from a position of the table.

    Raises
    ------
    SettingsError
        The radius is out of range, or only one of column and value is given.
    """

    path: Path
    column: str | None = None
    value: str | None = None
    survey: str | None = None
    radius_arcsec: float = MATCH_RADIUS_ARCSEC

    def __post_init__(self) -> None:
        if not 0 < self.radius_arcsec <= 60:
            raise SettingsError(f"--radius {self.radius_arcsec:g}: take up to 60 arcsec")
        if (self.column is None) != (self.value is None):
            raise SettingsError(
                "--label-column and --value go together: rows whose column holds the value"
            )


@dataclass(frozen=True, eq=False)
class KnownObjects:
    """Galaxies of the catalog that a list names.

    Attributes
    ----------
    galaxy_ids
        (n,) ascending, none twice.
    rows
        Rows of the table.
    left_out
        How many rows are not used, by reason.
    largest_separation
        Farthest match of a position in arcsec; None where positions did not tell.
    """

    galaxy_ids: npt.NDArray[np.int32]
    rows: int
    left_out: Mapping[str, int]
    largest_separation: float | None


def find_known(connection: Connection, listed: KnownList) -> KnownObjects:
    """Find the galaxies of a list in the catalog.

    Raises
    ------
    SurveyFileError
        The table cannot be read, does not tell galaxies, or has no such column.
    SettingsError
        No row has the value.
    GalaxyNotFoundError
        No row can be used; the message says why.
    """
    rows = read_rows(listed.path, name="", survey=listed.survey)
    other = f"whose {listed.column} is not {listed.value}"
    if listed.column is not None and listed.value is not None:
        values = read_values(listed.path, listed.column)
        if len(values) != len(rows):
            raise SurveyFileError(
                f"{listed.path}: column {listed.column} has {len(values):,} rows, the table of "
                f"galaxies {len(rows):,}; put them in one table"
            )
        wanted = values == listed.value.strip()
        if not wanted.any():
            raise SettingsError(
                f"{listed.path}: no {listed.column} is {listed.value!r}; it has {_some(values)}"
            )
        rows.left_out[(rows.left_out == "") & ~wanted] = other
    source = Source(
        path=listed.path, survey=listed.survey, match_radius_arcsec=listed.radius_arcsec
    )
    chosen = choose_galaxies(connection, source, rows)
    galaxy_ids, left_out = chosen.galaxy_ids, dict(chosen.left_out)
    if chosen.is_member is not None:
        left_out["of galaxies that the table says are none"] = int((~chosen.is_member).sum())
        galaxy_ids = galaxy_ids[chosen.is_member]
    return KnownObjects(galaxy_ids, chosen.n_rows, left_out, chosen.largest_separation)


def read_values(path: Path, column: str) -> npt.NDArray[np.str_]:
    """Read a column of a table as text, (n,); whole numbers without a point, missing ones empty.

    Raises
    ------
    SurveyFileError
        The table cannot be read or has no such column.
    """
    tables = open_tables(path)
    for table in tables:
        names = {c.name.lower(): c.name for c in reversed(table.columns)}
        name = names.get(column.lower())
        if name is None:
            continue
        parts = [batch.columns[name] for batch in table.read([name])]
        texts = [
            np.where(np.ma.getmaskarray(part), "", part.data.astype(np.str_)) for part in parts
        ]
        joined = np.char.strip(np.concatenate([np.empty(0, np.str_), *texts]))
        return np.array([text.removesuffix(".0") for text in joined.tolist()], dtype=np.str_)
    there = ", ".join(c.name for c in tables[0].columns[:_SHOWN_VALUES])
    raise SurveyFileError(f"{path}: has no column {column!r}; its columns are {there}")


def _some(values: npt.NDArray[np.str_]) -> str:
    counted = Counter(values.tolist()).most_common(_SHOWN_VALUES)
    more = " ..." if len(set(values.tolist())) > _SHOWN_VALUES else ""
    return ", ".join(f"{value or 'nothing'} ({n:,})" for value, n in counted) + more

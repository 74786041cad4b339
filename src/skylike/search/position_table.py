"""Positions from a table, such as a list of targets: a file in, right ascensions and dec out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.errors import SurveyFileError
from skylike.survey.batches import SurveyTable, TableColumn
from skylike.survey.column_names import guess_columns
from skylike.survey.tables import open_tables

MAX_POSITIONS: Final = 10_000
"""Most rows of a table: every one becomes an example, of which a query holds thousands, no more."""

_NAMES: Final = ("name", "target", "object", "source", "main_id", "objname", "id")
"""Columns that name a target, in lower case, the best first."""


@dataclass(frozen=True, eq=False)
class PositionTable:
    """The positions of a table.

    Attributes
    ----------
    name
        Of the file, for people.
    ra, dec
        (n,) ICRS degrees.
    rows
        (n,) the row of each in the file, from 1.
    unusable_rows
        Rows whose position is missing, not a number or off the sky.
    n_malformed
        Rows left out because they have another number of fields than the header; the rows after
        them count as if they were not there.
    names
        (n,) what the table calls each, empty where it has no name for it; or nothing at all.
    """

    name: str
    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    unusable_rows: tuple[int, ...] = ()
    n_malformed: int = 0
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ra)


def read_position_table(path: Path) -> PositionTable:
    """Read the positions of a CSV, TSV, ECSV, FITS, HDF5, VOTable or Parquet file.

    The columns are found as ``skylike catalog load`` finds them; numbers are degrees unless the
    file gives a unit, texts may be sexagesimal (hours and degrees).

    Raises
    ------
    SurveyFileError
        The file is unreadable or empty, has no columns of positions or leaves open which they are,
        has too many rows, or no row with a possible position.
    """
    return find_positions(open_tables(path))


def find_positions(tables: Sequence[SurveyTable]) -> PositionTable:
    """Read the positions of the first table that has any, as :func:`read_position_table`."""
    # Brings astropy, half a second that other queries need not wait.
    from skylike.catalog.positions import read_positions  # noqa: PLC0415

    table, ra_name, dec_name = _choose(tables)
    path = table.path
    units = table.column(ra_name).unit, table.column(dec_name).unit
    name = _name_column(table.columns)
    ra, dec, usable = [np.empty(0)], [np.empty(0)], [np.empty(0, dtype=bool)]
    names: list[str] = []
    n_malformed = n_rows = 0
    for batch in table.read([ra_name, dec_name, *([name] if name else [])]):
        found = read_positions(
            batch.columns[ra_name], batch.columns[dec_name], ra_unit=units[0], dec_unit=units[1]
        )
        ra.append(found.ra)
        dec.append(found.dec)
        usable.append(~(found.is_missing | found.is_off_sky))
        if name:
            names += [str(given) for given in batch.columns[name].filled("").tolist()]
        n_rows += batch.n_rows
        n_malformed += batch.n_malformed
        if n_rows > MAX_POSITIONS:
            raise SurveyFileError(
                f"{path}: has more than {MAX_POSITIONS:,} rows, too many for one query; split it"
            )
    is_usable = np.concatenate(usable)
    rows = np.arange(1, n_rows + 1)
    if not is_usable.any():
        raise SurveyFileError(
            f"{path}: no row has a position in its columns {ra_name} and {dec_name}; "
            "give degrees, or hours and degrees as 13:29:52.7 and +47:11:43"
        )
    return PositionTable(
        path.name,
        np.concatenate(ra)[is_usable],
        np.concatenate(dec)[is_usable],
        rows[is_usable],
        tuple(rows[~is_usable].tolist()),
        n_malformed,
        tuple(names[row - 1] for row in rows[is_usable]) if name else (),
    )


def _name_column(columns: Sequence[TableColumn]) -> str | None:
    """Return the column that names the targets, None where no text is called so."""
    texts = {column.name.lower(): column.name for column in columns if column.kind == "text"}
    return next((texts[name] for name in _NAMES if name in texts), None)


def _choose(tables: Sequence[SurveyTable]) -> tuple[SurveyTable, str, str]:
    """Take the first table that has positions, and the names of their columns."""
    for table in tables:
        guess = guess_columns(table.columns, {})
        for coordinate in ("ra", "dec"):
            if coordinate in guess.ambiguous:
                either = " or ".join(guess.ambiguous[coordinate])
                raise SurveyFileError(
                    f"{table.path}: {coordinate} may be {either}; rename or drop all but one"
                )
        if {"ra", "dec"} <= guess.columns.keys():
            return table, guess.columns["ra"], guess.columns["dec"]
    names = [column.name for column in tables[0].columns]
    raise SurveyFileError(
        f"{tables[0].path}: no columns of right ascension and declination are plain among "
        f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}; name them ra and dec"
    )

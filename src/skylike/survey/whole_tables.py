"""VOTable and ECSV files, read whole by astropy: their formats know no slices."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.parsers.expat import ExpatError

import numpy as np
from astropy.io import votable
from astropy.io.votable.exceptions import VOTableSpecError
from astropy.table import Column, MaskedColumn, Table
from astropy.units import Quantity
from astropy.utils.exceptions import AstropyWarning

from skylike.errors import SurveyFileError
from skylike.survey.batches import (
    BATCH_ROWS,
    Batch,
    ColumnArray,
    SurveyTable,
    TableColumn,
    kind_of,
    plain_column,
)


def open_votable(path: Path) -> list[SurveyTable]:
    """Return the tables of a VOTable file, with their units and UCDs.

    Raises
    ------
    SurveyFileError
        It is not a VOTable, is truncated, or holds no table.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = votable.parse(str(path), verify="ignore")
            found = [
                (table.to_table(use_names_over_ids=True), [field.ucd for field in table.fields])
                for table in document.iter_tables()
            ]
    except (ExpatError, VOTableSpecError, OSError, ValueError, IndexError, TypeError) as error:
        raise SurveyFileError(f"{path}: cannot be read as VOTable ({_line(error)})") from error
    if not found:
        raise SurveyFileError(
            f"{path}: the VOTable holds no table; a service may have refused the query"
        )
    return [_table(path, "votable", table, ucds) for table, ucds in found]


def open_ecsv(path: Path) -> list[SurveyTable]:
    """Return the one table of an ECSV file.

    Raises
    ------
    SurveyFileError
        It is not ECSV, or a value is not of its column's type.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            table = Table.read(path, format="ascii.ecsv")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SurveyFileError(f"{path}: cannot be read as ECSV ({_line(error)})") from error
    ucds = [
        table[name].info.meta.get("ucd") if table[name].info.meta else None
        for name in table.colnames
    ]
    return [_table(path, "ecsv", table, ucds)]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _table(path: Path, format_: str, table: Table, ucds: Sequence[str | None]) -> SurveyTable:
    columns: list[TableColumn] = []
    arrays: dict[str, ColumnArray] = {}
    for name, ucd in zip(table.colnames, ucds, strict=True):
        values = table[name]
        kind = kind_of(values.dtype) if isinstance(values, Column | Quantity) else None
        if kind is None or values.ndim != 1:
            continue
        if values.dtype.kind == "O" and not _is_text(values):
            continue
        unit = str(values.unit) if values.unit is not None else None
        columns.append(TableColumn(name, kind, unit, ucd))
        arrays[name] = plain_column(
            np.asarray(values), missing=values.mask if isinstance(values, MaskedColumn) else None
        )

    def read(names: Sequence[str]) -> Iterator[Batch]:
        for start in range(0, len(table), BATCH_ROWS):
            end = min(start + BATCH_ROWS, len(table))
            yield Batch({name: arrays[name][start:end] for name in names}, end - start)

    return SurveyTable(path, format_, tuple(columns), len(table), read)


def _is_text(values: Column) -> bool:
    return all(isinstance(value, str | bytes) or value is np.ma.masked for value in values)

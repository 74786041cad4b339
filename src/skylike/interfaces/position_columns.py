"""Tables of positions that are in memory: data frames, tables of astropy, Arrow and NumPy."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeGuard

import numpy as np

from skylike.search.position_table import PositionTable, find_positions
from skylike.survey.batches import Batch, ColumnArray, Kind, SurveyTable, TableColumn, plain_column

_KINDS: Final[Mapping[str, Kind]] = {"b": "boolean", "i": "number", "u": "number", "f": "number"}

_NAME: Final = Path("positions")
"""How notes and messages call a table that has no file: by the argument."""


def has_columns(value: object) -> TypeGuard[Any]:
    """Tell whether something is a table with named columns."""
    return bool(_names(value))


def position_table_of_columns(value: Any) -> PositionTable:  # noqa: ANN401 - whatever the user has
    """Return the positions of a table whose columns are found as those of a file.

    Parameters
    ----------
    value
        A data frame, a table of astropy or Arrow, rows of skylike, a structured array, or a mapping
        of columns. Units of astropy are understood.

    Raises
    ------
    SurveyFileError
        As :func:`skylike.search.position_table.read_position_table`.
    """
    columns: dict[str, ColumnArray] = {}
    described = []
    for name in _names(value):
        held = value[name]
        columns[str(name)] = array = _array(held)
        unit = getattr(held, "unit", None)
        described.append(
            TableColumn(
                str(name),
                _KINDS.get(array.dtype.kind, "text"),
                unit=None if unit is None else str(unit),
            )
        )
    n_rows = len(next(iter(columns.values())))

    def read(names: Sequence[str]) -> Iterator[Batch]:
        yield Batch({name: columns[name] for name in names}, n_rows)

    return find_positions([SurveyTable(_NAME, "memory", tuple(described), n_rows, read)])


def _names(value: Any) -> list[Any]:  # noqa: ANN401 - whatever the user has
    if hasattr(value, "transform_to") or isinstance(value, str):
        return []
    if isinstance(value, Mapping):
        return list(value)
    for attribute in ("colnames", "column_names", "columns"):  # astropy, Arrow, data frames
        names = getattr(value, attribute, None)
        if names is not None and not callable(names):
            return list(names)
    return list(getattr(getattr(value, "dtype", None), "names", None) or ())


def _array(column: Any) -> ColumnArray:  # noqa: ANN401 - whatever the user has
    if hasattr(column, "to_numpy"):  # pandas and Arrow, whose missing numbers are NaN
        column = column.to_numpy()
    elif hasattr(column, "value") and hasattr(column, "unit"):  # a quantity
        column = column.value
    return plain_column(np.ma.asarray(column))

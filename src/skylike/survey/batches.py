"""What readers of catalog tables hand on: the columns of a table, and its rows in batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["number", "text", "boolean"]
"""What a column holds: numbers (integers stay integers), text, or truth values."""

BATCH_ROWS: Final = 65_536
"""Rows of a batch: about 20 MB for the 40 columns that a Legacy Surveys file is asked for."""

ColumnArray = np.ma.MaskedArray[tuple[int], np.dtype[np.generic]]
"""(n,) values of one column, masked where missing; text as unicode or object arrays of str."""


@dataclass(frozen=True)
class TableColumn:
    """A column of a survey file, before any row is read."""

    name: str
    kind: Kind
    unit: str | None = None
    """Unit as the file writes it."""
    ucd: str | None = None
    """IVOA Unified Content Descriptor, where the format has them."""


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a table."""

    columns: Mapping[str, ColumnArray]
    n_rows: int
    n_malformed: int = 0
    """Rows left out because they have another number of fields than the header."""
    unreadable: Mapping[str, int] = field(default_factory=dict)
    """Values, by column, that should be numbers and are not; masked."""


@dataclass(frozen=True)
class SurveyTable:
    """A table in a file, ready to be read."""

    path: Path
    format: str
    columns: tuple[TableColumn, ...]
    n_rows: int | None
    """None where only reading tells (CSV)."""
    read: Callable[[Sequence[str]], Iterator[Batch]]
    """Stream these columns from the start; may be called again."""

    def column(self, name: str) -> TableColumn:
        """Return the column of this name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def kind_of(dtype: np.dtype[np.generic]) -> Kind | None:
    """Return what values of a dtype are to us; None for what a catalog column cannot hold."""
    if dtype.kind in "iuf":
        return "number"
    if dtype.kind in "SUO":
        return "text"
    return "boolean" if dtype.kind == "b" else None


def plain_column(values: npt.ArrayLike, *, missing: npt.ArrayLike | None = None) -> ColumnArray:
    """Turn file values into a native-endian masked array with text as str, stripped of padding.

    Parameters
    ----------
    values
        (n,) of any endianness; bytes are decoded as UTF-8.
    missing
        (n,) bool, or None where every value is there.
    """
    array: ColumnArray = np.ma.asarray(values)
    data: npt.NDArray[Any] = np.asarray(array.data)
    mask = np.ma.getmaskarray(array)
    if missing is not None:
        mask = mask | np.asarray(missing, dtype=bool)
    if data.dtype.kind == "S":
        data = np.char.decode(data, "utf-8", "replace")
    elif data.dtype.kind == "O":
        data = np.array([_text(value) for value in data], dtype=str)
    if data.dtype.kind == "U":
        data = np.char.strip(data)
        mask = mask | (data == "")
    elif not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    return np.ma.MaskedArray(data, mask=mask)


def _text(value: object) -> str:
    if value is None or value is np.ma.masked:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

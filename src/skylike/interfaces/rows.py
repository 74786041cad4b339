"""Rows in Python: what a statement gives, as a data frame, an astropy table or Arrow."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import override

from skylike.database.comments import ColumnMeaning
from skylike.errors import SettingsError
from skylike.interfaces.dataframe import (
    arrow_table,
    astropy_table,
    data_frame,
    is_list,
    list_values,
    masked_values,
)
from skylike.interfaces.notebook import html_table
from skylike.interfaces.provenance import Plain

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

SHOWN = 20
"""Rows that a notebook shows."""


class Rows:
    """Rows of galaxies or of anything else, with what their columns mean and how they were found.

    ``len(rows)`` counts them, iterating gives a dict for each, ``rows["ra"]`` a column.
    """

    def __init__(
        self,
        data: pa.Table,
        meanings: Mapping[str, ColumnMeaning],
        provenance: Mapping[str, Plain],
    ) -> None:
        self._data, self._meanings, self._about = data, dict(meanings), dict(provenance)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._data.column_names)

    @property
    def meanings(self) -> dict[str, ColumnMeaning]:
        """Description, unit and UCD of each column that has a comment in the database."""
        return dict(self._meanings)

    def to_pandas(self) -> "pd.DataFrame":
        """Return a data frame.

        Returns
        -------
        pandas.DataFrame
            Numbers that are NULL are NaN; integers and booleans with NULLs are of pandas' nullable
            types, so that identifiers stay exact. ``attrs`` holds the provenance and, under
            ``units``, the units.
        """
        return data_frame(self._data, self._meanings, self._about)

    def to_table(self) -> "Table":
        """Return an astropy table.

        Returns
        -------
        astropy.table.Table
            Columns, masked where they have NULLs, with unit, description and, in ``meta["ucd"]``,
            the UCD, which ``table.write("like.vot", format="votable")`` writes too. ``meta`` of the
            table is the provenance. ``QTable(table)`` turns columns with units into quantities.
        """
        return astropy_table(self._data, self._meanings, self._about)

    def to_arrow(self) -> pa.Table:
        """Return an Arrow table.

        Returns
        -------
        pyarrow.Table
            The metadata of a field has ``description``, ``unit`` and ``ucd`` where known; that of
            the schema has ``skylike``, the provenance in JSON.
        """
        return arrow_table(self._data, self._meanings, self._about)

    def __len__(self) -> int:
        return int(self._data.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self._data.to_pylist()

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column as an array, masked where it has NULLs.

        Raises
        ------
        SettingsError
            There is no such column.
        """
        if column not in self._data.column_names:
            raise SettingsError(f"there is no column {column!r}; there are {self.columns}")
        values = self._data[column]
        if is_list(values.type):
            return list_values(values)
        masked = masked_values(values)
        plain: npt.NDArray[Any] = masked if np.ma.is_masked(masked) else masked.data
        return plain

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} rows of {', '.join(self.columns)}>"

    def _repr_html_(self) -> str:
        return html_table(self._data.slice(0, SHOWN), self._meanings, lines=self._said())

    def _said(self) -> list[str]:
        rows = "1 row" if len(self) == 1 else f"{len(self):,} rows"
        return [f"{rows}, of which the first {SHOWN} are shown" if len(self) > SHOWN else rows]

"""Results as tables in memory: Arrow, pandas, astropy; with units, meanings and provenance."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skylike.database.comments import ColumnMeaning
from skylike.interfaces.provenance import plain_items
from skylike.search.result import SearchResult

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

UNKNOWN = ColumnMeaning("", None, "")
"""Meaning of a column that nothing is known about."""


def meaning_of(result: SearchResult, column: str) -> ColumnMeaning:
    """Return what a column of a result means."""
    return result.meanings.get(column, UNKNOWN)


def to_arrow(result: SearchResult) -> pa.Table:
    """Return the rows with metadata.

    Returns
    -------
    pyarrow.Table
        Each field's metadata has ``description``, ``unit`` and ``ucd`` where known; the schema's
        has ``skylike``, the provenance in JSON.
    """
    fields = [
        field.with_metadata(_field_metadata(meaning_of(result, field.name)))
        for field in result.rows.schema
    ]
    provenance = json.dumps(plain_items(result.provenance), allow_nan=False)
    return result.rows.cast(pa.schema(fields, metadata={"skylike": provenance}))


def _field_metadata(meaning: ColumnMeaning) -> dict[str, str]:
    known = {"description": meaning.description, "unit": meaning.unit, "ucd": meaning.ucd}
    return {name: value for name, value in known.items() if value}


def to_pandas(result: SearchResult) -> "pd.DataFrame":
    """Return the rows as a data frame.

    Returns
    -------
    pandas.DataFrame
        Numbers that are NULL are NaN; integers with NULLs are of pandas' nullable types, so that
        identifiers stay exact. ``attrs`` holds the provenance and, under ``units``, the units.
    """
    import pandas as pd  # noqa: PLC0415 - half a second that a printed table need not wait

    nullable = {
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    frame: pd.DataFrame = pa.table(
        {name: result.rows[name] for name in result.rows.column_names}
    ).to_pandas(types_mapper=nullable.get)
    for name in result.rows.column_names:
        if result.rows.schema.field(name).type in nullable and not result.rows[name].null_count:
            frame[name] = frame[name].astype(result.rows.schema.field(name).type.to_pandas_dtype())
    frame.attrs.update(plain_items(result.provenance))
    frame.attrs["units"] = {
        name: meaning_of(result, name).unit
        for name in result.rows.column_names
        if meaning_of(result, name).unit is not None
    }
    return frame


def to_table(result: SearchResult) -> "Table":
    """Return the rows as an astropy table.

    Returns
    -------
    astropy.table.Table
        Masked columns with unit, description and, in ``meta["ucd"]``, the UCD; ``meta`` of the
        table is the provenance.
    """
    from astropy.table import MaskedColumn, Table  # noqa: PLC0415 - half a second, as above

    table = Table(meta={k: v for k, v in plain_items(result.provenance).items() if v is not None})
    for name in result.rows.column_names:
        meaning = meaning_of(result, name)
        values = masked_values(result.rows[name])
        table[name] = MaskedColumn(
            values.data,
            mask=values.mask,
            unit=meaning.unit,
            description=meaning.description or None,
            meta={"ucd": meaning.ucd} if meaning.ucd else {},
        )
    return table


def masked_values(column: pa.ChunkedArray) -> "np.ma.MaskedArray[Any, Any]":
    """Return a column as a masked array: numbers as they are, times as ISO 8601, else text.

    Returns
    -------
    ndarray
        (n,) masked where NULL; what lies under the mask is zero or empty.
    """
    null = column.is_null().to_numpy()
    if pa.types.is_boolean(column.type) or pa.types.is_integer(column.type):
        filled = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
        return np.ma.MaskedArray(filled.to_numpy(), null)
    if pa.types.is_floating(column.type):
        return np.ma.MaskedArray(np.where(null, 0, column.to_numpy()).astype(_dtype(column)), null)
    if pa.types.is_timestamp(column.type):
        times = [None if value is None else value.isoformat() for value in column.to_pylist()]
        column = pa.chunked_array([times], type=pa.string())
    words = column.cast(pa.string()).fill_null("").to_pylist()
    return np.ma.MaskedArray(np.array(words, dtype=np.str_), null)


def _dtype(column: pa.ChunkedArray) -> npt.DTypeLike:
    dtype: npt.DTypeLike = column.type.to_pandas_dtype()
    return dtype

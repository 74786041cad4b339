"""Rows as tables in memory: Arrow, pandas, astropy; with units, meanings and provenance."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skylike.database.comments import ColumnMeaning
from skylike.interfaces.provenance import Plain, plain_items
from skylike.search.result import SearchResult

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

UNKNOWN = ColumnMeaning("", None, "")
"""Meaning of a column that nothing is known about."""

Meanings = Mapping[str, ColumnMeaning]


def meaning_of(result: SearchResult, column: str) -> ColumnMeaning:
    """Return what a column of a result means."""
    return result.meanings.get(column, UNKNOWN)


def to_arrow(result: SearchResult) -> pa.Table:
    """Return the rows of a search result as :func:`arrow_table` does."""
    return arrow_table(result.rows, result.meanings, plain_items(result.provenance))


def to_table(result: SearchResult) -> "Table":
    """Return the rows of a search result as :func:`astropy_table` does."""
    return astropy_table(result.rows, result.meanings, plain_items(result.provenance))


def to_pandas(result: SearchResult) -> "pd.DataFrame":
    """Return the rows of a search result as :func:`data_frame` does."""
    return data_frame(result.rows, result.meanings, plain_items(result.provenance))


def arrow_table(rows: pa.Table, meanings: Meanings, provenance: Mapping[str, Plain]) -> pa.Table:
    """Return rows with metadata.

    Returns
    -------
    pyarrow.Table
        Each field's metadata has ``description``, ``unit`` and ``ucd`` where known; the schema's
        has ``skylike``, the provenance in JSON.
    """
    fields = [
        field.with_metadata(_field_metadata(meanings.get(field.name, UNKNOWN)))
        for field in rows.schema
    ]
    about = json.dumps(dict(provenance), allow_nan=False)
    return rows.cast(pa.schema(fields, metadata={"skylike": about}))


def _field_metadata(meaning: ColumnMeaning) -> dict[str, str]:
    known = {"description": meaning.description, "unit": meaning.unit, "ucd": meaning.ucd}
    return {name: value for name, value in known.items() if value}


def data_frame(
    rows: pa.Table, meanings: Meanings, provenance: Mapping[str, Plain]
) -> "pd.DataFrame":
    """Return rows as a data frame.

    Returns
    -------
    pandas.DataFrame
        Numbers that are NULL are NaN; integers with NULLs are of pandas' nullable types, so that
        identifiers stay exact. ``attrs`` holds the provenance and, under ``units``, the units.
    """
    import pandas as pd  # noqa: PLC0415 - half a second that a printed table need not wait

    nullable = {
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    holed = {
        field.type: nullable[field.type]
        for field, column in zip(rows.schema, rows.columns, strict=True)
        if field.type in nullable and column.null_count
    }
    frame: pd.DataFrame = pa.table(rows.columns, names=rows.column_names).to_pandas(
        types_mapper=holed.get
    )
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if field.type in holed and not column.null_count:
            frame[field.name] = frame[field.name].astype(field.type.to_pandas_dtype())
    frame.attrs.update(provenance)
    frame.attrs["units"] = {
        name: meanings[name].unit
        for name in rows.column_names
        if name in meanings and meanings[name].unit is not None
    }
    return frame


def astropy_table(rows: pa.Table, meanings: Meanings, provenance: Mapping[str, Plain]) -> "Table":
    """Return rows as an astropy table.

    Returns
    -------
    astropy.table.Table
        Columns, masked where they have NULLs, with unit, description and, in ``meta["ucd"]``, the
        UCD; ``meta`` of the table is the provenance.
    """
    from astropy.table import Column, MaskedColumn, Table  # noqa: PLC0415 - half a second, as above

    table = Table(meta={k: v for k, v in provenance.items() if v is not None})
    for name in rows.column_names:
        meaning = meanings.get(name, UNKNOWN)
        about = {
            "unit": meaning.unit,
            "description": meaning.description or None,
            "meta": {"ucd": meaning.ucd} if meaning.ucd else {},
        }
        if is_list(rows[name].type):
            table[name] = Column(list_values(rows[name]), **about)
            continue
        values = masked_values(rows[name])
        if rows[name].null_count:
            table[name] = MaskedColumn(values.data, mask=values.mask, **about)
        else:
            table[name] = Column(values.data, **about)  # a plain quantity in a QTable
    return table


def is_list(kind: pa.DataType) -> bool:
    """Tell whether a column of this type holds lists or vectors."""
    return bool(pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind))


def list_values(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column of lists: (n, d) where all are d long and none is NULL, else n objects."""
    whole = column.combine_chunks()
    if pa.types.is_fixed_size_list(column.type) and not column.null_count:
        flat: npt.NDArray[Any] = whole.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(column), column.type.list_size)  # (n, d)
    objects = np.empty(len(column), dtype=object)
    for place, value in enumerate(whole):
        objects[place] = None if value.as_py() is None else np.array(value.as_py())
    return objects


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

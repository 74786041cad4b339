"""Parquet files, read by row groups."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skylike.errors import SurveyFileError
from skylike.survey.batches import (
    BATCH_ROWS,
    Batch,
    ColumnArray,
    Kind,
    SurveyTable,
    TableColumn,
    plain_column,
)


def open_parquet(path: Path) -> list[SurveyTable]:
    """Return the one table of a Parquet file, without its nested columns.

    Raises
    ------
    SurveyFileError
        It is not Parquet, or is truncated.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema, n_rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise SurveyFileError(
            f"{path}: cannot be read as Parquet, it may be truncated ({error}); download it again"
        ) from error
    columns = []
    for field in schema:
        kind = _kind(field.type)
        if kind is not None:
            columns.append(
                TableColumn(field.name, kind, _said(field, b"unit"), _said(field, b"ucd"))
            )
    return [SurveyTable(path, "parquet", tuple(columns), n_rows, lambda names: _read(path, names))]


def _kind(type_: pa.DataType) -> Kind | None:
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_boolean(type_):
        return "boolean"
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "number"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_binary(type_):
        return "text"
    return None


def _said(field: pa.Field, key: bytes) -> str | None:
    value = (field.metadata or {}).get(key)
    return value.decode("utf-8", "replace") if value else None


def _read(path: Path, names: Sequence[str]) -> Iterator[Batch]:
    wanted = list(dict.fromkeys(names))
    try:
        with pq.ParquetFile(path) as file:
            for rows in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
                columns = {name: arrow_column(rows.column(name)) for name in wanted}
                yield Batch(columns, rows.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise SurveyFileError(f"{path}: cannot be read to its end ({error})") from error


def arrow_column(values: pa.Array) -> ColumnArray:
    """Turn an Arrow array of numbers, truth values or text into a masked array."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    missing = np.asarray(values.is_null().to_numpy(zero_copy_only=False))
    if _kind(values.type) == "text":
        return plain_column(np.array(values.to_pylist(), dtype=object), missing=missing)
    if missing.any():
        # Without a filler Arrow would turn integers with nulls into floats, and round identifiers.
        filler = False if pa.types.is_boolean(values.type) else 0
        values = pc.fill_null(values, pa.scalar(filler, values.type))
    return plain_column(values.to_numpy(zero_copy_only=False), missing=missing)

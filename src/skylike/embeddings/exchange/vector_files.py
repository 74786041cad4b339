"""Files of embeddings made elsewhere: NumPy arrays and Parquet tables, streamed in batches."""

import fnmatch
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skylike.embeddings.exchange.detect import check_is_file
from skylike.errors import CheckpointError, SettingsError, SurveyFileError

MAX_DIMENSION: Final = 4000
"""Longest embedding: pgvector indexes halfvec up to this, and stores it in one page of its own."""

BATCH_ROWS: Final = 1024
"""Vectors read at a time: 33 MB of 4000 numbers in float64."""

Vectors = npt.NDArray[np.floating]


@dataclass(frozen=True)
class VectorBatch:
    """Consecutive rows of a file."""

    vectors: Vectors
    """(b, d), NaN throughout where a row has no vector of this length."""

    is_odd: npt.NDArray[np.bool_]
    """(b,) there is no vector, or one of another length."""


@dataclass(frozen=True)
class VectorFile:
    """A file of embeddings, not read yet."""

    path: Path
    n_rows: int
    dimension: int
    batches: Callable[[], Iterator[VectorBatch]]
    """Streams all rows from the first on."""

    has_columns: bool
    """May it tell the galaxies, too?"""


def open_vectors(path: Path, *, column: str | None = None) -> VectorFile:
    """Open a file of embeddings, and see that it can be one.

    Parameters
    ----------
    column
        Of a table: the column that holds the vectors, or a pattern such as ``feat_*`` of columns
        that hold a number of each. None takes the only column of lists.

    Raises
    ------
    SurveyFileError
        The file is missing, damaged, of another format, or holds nothing that can be embeddings.
    SettingsError
        It leaves open which column holds them, or an option does not fit it.
    """
    try:
        check_is_file(path)
    except CheckpointError as error:
        raise SurveyFileError(str(error)) from error
    with path.open("rb") as file:
        start = file.read(6)
    if start == b"\x93NUMPY":
        if column is not None:
            raise SettingsError(f"{path}: an array has no columns; leave out --vector-column")
        found = _open_array(path)
    elif start[:4] == b"PAR1":
        found = _open_table(path, column)
    else:
        raise SurveyFileError(
            f"{path}: is neither a NumPy array nor a Parquet table; save embeddings with "
            "`numpy.save` or as a column of lists in Parquet"
        )
    if not 2 <= found.dimension <= MAX_DIMENSION:
        raise SurveyFileError(
            f"{path}: vectors of {found.dimension:,} numbers cannot be embeddings here, "
            f"2 to {MAX_DIMENSION:,} can; project longer ones on their principal components"
        )
    if not found.n_rows:
        raise SurveyFileError(f"{path}: holds no vectors")
    return found


def _open_array(path: Path) -> VectorFile:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise SurveyFileError(
                f"{path}: holds Python objects, which would have to be executed; save a plain "
                "array of floats"
            ) from error
        raise SurveyFileError(
            f"{path}: cannot be read as a NumPy array, it may be cut short "
            f"({str(error).splitlines()[0]}); save it again"
        ) from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise SurveyFileError(
            f"{path}: an array of shape {array.shape} and type {array.dtype} is no table of "
            "vectors; save one row of numbers for each galaxy"
        )

    def batches() -> Iterator[VectorBatch]:
        for first in range(0, len(array), BATCH_ROWS):
            rows = np.asarray(array[first : first + BATCH_ROWS])
            yield VectorBatch(rows, np.zeros(len(rows), dtype=np.bool_))

    return VectorFile(path, array.shape[0], array.shape[1], batches, has_columns=False)


def _open_table(path: Path, column: str | None) -> VectorFile:
    try:
        with pq.ParquetFile(path) as file:
            schema, n_rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise SurveyFileError(
            f"{path}: cannot be read as Parquet, it may be cut short ({error}); fetch it again"
        ) from error
    names = _columns(path, schema, column)
    is_list = _is_list(schema.field(names[0]).type)
    dimension = _length_of_lists(path, names[0]) if is_list else len(names)

    def batches() -> Iterator[VectorBatch]:
        for rows in _iter_rows(path, names):
            if is_list:
                yield _from_lists(rows.column(0), dimension)
            else:
                yield _from_numbers([rows.column(name) for name in names])

    return VectorFile(path, n_rows, dimension, batches, has_columns=True)


def _iter_rows(path: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(names))
    except (pa.ArrowException, OSError) as error:
        raise SurveyFileError(f"{path}: cannot be read to its end ({error})") from error


def _columns(path: Path, schema: pa.Schema, wanted: str | None) -> list[str]:
    """Choose the column of lists, or the columns of numbers."""
    lists = [field.name for field in schema if _is_list(field.type)]
    numbers = [field.name for field in schema if _is_number(field.type)]
    if wanted is None:
        if len(lists) == 1:
            return lists
        if lists:
            raise SettingsError(
                f"{path}: {', '.join(lists)} hold vectors; say which with --vector-column"
            )
        raise SettingsError(
            f"{path}: no column holds lists of numbers; where each number has a column of its own, "
            "name them with --vector-column, such as 'feat_*'"
        )
    if wanted in lists:
        return [wanted]
    found = [name for name in numbers if fnmatch.fnmatchcase(name, wanted)]
    if not found or (len(found) == 1 and "*" not in wanted):
        shown = ", ".join([*lists, *numbers][:12]) or "none of numbers"
        raise SettingsError(
            f"{path}: --vector-column {wanted} names no vectors; the columns are {shown}"
        )
    return sorted(found, key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort feat_2 before feat_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _is_list(kind: pa.DataType) -> bool:
    is_list = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    return is_list and _is_number(kind.value_type)


def _length_of_lists(path: Path, name: str) -> int:
    """Return the length of the first vector that is there."""
    for rows in _iter_rows(path, [name]):
        lengths = pc.list_value_length(rows.column(0)).drop_null()
        if len(lengths):
            return int(lengths[0].as_py())
    raise SurveyFileError(f"{path}: column {name} holds no vectors")


def _from_lists(lists: pa.Array, dimension: int) -> VectorBatch:
    lengths = pc.fill_null(pc.list_value_length(lists), -1).to_numpy(zero_copy_only=False)
    is_good = lengths == dimension
    # Numbers that are missing within a vector become NaN.
    values = lists.filter(pa.array(is_good)).flatten().cast(pa.float64(), safe=False)
    vectors = np.full((len(lists), dimension), np.nan)
    vectors[is_good] = values.to_numpy(zero_copy_only=False).reshape(-1, dimension)
    return VectorBatch(vectors, ~is_good)


def _from_numbers(columns: Sequence[pa.Array]) -> VectorBatch:
    parts = [
        column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) for column in columns
    ]
    vectors = np.stack(parts, axis=1)  # (b, d)
    return VectorBatch(vectors, np.zeros(len(vectors), dtype=np.bool_))

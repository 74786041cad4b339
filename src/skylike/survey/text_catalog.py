"""CSV and TSV files, read in blocks; each value is judged by itself, not by the first block."""

import csv
import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from skylike.errors import SurveyFileError
from skylike.survey.batches import Batch, ColumnArray, Kind, SurveyTable, TableColumn
from skylike.survey.parquet_catalog import arrow_column

_NULLS: Final = (
    "",
    "NA",
    "N/A",
    "n/a",
    "null",
    "NULL",
    "None",
    "nan",
    "NaN",
    "NAN",
    "--",
    "-",
    "\\N",
)
"""What text tables write for a missing value."""

_BLOCK_BYTES: Final = 8 << 20
_HEAD_BYTES: Final = 1 << 20
_SAMPLE_ROWS: Final = 2_000


@dataclass(frozen=True)
class _Layout:
    delimiter: str
    names: tuple[str, ...]
    skipped_lines: int
    """Lines before the first row: comments and the header."""


def open_csv(path: Path) -> list[SurveyTable]:
    """Return the one table of a CSV file; semicolons and bars serve where there are no commas.

    Lines that begin with ``#`` above the header are skipped; the last of them is the header where
    it has as many fields as the line below it and that line holds numbers.

    Raises
    ------
    SurveyFileError
        It has no header or no row, or is not text in UTF-8.
    """
    return [_open(path, "csv", delimiters=",;\t|")]


def open_tsv(path: Path) -> list[SurveyTable]:
    """Return the one table of a file of values between tabs; otherwise as :func:`open_csv`."""
    return [_open(path, "tsv", delimiters="\t")]


def _open(path: Path, format_: str, *, delimiters: str) -> SurveyTable:
    layout = _read_layout(path, delimiters)
    malformed = _MalformedRows()
    try:
        with _stream(
            path, layout, layout.names, block_bytes=_HEAD_BYTES, on_malformed=malformed
        ) as reader:
            sample = reader.read_next_batch().slice(0, _SAMPLE_ROWS)
    except StopIteration:
        sample = pa.RecordBatch.from_pylist([])
    except (pa.ArrowException, OSError) as error:
        raise SurveyFileError(f"{path}: cannot be read as {format_.upper()} ({error})") from error
    if sample.num_rows == 0 and (n_malformed := malformed.take()):
        raise SurveyFileError(
            f"{path}: the header has {len(layout.names)} fields and the first {n_malformed:,} rows "
            "another number of them; correct the header or the delimiter"
        )
    if sample.num_rows == 0:
        raise SurveyFileError(f"{path}: the table has a header and no rows")
    kinds = {name: _kind(sample.column(name)) for name in layout.names}
    columns = tuple(TableColumn(name, kind) for name, kind in kinds.items())

    def read(names: Sequence[str]) -> Iterator[Batch]:
        wanted = {name: kinds[name] for name in dict.fromkeys(names)}
        return _read(path, layout, wanted)

    return SurveyTable(path, format_, columns, None, read)


def _read_layout(path: Path, delimiters: str) -> _Layout:
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            head = stream.read(_HEAD_BYTES)
        text = head.decode("utf-8-sig", "ignore" if len(head) == _HEAD_BYTES else "strict")
    except (pa.ArrowException, OSError) as error:
        raise SurveyFileError(f"{path}: cannot be read ({error})") from error
    except UnicodeDecodeError as error:
        raise SurveyFileError(
            f"{path}: is not text in UTF-8; save it again in that encoding"
        ) from error
    lines = text.splitlines()
    comments = 0
    while comments < len(lines) and (
        not lines[comments].strip() or lines[comments].startswith("#")
    ):
        comments += 1
    if comments == len(lines):
        raise SurveyFileError(f"{path}: the table is empty: it has no header and no rows")
    delimiter = next((mark for mark in delimiters if mark in lines[comments]), delimiters[0])
    first = _fields(lines[comments], delimiter)
    if 2 * sum(map(_is_number, first)) < len(first):
        return _Layout(delimiter, _unique(first), comments + 1)
    above = _fields(lines[comments - 1].lstrip("#").strip(), delimiter) if comments else []
    if len(above) != len(first):
        raise SurveyFileError(
            f"{path}: the first line holds numbers, not column names; add a header line"
        )
    return _Layout(delimiter, _unique(above), comments)


def _fields(line: str, delimiter: str) -> list[str]:
    return [name.strip() for name in next(csv.reader(io.StringIO(line), delimiter=delimiter), [])]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.lower() not in {"nan", "inf", "infinity"}


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    unique: list[str] = []
    for place, name in enumerate(names, start=1):
        candidate = name or f"column_{place}"
        while candidate in unique:
            candidate += "_"
        unique.append(candidate)
    return tuple(unique)


def _stream(  # type: ignore[no-untyped-def] # noqa: ANN202 - pyarrow has no types
    path: Path,
    layout: _Layout,
    names: Sequence[str],
    *,
    block_bytes: int = _BLOCK_BYTES,
    on_malformed,  # noqa: ANN001
):
    return arrow_csv.open_csv(
        path,
        read_options=arrow_csv.ReadOptions(
            column_names=layout.names, skip_rows=layout.skipped_lines, block_size=block_bytes
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=layout.delimiter,
            invalid_row_handler=on_malformed,
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(layout.names, pa.string()),
            include_columns=list(names),
            null_values=list(_NULLS),
            strings_can_be_null=True,
        ),
    )


class _MalformedRows:
    """Counts rows with a wrong number of fields; the parser's threads call it."""

    def __init__(self) -> None:
        self._lock, self._count = threading.Lock(), 0

    def __call__(self, _row: object) -> str:
        with self._lock:
            self._count += 1
        return "skip"

    def take(self) -> int:
        with self._lock:
            count, self._count = self._count, 0
        return count


def _read(path: Path, layout: _Layout, wanted: dict[str, Kind]) -> Iterator[Batch]:
    malformed = _MalformedRows()
    try:
        with _stream(path, layout, list(wanted), on_malformed=malformed) as reader:
            for rows in reader:
                unreadable: dict[str, int] = {}
                columns = {
                    name: _column(rows.column(name), name, kind, unreadable)
                    for name, kind in wanted.items()
                }
                yield Batch(columns, rows.num_rows, malformed.take(), unreadable)
    except (pa.ArrowException, OSError) as error:
        raise SurveyFileError(f"{path}: cannot be read to its end ({error})") from error
    left = malformed.take()
    if left:
        yield Batch({name: arrow_column(pa.array([], pa.string())) for name in wanted}, 0, left)


def _kind(values: pa.Array) -> Kind:
    """Tell what a column holds by a sample of its texts; one without any may yet hold text."""
    present = _trimmed(values.drop_null())
    if len(present) == 0:
        return "text"
    if pc.all(pc.is_in(pc.utf8_lower(present), pa.array(["true", "false"]))).as_py():
        return "boolean"
    return "text" if _numbers(present).null_count else "number"


def _trimmed(values: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(pc.utf8_trim_whitespace(values), r"^\+", "")


_NUMBER: Final = r"^-?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|[iI]nf(inity)?)$"


def _numbers(texts: pa.Array) -> pa.Array:
    """Turn texts into int64 where all are whole numbers, else float64; null what is no number."""
    try:
        return texts.cast(pa.int64())
    except pa.ArrowInvalid:
        readable = pc.match_substring_regex(texts, _NUMBER)
        return pc.if_else(readable, texts, pa.scalar(None, pa.string())).cast(pa.float64())


def _column(values: pa.Array, name: str, kind: Kind, unreadable: dict[str, int]) -> ColumnArray:
    if kind == "text":
        return arrow_column(values)
    texts = _trimmed(values)
    if kind == "boolean":
        truth = pc.equal(pc.utf8_lower(texts), "true")
        return arrow_column(truth)
    numbers = _numbers(texts)
    lost = int(numbers.null_count - texts.null_count)
    if lost:
        unreadable[name] = lost
    return arrow_column(numbers)

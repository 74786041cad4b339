"""Binary and ASCII tables of FITS files, read in slices of the memory map."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from astropy.io import fits
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
from skylike.survey.legacy import vector_components

_UNREADABLE: Final = (OSError, ValueError, LookupError, TypeError, fits.VerifyError)
"""What astropy raises for damaged headers and data."""

_CUT_SHORT: Final = re.compile("truncated")
_CUT_SHORT_IN_HEADER: Final = re.compile("truncated|END card|Error validating header")


@dataclass(frozen=True)
class _Source:
    """Where a scalar column comes from: a FITS column, or one entry of a vector column."""

    field: str
    component: int | None


def open_fits(path: Path) -> list[SurveyTable]:
    """Return the tables of a FITS file, one for each table extension.

    Raises
    ------
    SurveyFileError
        It is not FITS, is truncated, or has no table extension.
    """
    try:
        with _opened(path) as hdus:
            tables = [
                _table(path, number, hdu)
                for number, hdu in enumerate(hdus)
                if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)
                and not isinstance(hdu, fits.CompImageHDU)
            ]
    except _UNREADABLE as error:
        raise SurveyFileError(f"{path}: cannot be read as FITS ({_line(error)})") from error
    if not tables:
        raise SurveyFileError(
            f"{path}: the FITS file holds no table; images go to `skylike images`"
        )
    return tables


def _line(error: Exception | str) -> str:
    return " ".join(str(error).split())[:200]


def _opened(path: Path) -> fits.HDUList:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AstropyWarning)
        hdus = fits.open(path, memmap=path.suffix not in {".gz", ".bz2"})
        len(hdus)  # reads every header, and so finds a file that ends too early
    # All that astropy says of a file that ends too early, in its data or in a header. Of a header
    # after a whole table it may speak of a few bytes too many, which do no harm.
    mark = _CUT_SHORT if len(hdus) > 1 else _CUT_SHORT_IN_HEADER
    said = [_line(w.message) for w in caught if mark.search(str(w.message))]
    if said:
        hdus.close()
        raise SurveyFileError(f"{path}: the file is truncated ({said[0]}); download it again")
    return hdus


def _table(path: Path, number: int, hdu: fits.BinTableHDU) -> SurveyTable:
    columns: list[TableColumn] = []
    sources: dict[str, _Source] = {}
    for place, definition in enumerate(hdu.columns, start=1):
        dtype = definition.dtype
        kind = kind_of(dtype.base if definition.format not in {"X"} else np.dtype("V1"))
        if not definition.name:  # without TTYPE nobody can ask for it
            continue
        if kind is None or str(definition.format).lstrip("0123456789")[:1] in {"P", "Q", "X"}:
            continue
        unit, ucd = definition.unit, hdu.header.get(f"TUCD{place}")
        for name, source in _scalars(definition.name, dtype):
            sources[name] = source
            columns.append(TableColumn(name, kind, unit, ucd))

    def read(names: Sequence[str]) -> Iterator[Batch]:
        wanted = {name: sources[name] for name in dict.fromkeys(names)}
        return _read(path, number, wanted)

    return SurveyTable(path, "fits", tuple(columns), int(hdu.header["NAXIS2"]), read)


def _scalars(name: str, dtype: np.dtype[np.generic]) -> Iterator[tuple[str, _Source]]:
    length = int(np.prod(dtype.shape)) if dtype.shape else 1
    if length == 1:
        yield name, _Source(name, 0 if dtype.shape else None)
        return
    for place, component in enumerate(vector_components(name, length)):
        yield component, _Source(name, place)


def _read(path: Path, number: int, wanted: Mapping[str, _Source]) -> Iterator[Batch]:
    with _opened(path) as hdus:
        hdu = hdus[number]
        n_rows = int(hdu.header["NAXIS2"])
        for start in range(0, n_rows, BATCH_ROWS):
            try:
                rows = hdu.data[start : start + BATCH_ROWS]
                columns = {name: _column(hdu, rows, source) for name, source in wanted.items()}
            except _UNREADABLE as error:
                raise SurveyFileError(
                    f"{path}: rows from {start} on cannot be read ({_line(error)})"
                ) from error
            yield Batch(columns, len(rows))


def _column(hdu: fits.BinTableHDU, rows: fits.FITS_rec, source: _Source) -> ColumnArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        values = np.asarray(rows.field(source.field))
    if source.component is not None:
        values = values.reshape(len(values), -1)[:, source.component]
    definition = hdu.columns[source.field]
    missing = None
    if definition.null not in {None, ""} and values.dtype.kind in "iu":
        # TNULL speaks of the stored integer; unsigned ones are stored with an offset.
        missing = values.astype(np.int64) == int(definition.null) + int(definition.bzero or 0)
    return plain_column(np.array(values), missing=missing)

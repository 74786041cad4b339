"""Results as files for other programs: FITS, VOTable, Parquet."""

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow.parquet as pq
from astropy import units
from astropy.io import fits, votable
from astropy.io.votable.tree import Info, Param

from skylike.catalog.fits_units import fits_words
from skylike.interfaces.dataframe import masked_values, meaning_of, to_arrow, to_table
from skylike.interfaces.provenance import DESCRIPTIONS, Plain, plain_items
from skylike.search.result import SearchResult

if TYPE_CHECKING:
    from astropy.io.votable.tree import TableElement

_FITS_KEYWORDS: Final = {
    "query": "QUERY",
    "encoder": "ENCODER",
    "run_id": "RUN_ID",
    "route": "ROUTE",
    "exact": "EXACT",
    "matched": "MATCHED",
    "matched_is_bound": "MATCHMIN",
    "expected_recall": "RECALL",
    "k": "K",
    "offset": "OFFSET",
    "cut": "CUT",
    "definitions": "DEFINES",
    "cone": "CONE",
    "min_separation_arcsec": "MIN_SEP",
    "note": "NOTE",
    "stale": "STALE",
    "version": "SKYLIKE",
}
_FITS_FORMATS: Final = {"i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D", "b1": "L"}
_FITS_LINE: Final = 70
"""Characters of a COMMENT card that are ours."""

_PARAM_UCDS: Final = {"matched": "meta.number", "k": "meta.number", "sql": "meta.query"}
_PARAM_UNITS: Final = {"min_separation_arcsec": "arcsec"}


def parquet_bytes(result: SearchResult) -> bytes:
    """Write Parquet; schema and fields carry provenance, units, UCDs and descriptions."""
    sink = io.BytesIO()
    pq.write_table(to_arrow(result), sink, compression="zstd")
    return sink.getvalue()


def fits_bytes(result: SearchResult) -> bytes:
    """Write a FITS binary table; NULL is NaN, TNULLn (the smallest integer) or an empty text."""
    columns = []
    for name in result.rows.column_names:
        unit, _ = fits_words(meaning_of(result, name))
        columns.append(_fits_column(name, masked_values(result.rows[name]), unit))
    table = fits.BinTableHDU.from_columns(columns, name="SIMILAR")
    for number, name in enumerate(result.rows.column_names, start=1):
        meaning = meaning_of(result, name)
        table.header[f"TCOMM{number}"] = _ascii(fits_words(meaning)[1])
        if meaning.ucd:
            table.header[f"TUCD{number}"] = meaning.ucd
    items = plain_items(result.provenance)
    for name, keyword in _FITS_KEYWORDS.items():
        value = items[name]
        if value is not None:
            table.header[keyword] = _ascii(value) if isinstance(value, str) else value
    # FITS 4.0, section 9.1.1: a time without a zone, which is UTC for DATE.
    table.header["DATE"] = result.provenance.time.strftime("%Y-%m-%dT%H:%M:%S")
    for line in str(items["sql"]).splitlines():
        # One card holds 72 characters: a long line goes on in the next.
        for start in range(0, max(len(line), 1), _FITS_LINE):
            table.header.add_comment(_ascii(line[start : start + _FITS_LINE]))
    sink = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(sink, checksum=True)
    return sink.getvalue()


def _fits_column(name: str, values: "np.ma.MaskedArray[Any, Any]", unit: str | None) -> fits.Column:
    kind = values.dtype.str[1:]
    if kind.startswith("U"):
        words = np.array([_ascii(word) for word in values.data.tolist()], dtype="S")
        width = max(words.dtype.itemsize, 1)
        return fits.Column(name=name, format=f"{width}A", array=words, unit=unit)
    if kind.startswith("f"):
        numbers = values.filled(np.nan)
        return fits.Column(name=name, format=_FITS_FORMATS[kind], array=numbers, unit=unit)
    if not values.mask.any() or kind == "b1":
        return fits.Column(name=name, format=_FITS_FORMATS[kind], array=values.data, unit=unit)
    null = int(np.iinfo(values.dtype).min)
    whole = values.filled(null)
    return fits.Column(name=name, format=_FITS_FORMATS[kind], array=whole, unit=unit, null=null)


def _ascii(text: str) -> str:
    """Return text as a FITS header can hold it: printable ASCII."""
    plain = " ".join(text.split()) if "\n" in text else text
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in plain)


def votable_bytes(result: SearchResult) -> bytes:
    """Write a VOTable (1.4, BINARY2) with unit, UCD and description of each field.

    The provenance is in PARAMs, for programs; its notes and the statement are INFOs, which TOPCAT
    shows.
    """
    document = votable.from_table(to_table(result), table_id="similar")
    document.version = "1.4"
    table = document.get_first_table()
    table.format = "binary2"
    for field in table.fields:
        meaning = meaning_of(result, field.name)
        field.ucd = meaning.ucd or None
        field.unit = _vo_unit(meaning.unit)
    _add_provenance(table, plain_items(result.provenance))
    sink = io.BytesIO()
    document.to_xml(sink)
    return sink.getvalue()


def _vo_unit(unit: str | None) -> str | None:
    if unit is None:
        return None
    try:
        units.Unit(unit, format="vounit")
    except ValueError:
        # VOUnits 1.0, section 2.6: a unit that the standard does not know stands between quotes.
        return f"'{unit}'"
    return unit


def _add_provenance(table: "TableElement", items: dict[str, Plain]) -> None:
    table.params.clear()
    table.infos.clear()
    for name, value in items.items():
        if value is None:
            continue
        if isinstance(value, str):
            info = Info(name=name, value=" ".join(value.split()))
            # An attribute cannot hold line breaks, and a statement without them is all comment.
            info.content = value if "\n" in value else None
            table.infos.append(info)
            continue
        datatype = {bool: "boolean", int: "long", float: "double"}[type(value)]
        param = Param(
            table._votable,  # noqa: SLF001 - a PARAM needs its document, and nothing else gives it
            name=name,
            datatype=datatype,
            value=value,
            ucd=_PARAM_UCDS.get(name, "meta"),
            unit=_PARAM_UNITS.get(name),
        )
        param.description = DESCRIPTIONS[name]
        table.params.append(param)

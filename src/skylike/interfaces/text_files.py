"""Results as text: CSV, JSON, and a page for a browser."""

import html
import io
import json
import math
from typing import Final

import pyarrow as pa
import pyarrow.csv

from skylike.database.comments import ColumnMeaning
from skylike.interfaces.dataframe import meaning_of
from skylike.interfaces.provenance import DESCRIPTIONS, Plain, likeness, plain_items, summary
from skylike.search.result import SearchResult


def csv_text(result: SearchResult) -> str:
    """Write comma-separated values, a header and the rows; NULL is nothing between two commas.

    How they were found is not among them, so that every program reads the file as it is.
    """
    sink = io.BytesIO()
    pa.csv.write_csv(result.rows, sink, pa.csv.WriteOptions(quoting_style="needed"))
    return sink.getvalue().decode()


def json_text(result: SearchResult) -> str:
    """Write an object with ``provenance``, ``columns`` and ``rows``.

    Integers of 64 bits are strings, because JavaScript and many JSON readers round beyond 2^53.
    NULL and NaN are null.
    """
    columns = [
        {"name": name, **_meaning(meaning_of(result, name))} for name in result.rows.column_names
    ]
    values = [_json_values(result.rows[name]) for name in result.rows.column_names]
    rows = [
        dict(zip(result.rows.column_names, row, strict=True)) for row in zip(*values, strict=True)
    ]
    whole = {"provenance": plain_items(result.provenance), "columns": columns, "rows": rows}
    return json.dumps(whole, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _meaning(meaning: ColumnMeaning) -> dict[str, str | None]:
    return {
        "description": meaning.description,
        "unit": meaning.unit,
        "ucd": meaning.ucd or None,
    }


def _json_values(column: pa.ChunkedArray) -> list[Plain]:
    if pa.types.is_int64(column.type) or pa.types.is_timestamp(column.type):
        column = column.cast(pa.string())
    elif pa.types.is_float32(column.type):
        # The shortest decimal of a float32: 18.1, not 18.100000381469727.
        column = column.cast(pa.string()).cast(pa.float64())
    return [
        None if isinstance(value, float) and not math.isfinite(value) else value
        for value in column.to_pylist()
    ]


_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em; color: #1b1f24; background: #fff; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #d8dde3; }
th { position: sticky; top: 0; background: #eef1f5; cursor: help; }
td.text { text-align: left; }
.unit { display: block; font-weight: normal; color: #59636e; font-size: 85%; }
.scroll { overflow-x: auto; }
dt { font-weight: 600; } dd { margin: 0 0 .6em 0; white-space: pre-wrap; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e9ec; background: #14171a; } th { background: #23282e; }
  th, td { border-color: #363d45; } .unit { color: #9aa4af; }
}
"""


def html_text(result: SearchResult) -> str:
    """Write a page that stands alone: it loads nothing from anywhere and runs no script."""
    title = html.escape(f"Galaxies {likeness(result.provenance)}")
    said = "".join(
        f"<p>{html.escape(line)}</p>\n"
        for line in summary(result.provenance, found=result.rows.num_rows)[1:]
    )
    details = "".join(
        f"<dt>{html.escape(DESCRIPTIONS.get(name, name))}</dt><dd>{html.escape(str(value))}</dd>\n"
        for name, value in plain_items(result.provenance).items()
        if value is not None
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{said}"
        f'<div class="scroll">\n{_html_table(result)}</div>\n'
        f"<h2>How this was found</h2>\n<dl>\n{details}</dl>\n</body>\n</html>\n"
    )


def _html_table(result: SearchResult) -> str:
    names = result.rows.column_names
    heads = "".join(_html_head(name, meaning_of(result, name)) for name in names)
    columns = [_html_cells(result.rows[name]) for name in names]
    rows = "".join(f"<tr>{''.join(cells)}</tr>\n" for cells in zip(*columns, strict=True))
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"


def _html_head(name: str, meaning: ColumnMeaning) -> str:
    unit = f'<span class="unit">{html.escape(meaning.unit)}</span>' if meaning.unit else ""
    return f'<th title="{html.escape(meaning.description)}">{html.escape(name)}{unit}</th>'


def _html_cells(column: pa.ChunkedArray) -> list[str]:
    is_text = not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
    opening = '<td class="text">' if is_text else "<td>"
    digits = 7 if pa.types.is_float32(column.type) else 10
    cells = []
    for value in column.to_pylist():
        shown = f"{value:.{digits}g}" if isinstance(value, float) else str(value)
        cells.append(f"{opening}{'' if value is None else html.escape(shown)}</td>")
    return cells

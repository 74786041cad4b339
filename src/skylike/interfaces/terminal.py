"""Results as a table for the eye."""

import io
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from skylike.bands import BANDS
from skylike.cuts import GALAXY_KINDS
from skylike.interfaces.provenance import summary
from skylike.search.result import SearchResult

WIDE: Final = 10_000
"""Width of an output that is no terminal: nothing is cut off."""

_DEGREES: Final = ((1.0, "deg", 1.0), (1 / 60, "arcmin", 60.0), (0.0, "arcsec", 3600.0))
"""From which largest separation, in degrees, a unit is fitting, and how many make a degree."""

_FORMATS: Final = {
    "similarity": ".4f",
    "rarity": ".3f",
    "distance": ".3f",
    "ra": ".5f",
    "dec": "+.5f",
    "z_spec": ".4f",
    "z_phot": ".3f",
}
_SHOWN: Final = (
    *(
        "query",
        "query_label",
        "rank",
        "galaxy_id",
        "similarity",
        "rarity",
        "separation",
        "ra",
        "dec",
    ),
    *("mag_r", "mag_g", "mag_z"),
    *("z_spec", "z_phot", "survey", "type"),
    *(f"mag_{band}" for band in BANDS if band not in {"g", "r", "z"}),
)
"""By importance: where the terminal is narrow, the last are left out first."""


def print_result(result: SearchResult, console: Console) -> None:
    """Print the columns that fit, then what the answer is worth."""
    names = columns_for_people(result)
    left_out = []
    while len(names) > 3 and _width(result, names, console) > console.width:
        left_out.append(names.pop())
    console.print(_table(result, names))
    for line in summary(result.provenance, found=result.rows.num_rows):
        console.print(Text(line), soft_wrap=True)
    if left_out:
        console.print(
            f"Not shown for want of room: {', '.join(left_out)}; --format csv has all columns.",
            soft_wrap=True,
        )


def columns_for_people(result: SearchResult) -> list[str]:
    """Return the columns that people read and that hold anything, the most important first."""
    # What users have derived or trained, they want to see.
    own = [
        name for name in result.rows.column_names if name not in GALAXY_KINDS and name not in _SHOWN
    ]
    place = _SHOWN.index("mag_r")
    shown = [*_SHOWN[:place], *own, *_SHOWN[place:]]
    return [name for name in shown if name in result.rows.column_names and _holds(result, name)]


def table_text(result: SearchResult) -> str:
    """Return what :func:`print_result` prints where there is room for everything."""
    sink = io.StringIO()
    # In a notebook Rich would show the table instead of writing it.
    print_result(result, Console(file=sink, width=WIDE, highlight=False, force_jupyter=False))
    return sink.getvalue()


def _holds(result: SearchResult, name: str) -> bool:
    # Who defines a column for one search asks about it, even if the answer is nothing.
    defined = {text.partition("=")[0].strip() for text in result.provenance.definitions}
    rows = result.rows
    return name in defined or rows.num_rows == 0 or rows[name].null_count < rows.num_rows


def _width(result: SearchResult, names: Sequence[str], console: Console) -> int:
    options = console.options.update(width=WIDE)
    return Measurement.get(console, options, _table(result, names)).maximum


def _table(result: SearchResult, names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    ordered = [name for name in result.rows.column_names if name in names]
    columns = []
    for name in ordered:
        column = result.rows[name]
        title, cells = _separation(column) if name == "separation" else (name, _cells(name, column))
        is_text = pa.types.is_string(column.type)
        table.add_column(title, justify="left" if is_text else "right", no_wrap=True)
        columns.append(cells)
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return table


def _separation(column: pa.ChunkedArray) -> tuple[str, list[Text]]:
    largest = pc.max(column).as_py() or 0.0
    unit, factor = next((unit, per) for least, unit, per in _DEGREES if largest >= least)
    return f"from query ({unit})", [
        Text("" if value is None else f"{value * factor:.2f}") for value in column.to_pylist()
    ]


def _cells(name: str, column: pa.ChunkedArray) -> list[Text]:
    form = _FORMATS.get(name, ".2f" if pa.types.is_floating(column.type) else "")
    # Text, not markup: a name may have brackets in it.
    return [Text("" if value is None else format(value, form)) for value in column.to_pylist()]

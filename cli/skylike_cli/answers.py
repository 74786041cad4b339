"""What the commands that answer with galaxies share: the formats, and the contact sheet."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from skylike_cli import session

if TYPE_CHECKING:
    from skylike.search.examples import Example
    from skylike.search.result import SearchResult


class Format(StrEnum):
    """As :class:`skylike.interfaces.formats.Format`, which takes long to import."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    FITS = "fits"
    VOTABLE = "votable"
    PARQUET = "parquet"
    HTML = "html"


def check_files(form: Format, output: Path | None, sheet: Path | None) -> None:
    """Find out before a long search that its files could not be written."""
    from skylike.interfaces.formats import check_output
    from skylike.interfaces.sheet import check_sheet

    check_output(format=form.value, output=output)
    if sheet is not None:
        check_sheet(sheet)


def write_rows(result: "SearchResult", form: Format, output: Path | None) -> None:
    """Write or print an answer."""
    from skylike.interfaces.formats import write_result

    write_result(result, format=form.value, output=output)


def write_sheet(
    result: "SearchResult",
    examples: "Sequence[Example]",
    path: Path,
    *,
    example_word: str = "query",
) -> None:
    """Write the contact sheet of an answer."""
    from skylike.interfaces.sheet import make_sheet, save_sheet
    from skylike.search.pictures import fetch_tiles

    tiles = fetch_tiles(session.engine(), examples, result, example_word=example_word)
    if not tiles.images:
        typer.echo("No contact sheet is made: no galaxy was found.", err=True)
        return
    sheet = make_sheet(tiles.images, tiles.captions, title=tiles.title, queries=tiles.queries)
    save_sheet(sheet, path)
    typer.echo(f"Contact sheet: {path}", err=True)

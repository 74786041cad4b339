"""What the commands that answer with galaxies share: the formats, and the contact sheet."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from skylike.file_formats import Format
from skylike_cli import session

if TYPE_CHECKING:
    from skylike.search.examples import Example
    from skylike.search.result import SearchResult


def check_files(form: Format | None, output: Path | None, sheet: Path | None) -> Format:
    """Find out before a long search that its files could not be written; return the format."""
    from skylike.interfaces.formats import check_output
    from skylike.interfaces.sheet import check_sheet

    chosen = check_output(format=form, output=output)
    if sheet is not None:
        check_sheet(sheet)
    return chosen


def write_rows(result: "SearchResult", form: Format, output: Path | None) -> None:
    """Write or print an answer; of CSV, which is rows alone, tell on stderr how they were found."""
    from skylike.interfaces.formats import write_result
    from skylike.interfaces.provenance import summary

    write_result(result, format=form, output=output)
    if form is Format.CSV:
        typer.echo("\n".join(summary(result.provenance, found=result.rows.num_rows)), err=True)


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

"""What the commands that measure similarity share: ranks as typed, and reports as told."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from skylike.evaluation.reports import Report


def parse_ranks(text: str) -> tuple[int, ...]:
    """Read ranks separated by commas, such as ``10,100``: rising, none twice.

    Raises
    ------
    SettingsError
        They are no whole numbers.
    """
    from skylike.errors import SettingsError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise SettingsError(f"-k {text!r}: use ranks separated by commas, such as 10,100")
    return tuple(sorted({int(part) for part in parts}))


def check_output(output: Path | None) -> None:
    """Find out before long work that its report could not be written."""
    if output is not None:
        from skylike.evaluation.reports import check_report_file

        check_report_file(output)


def tell(report: "Report", *, as_json: bool, output: Path | None) -> None:
    """Print a report, and write it as JSON where a file is named."""
    from skylike.evaluation.reports import report_json, report_lines, write_report

    if output is not None:
        write_report(report, output)
    typer.echo(report_json(report) if as_json else "\n".join(report_lines(report)))

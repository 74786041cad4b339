"""Write a result in one of seven formats, to a file or to standard output."""

import gzip
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from rich.console import Console

from skylike.errors import SettingsError
from skylike.file_formats import (
    STANDARD_OUTPUT,
    Format,
    check_folder,
    choose_format,
    is_gzipped,
)
from skylike.files import replaced_file
from skylike.interfaces.terminal import WIDE, print_result
from skylike.search.result import SearchResult

_BINARY: Final = frozenset({Format.FITS, Format.VOTABLE, Format.PARQUET})


def write_result(
    result: SearchResult,
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    output: Path | None,
) -> Format:
    """Write a result; return in which format.

    Parameters
    ----------
    format
        One of :class:`skylike.file_formats.Format`; None takes what the extension of ``output``
        tells.
    output
        File to write, complete or not at all; ``-`` is standard output. None is standard output
        too, for ``table``, ``csv``, ``json`` and ``html`` only: the others are for programs.

    Raises
    ------
    SettingsError
        As :func:`check_output`, or the file cannot be written.
    """
    chosen = check_output(format=format, output=output)
    if output is not None and output != STANDARD_OUTPUT:
        _write_file(output, _WRITERS[chosen](result))
    elif chosen in _BINARY:
        sys.stdout.buffer.write(_WRITERS[chosen](result))
        sys.stdout.buffer.flush()
    elif chosen is Format.TABLE:
        _print_table(result)
    else:
        sys.stdout.write(_WRITERS[chosen](result).decode())
    return chosen


def check_output(
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    output: Path | None,
) -> Format:
    """Find out before a long search that :func:`write_result` would refuse; return the format.

    Raises
    ------
    SettingsError
        No such format, an extension that tells none or another one, a binary format without a
        file, or a file in a folder that is not there.
    """
    chosen = choose_format(output, format)
    if output is not None and output != STANDARD_OUTPUT:
        check_folder(output)
    elif chosen in _BINARY and (output is None or sys.stdout.isatty()):
        raise SettingsError(
            f"the format {chosen} is for files; name one with --output, such as"
            f" result.{_ENDINGS[chosen]}"
        )
    return chosen


_ENDINGS: Final = {Format.FITS: "fits", Format.VOTABLE: "vot", Format.PARQUET: "parquet"}


def _write_file(output: Path, content: bytes) -> None:
    try:
        with replaced_file(output) as part:
            # Without a time, the same answer makes the same bytes.
            part.write_bytes(gzip.compress(content, mtime=0) if is_gzipped(output) else content)
    except OSError as error:
        raise SettingsError(
            f"{output} cannot be written: {error.strerror}; name a file in a folder that is there"
            " and yours with --output"
        ) from error


def _print_table(result: SearchResult) -> None:
    print_result(result, Console(width=None if sys.stdout.isatty() else WIDE, highlight=False))


def _writer(module: str, function: str) -> Callable[[SearchResult], bytes]:
    # A printed table need not wait for astropy: a writer's module is imported when it is used.
    def write(result: SearchResult) -> bytes:
        made = getattr(import_module(f"skylike.interfaces.{module}"), function)(result)
        return made if isinstance(made, bytes) else str(made).encode()

    return write


_WRITERS: Final[dict[Format, Callable[[SearchResult], bytes]]] = {
    Format.TABLE: _writer("terminal", "table_text"),
    Format.CSV: _writer("text_files", "csv_text"),
    Format.JSON: _writer("text_files", "json_text"),
    Format.FITS: _writer("binary_files", "fits_bytes"),
    Format.VOTABLE: _writer("binary_files", "votable_bytes"),
    Format.PARQUET: _writer("binary_files", "parquet_bytes"),
    Format.HTML: _writer("text_files", "html_text"),
}

"""Formats of the tables that skylike writes, and how the name of a file tells them."""

import gzip
import shutil
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import Final

from skylike.errors import SettingsError
from skylike.files import replaced_file


class Format(StrEnum):
    """The formats of a table."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    FITS = "fits"
    VOTABLE = "votable"
    PARQUET = "parquet"
    HTML = "html"


EXTENSIONS: Final = {
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".fits": Format.FITS,
    ".fit": Format.FITS,
    ".vot": Format.VOTABLE,
    ".votable": Format.VOTABLE,
    ".xml": Format.VOTABLE,
    ".parquet": Format.PARQUET,
    ".html": Format.HTML,
    ".txt": Format.TABLE,
}
"""Format of a file, by its extension."""

STANDARD_OUTPUT: Final = Path("-")
"""An output that means standard output."""

_GZIP: Final = ".gz"
_GZIPPED: Final = frozenset({Format.CSV, Format.JSON, Format.FITS, Format.VOTABLE})
"""Formats that pandas, astropy and TOPCAT read when compressed; Parquet compresses by itself."""


def choose_format(
    output: Path | None,
    given: str | None = None,
    *,
    among: Collection[Format] = tuple(Format),
    option: str = "",
) -> Format:
    """Tell the format of an output by the extension of its name and what the user gave.

    Parameters
    ----------
    output
        A file; None or ``-`` is standard output. ``.gz`` behind another extension compresses.
    given
        A format, which the extension must not contradict, or None. It is needed only for a file
        without extension; standard output is a table or CSV without it, as ``among`` allows.
    among
        Formats that can be written here.
    option
        How the message names the file: ``--output `` on a command line.

    Raises
    ------
    SettingsError
        No such format, an extension that tells none, or a format that contradicts it.
    """
    wanted = None if given is None else _named(given, among)
    if output is None or output == STANDARD_OUTPUT:
        plain = Format.TABLE if Format.TABLE in among else Format.CSV
        return plain if wanted is None else wanted
    told = _told(output, among)
    if told is None and not output.suffix and wanted is not None:
        return wanted
    if told is None:
        known = ", ".join(name for name, form in EXTENSIONS.items() if form in among)
        raise SettingsError(f"{option}{output}: the extension tells no format; use {known}")
    if wanted is not None and wanted is not told:
        raise SettingsError(
            f"{option}{output}: the extension says {told}, the format is {wanted}; "
            "make them agree or leave out the format"
        )
    return told


def check_folder(output: Path, *, option: str = "") -> None:
    """Find out before long work that a file cannot be written where its name says.

    Raises
    ------
    SettingsError
        It is a folder, or in one that is not there.
    """
    if output.is_dir() or not output.parent.is_dir():
        raise SettingsError(
            f"{option}{output}: cannot be written; name a file in a folder that exists"
        )


def is_gzipped(output: Path) -> bool:
    """Tell whether the name of a file asks for compression."""
    return output.suffix.lower() == _GZIP


def compress_file(path: Path) -> None:
    """Replace a file by itself compressed; the same content makes the same bytes."""
    with (
        replaced_file(path) as part,
        path.open("rb") as plain,
        part.open("wb") as sink,
        gzip.GzipFile("", "wb", fileobj=sink, mtime=0) as packed,
    ):
        shutil.copyfileobj(plain, packed)


def _named(given: str, among: Collection[Format]) -> Format:
    if given not in among:
        raise SettingsError(f"there is no format {given}; choose one of {', '.join(among)}")
    return Format(given)


def _told(output: Path, among: Collection[Format]) -> Format | None:
    plain = output.with_suffix("") if is_gzipped(output) else output
    form = EXTENSIONS.get(plain.suffix.lower())
    if form not in among or (is_gzipped(output) and form not in _GZIPPED):
        return None
    return form

"""Open a catalog table of any format: a path in, the tables in it out."""

import bz2
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from skylike.errors import SurveyFileError
from skylike.files import is_utf8
from skylike.survey.batches import SurveyTable

FORMATS: Final = ("fits", "hdf5", "votable", "ecsv", "parquet", "csv", "tsv")
"""Names of the formats that :func:`open_tables` reads."""

_EXTENSIONS: Final = {
    ".fits": "fits",
    ".fit": "fits",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".ecsv": "ecsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
}

_SIGNATURES: Final = (
    (b"SIMPLE  =", "fits"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"PAR1", "parquet"),
    (b"# %ECSV", "ecsv"),
    (b"<VOTABLE", "votable"),
    (b"<?xml", "votable"),
)

_COMPRESSED: Final[dict[str, Callable[..., object]]] = {".gz": gzip.open, ".bz2": bz2.open}


def open_tables(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002 - as the option
    way_out: str = "",
) -> Sequence[SurveyTable]:
    """Read what columns a file has; rows are read later, in batches.

    Parameters
    ----------
    format
        One of :data:`FORMATS`, or None to tell by content and extension.
    way_out
        What else a user can do about a format that is not told, such as naming it by an option.

    Returns
    -------
    sequence
        Every table of a FITS or VOTable file, in order; the one table of other formats.

    Raises
    ------
    SurveyFileError
        The file is missing, unreadable, truncated, or holds no table.
    """
    if not path.exists():
        raise SurveyFileError(f"{path}: there is no such file; check the name")
    if not is_utf8(path):
        raise SurveyFileError(f"{path}: the name is not UTF-8; rename it")
    if path.is_dir():
        raise SurveyFileError(f"{path} is a folder; give the catalog files in it")
    name = format or detect_format(path, way_out=way_out)
    return _reader(name)(path)


def _reader(name: str) -> Callable[[Path], Sequence[SurveyTable]]:
    # Imported here: each reader brings a library that others do not need.
    if name == "fits":
        from skylike.survey.fits_catalog import open_fits as opener  # noqa: PLC0415
    elif name == "hdf5":
        from skylike.survey.hdf5_catalog import open_hdf5 as opener  # noqa: PLC0415
    elif name == "parquet":
        from skylike.survey.parquet_catalog import open_parquet as opener  # noqa: PLC0415
    elif name == "votable":
        from skylike.survey.whole_tables import open_votable as opener  # noqa: PLC0415
    elif name == "ecsv":
        from skylike.survey.whole_tables import open_ecsv as opener  # noqa: PLC0415
    elif name == "tsv":
        from skylike.survey.text_catalog import open_tsv as opener  # noqa: PLC0415
    else:
        from skylike.survey.text_catalog import open_csv as opener  # noqa: PLC0415
    return opener


def detect_format(path: Path, *, way_out: str = "") -> str:
    """Tell the format of a file by its first bytes, and of plain text by its extension.

    Raises
    ------
    SurveyFileError
        It is empty, unreadable, or none of ours.
    """
    stem = path
    opener = _COMPRESSED.get(path.suffix.lower(), open)
    if path.suffix.lower() in _COMPRESSED:
        stem = path.with_suffix("")
    try:
        with opener(path, "rb") as file:
            start = file.read(4096)
    except (OSError, EOFError) as error:
        raise SurveyFileError(f"{path}: cannot be read ({error})") from error
    if not start:
        raise SurveyFileError(f"{path}: the file is empty")
    for signature, name in _SIGNATURES:
        if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(signature):
            return name
    by_extension = _EXTENSIONS.get(stem.suffix.lower())
    if by_extension in {"csv", "tsv"} and b"\x00" not in start:
        return by_extension
    if by_extension is not None:
        raise SurveyFileError(
            f"{path}: the content is not {by_extension.upper()}, as its name says; "
            f"download it again{way_out}"
        )
    raise SurveyFileError(
        f"{path}: this kind of file is not known; let its name end in what it is, one of "
        f"{', '.join(_EXTENSIONS)}{way_out}"
    )

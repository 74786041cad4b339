"""Folders and tars of JPEG or PNG pictures, and the CSV that says where on the sky they are."""

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from skylike.errors import ImageFileError
from skylike.images.inputs import TAR_SUFFIXES, ImageInput
from skylike.images.pictures import MAX_PICTURE_BYTES, PICTURE_SUFFIXES
from skylike.images.rows import UNKNOWN_ID

COLUMN_NAMES = {
    "file": ("file", "filename", "file_name", "image"),
    "ra": ("ra", "ra_deg"),
    "dec": ("dec", "dec_deg"),
    "id": ("object_id", "id"),
    "label": ("label", "class"),
    "pixel_scale": ("pixel_scale", "pixscale"),
}
"""Our name of a column of the CSV and what it may be called there, in any case."""


@dataclass(frozen=True)
class Entry:
    """What the CSV says of one picture.

    Attributes
    ----------
    ra, dec
        ICRS degrees, both NaN where unknown.
    object_id
        Identifier in the survey, or ``UNKNOWN_ID``.
    pixel_scale
        Arcsec per pixel, None where unknown.
    """

    ra: float = float("nan")
    dec: float = float("nan")
    object_id: int = UNKNOWN_ID
    label: str = ""
    pixel_scale: float | None = None


@dataclass(frozen=True)
class Listing:
    """A CSV of pictures.

    Attributes
    ----------
    entries
        By the name in the column ``file``.
    notes
        What was ignored or is doubtful, a sentence each.
    """

    entries: dict[str, Entry]
    notes: tuple[str, ...]

    def find(self, name: str) -> Entry | None:
        """Return the entry of a picture by its relative path, or else by its bare file name."""
        return self.entries.get(name) or self.entries.get(PurePosixPath(name).name)


def read_listing(path: Path) -> Listing:
    """Read the CSV of a folder or tar of pictures.

    Raises
    ------
    ImageFileError
        It cannot be read, is empty, or has no column ``file``, or only one of ra and dec.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError as error:
        raise ImageFileError(f"{path}: is empty; a column `file` is needed") from error
    except (OSError, ValueError) as error:
        raise ImageFileError(
            f"{path}: not a readable CSV ({' '.join(str(error).split())})"
        ) from error
    lower = {str(name).strip().lower(): str(name) for name in table.columns}
    chosen = {
        ours: lower[name]
        for ours, names in COLUMN_NAMES.items()
        for name in reversed(names)
        if name in lower
    }
    if "file" not in chosen:
        raise ImageFileError(
            f"{path}: has no column `file`; its columns are {', '.join(lower) or 'none'}"
        )
    if ("ra" in chosen) != ("dec" in chosen):
        raise ImageFileError(f"{path}: has only one of the columns ra and dec; both are needed")
    if table.empty:
        raise ImageFileError(f"{path}: lists no pictures")
    return _listing(path, table, chosen)


def _listing(path: Path, table: pd.DataFrame, chosen: dict[str, str]) -> Listing:
    notes = []
    ignored = [str(name) for name in table.columns if name not in chosen.values()]
    if ignored:
        notes.append(f"{path.name}: columns not used: {', '.join(ignored)}")
    numbers = {
        ours: pd.to_numeric(table[chosen[ours]], errors="coerce").to_numpy(dtype=np.float64)
        for ours in ("ra", "dec", "pixel_scale")
        if ours in chosen
    }
    unknown = np.full(len(table), np.nan)
    ra, dec = numbers.get("ra", unknown), numbers.get("dec", unknown)
    on_sky = np.isfinite(ra) & (np.abs(dec) <= 90)
    if "ra" in chosen and not on_sky.all():
        notes.append(f"{path.name}: {int((~on_sky).sum())} rows without a possible position")
    ids, bad_ids = _identifiers(table, chosen)
    if bad_ids:
        notes.append(f"{path.name}: {bad_ids} identifiers are no integers and are not used")
    labels = table[chosen["label"]].tolist() if "label" in chosen else [""] * len(table)
    scale = numbers.get("pixel_scale", unknown)
    files = table[chosen["file"]].str.strip().str.removeprefix("./")
    entries: dict[str, Entry] = {}
    for i, file in enumerate(files):
        known = bool(on_sky[i])
        entries.setdefault(
            file,
            Entry(
                ra=float(ra[i]) % 360 if known else float("nan"),
                dec=float(dec[i]) if known else float("nan"),
                object_id=ids[i],
                label=labels[i],
                pixel_scale=float(scale[i]) if scale[i] > 0 else None,
            ),
        )
    if len(entries) < len(table):
        notes.append(
            f"{path.name}: {len(table) - len(entries)} rows name a file again; the first counts"
        )
    return Listing(entries, tuple(notes))


def _identifiers(table: pd.DataFrame, chosen: dict[str, str]) -> tuple[list[int], int]:
    if "id" not in chosen:
        return [UNKNOWN_ID] * len(table), 0
    texts = table[chosen["id"]].str.strip()
    # Read as text: an identifier of 19 digits does not survive a float.
    ids = [
        int(text) if text.isascii() and text.isdecimal() and int(text) < 2**63 else UNKNOWN_ID
        for text in texts
    ]
    return ids, sum(
        found == UNKNOWN_ID and text != "" for found, text in zip(ids, texts, strict=True)
    )


def iter_pictures(source: ImageInput) -> Iterator[tuple[str, bytes | None]]:
    """Read the pictures of a folder or tar one after the other.

    Yields
    ------
    tuple
        Name relative to the folder or within the tar, and the undecoded bytes; None for a file over
        :data:`~skylike.images.pictures.MAX_PICTURE_BYTES`.

    Raises
    ------
    ImageFileError
        The tar is damaged or truncated, or a file cannot be read.
    """
    if not source.root.name.lower().endswith(TAR_SUFFIXES) or source.root.is_dir():
        for file in source.files:
            small = file.stat().st_size <= MAX_PICTURE_BYTES
            yield file.relative_to(source.root).as_posix(), file.read_bytes() if small else None
        return
    try:
        with tarfile.open(source.root, "r:*") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if not member.isfile() or name.name.startswith("."):
                    continue
                if not name.name.lower().endswith(PICTURE_SUFFIXES):
                    continue
                if member.size > MAX_PICTURE_BYTES:
                    yield str(name), None
                    continue
                opened = archive.extractfile(member)
                assert opened is not None  # noqa: S101 - a regular file opens
                yield str(name), opened.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ImageFileError(
            f"{source.root}: not a readable tar ({error}); refused whole: fetch it again"
        ) from error

"""FITS cutouts and pictures into one HDF5 file of cutouts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skylike.bands import PIXEL_SCALE_ARCSEC
from skylike.errors import ImageFileError
from skylike.images.cubes import read_cube
from skylike.images.folders import Entry, Listing, iter_pictures, read_listing
from skylike.images.inputs import ImageInput
from skylike.images.pictures import MAX_PICTURE_BYTES, decode_picture
from skylike.images.rows import CutoutRows
from skylike.images.writer import CutoutWriter
from skylike.progress import SILENT, Progress

_PICTURES_AT_ONCE = 256
"""Pictures decoded before they are written: 18 MB."""


@dataclass(frozen=True)
class Converted:
    """An HDF5 file that was written, and what could not go into it.

    Attributes
    ----------
    path
        The file; it does not exist where there are no rows.
    refused
        Files left out, a sentence each.
    notes
        What else should be known, a sentence each.
    """

    path: Path
    rows: CutoutRows
    pixel_scale: float | None
    refused: tuple[str, ...]
    notes: tuple[str, ...] = ()


def convert_cubes(source: ImageInput, path: Path, *, progress: Progress = SILENT) -> Converted:
    """Resample FITS cutouts to 0.262 arcsec/pix and write them to ``path``."""
    writer = CutoutWriter(path, kind="flux", origin=source.origin, pixel_scale=PIXEL_SCALE_ARCSEC)
    with (
        writer,
        progress.task("Read FITS cutouts", total=len(source.files), unit="files") as task,
    ):
        for file in source.files:
            task.advance()
            try:
                cube = read_cube(file)
            except ImageFileError as error:
                writer.refuse(str(error))
                continue
            writer.append(
                cube.pixels[None],
                names=[file.relative_to(source.root).as_posix()],
                positions=[(cube.ra, cube.dec)],
            )
    return Converted(path, writer.rows(), PIXEL_SCALE_ARCSEC, writer.refused)


@dataclass(frozen=True)
class _Decoded:
    name: str
    entry: Entry
    pixels: npt.NDArray[np.uint8]


def convert_pictures(source: ImageInput, path: Path, *, progress: Progress = SILENT) -> Converted:
    """Bring the pictures of a folder or tar to 152 x 152 and write them to ``path``.

    Raises
    ------
    ImageFileError
        The CSV or the tar cannot be read; nothing is written then.
    """
    listing = read_listing(source.listing) if source.listing is not None else Listing({}, ())
    scales: set[float | None] = set()
    seen: set[str] = set()
    total = len(source.files) if source.root.is_dir() else len(listing.entries) or None
    # Color pictures have no pixel scale of their own unless the CSV gives one to every picture.
    writer = CutoutWriter(path, kind="rgb", origin=source.origin, pixel_scale=None)
    with writer, progress.task("Read pictures", total=total, unit="pictures") as task:
        batch: list[_Decoded] = []
        for decoded in _decode_all(source, listing, writer):
            task.advance()
            scales.add(decoded.entry.pixel_scale)
            seen.add(decoded.name)
            batch.append(decoded)
            if len(batch) == _PICTURES_AT_ONCE:
                _write(writer, batch)
                batch = []
        if batch:
            _write(writer, batch)
    scale = PIXEL_SCALE_ARCSEC if scales and None not in scales else None
    notes = (*listing.notes, *_missing(source, listing, seen, n_refused=len(writer.refused)))
    return Converted(path, writer.rows(), scale, writer.refused, notes)


def _decode_all(source: ImageInput, listing: Listing, writer: CutoutWriter) -> Iterator[_Decoded]:
    for name, data in iter_pictures(source):
        entry = listing.find(name) or Entry()
        place = f"{source.root}: {name}" if not source.root.is_dir() else str(source.root / name)
        if data is None:
            writer.refuse(f"{place}: is over {MAX_PICTURE_BYTES // 10**6} MB; make it smaller")
            continue
        try:
            pixels = decode_picture(data, name=place, pixel_scale=entry.pixel_scale)
        except ImageFileError as error:
            writer.refuse(str(error))
            continue
        yield _Decoded(name, entry, pixels)


def _write(writer: CutoutWriter, batch: list[_Decoded]) -> None:
    writer.append(
        np.stack([decoded.pixels for decoded in batch]),  # (b, 3, 152, 152)
        names=[decoded.name for decoded in batch],
        positions=[(decoded.entry.ra, decoded.entry.dec) for decoded in batch],
        object_ids=[decoded.entry.object_id for decoded in batch],
        labels=[decoded.entry.label for decoded in batch],
    )


def _missing(
    source: ImageInput, listing: Listing, seen: set[str], *, n_refused: int
) -> Iterator[str]:
    if source.listing is None:
        yield f"{source.origin}: no CSV is there, so no positions are known"
        return
    bare = {name.rpartition("/")[2] for name in seen}
    absent = sum(name not in seen and name not in bare for name in listing.entries) - n_refused
    if absent > 0:
        yield f"{source.listing.name}: {absent:,} files in it are not among the pictures"
    unlisted = sum(listing.find(name) is None for name in seen)
    if unlisted:
        yield f"{source.listing.name}: {unlisted:,} pictures are not in it"

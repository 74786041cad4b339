"""Images out of files, without a database: what ``encoder train --images`` trains on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skylike.catalog.photometry import numbers, without_sentinels
from skylike.errors import SurveyFileError
from skylike.images.convert import convert_cubes, convert_pictures
from skylike.images.hdf5 import describe_images, measure_coverage, read_texts
from skylike.images.index import NO_GALAXY, CutoutFile, CutoutIndex
from skylike.images.inputs import ImageInput, InputKind
from skylike.images.publish import cutout_path
from skylike.images.read import FLUX_BANDS, open_images
from skylike.progress import SILENT, Progress
from skylike.survey.column_names import guess_columns
from skylike.survey.hdf5_catalog import open_hdf5

_MEASURED = ("ebv", *(f"psf_size_{band}" for band in FLUX_BANDS))
"""What augmentations want to know of an object."""


@dataclass(frozen=True)
class ImageSource:
    """One input and what it gave."""

    name: str
    """File or folder name, without the path to it."""

    kind: str
    """``"flux"`` or ``"rgb"``."""

    images: int
    """Images with at least one observed pixel."""


@dataclass(frozen=True)
class ImageFiles:
    """The images of several inputs, in their order."""

    index: CutoutIndex
    """They belong to no galaxy; their identifiers count from 1."""

    sources: tuple[ImageSource, ...]

    refused: tuple[str, ...]
    """Files left out, a sentence each."""

    notes: tuple[str, ...]
    """What else should be known, a sentence each."""


@dataclass(frozen=True)
class _Part:
    source: ImageSource
    file: CutoutFile | None
    """None where no image of the input could be used."""

    file_row: npt.NDArray[np.int32]  # (n,)
    measured: npt.NDArray[np.float32]  # (n, 4), as _MEASURED
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_image_files(
    inputs: Sequence[ImageInput], folder: Path, *, progress: Progress = SILENT
) -> ImageFiles:
    """Index the images of some inputs.

    HDF5 files are used where they are; their E(B-V) and PSF sizes are read if they have them. FITS
    cutouts and pictures are brought to 152 x 152 and written as HDF5.

    Parameters
    ----------
    inputs
        From :func:`skylike.images.inputs.find_inputs`.
    folder
        Where HDF5 files are written. What a run before this one made of the same inputs is used
        again.

    Raises
    ------
    ImageFileError
        An HDF5 file, a tar or the CSV of pictures cannot be read.
    SettingsError
        The disk is full.
    """
    parts = [
        _read_input(number, source, folder, progress)
        for number, source in enumerate(inputs, start=1)
    ]
    return ImageFiles(
        index=_join(parts),
        sources=tuple(part.source for part in parts),
        refused=tuple(sentence for part in parts for sentence in part.refused),
        notes=tuple(sentence for part in parts for sentence in part.notes),
    )


def _read_input(number: int, source: ImageInput, folder: Path, progress: Progress) -> _Part:
    if source.kind is InputKind.HDF5:
        return _read_hdf5(number, source, source.root, progress)
    path = cutout_path(folder, Path(source.origin).name, source.fingerprint())
    notes: tuple[str, ...] = ()
    if not path.exists():
        convert = convert_cubes if source.kind is InputKind.FITS else convert_pictures
        converted = convert(source, path, progress=progress)
        if not len(converted.rows):
            kind = "flux" if source.kind is InputKind.FITS else "rgb"
            return _Part(
                ImageSource(source.root.name, kind, 0),
                None,
                np.empty(0, np.int32),
                np.empty((0, len(_MEASURED)), np.float32),
                converted.refused,
                converted.notes,
            )
        notes = converted.notes
    part = _read_hdf5(number, source, path, progress)
    return replace(part, notes=notes)


def _read_hdf5(number: int, source: ImageInput, path: Path, progress: Progress) -> _Part:
    with open_images(path) as opened:
        kind, bands, size_pix, pixel_scale = describe_images(opened)
        refused = tuple(read_texts(opened, "refused"))
    coverage = measure_coverage(path, kind=kind, bands=bands, progress=progress)  # (n, 3)
    rows = np.flatnonzero((coverage > 0).any(axis=1)).astype(np.int32)
    measured, notes = _read_measured(path, len(coverage))
    return _Part(
        ImageSource(source.root.name, kind, len(rows)),
        CutoutFile(number, path, kind, bands, size_pix, pixel_scale),
        rows,
        measured[rows],
        refused,
        notes,
    )


def _read_measured(path: Path, n: int) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """Read E(B-V) and PSF sizes (n, 4) of an HDF5 file by the names that catalogs have for them."""
    measured = np.full((n, len(_MEASURED)), np.nan, dtype=np.float32)
    unknown = (f"{path.name}: E(B-V) and PSF sizes are not in it and are drawn",)
    try:
        (table,) = open_hdf5(path)
        columns = guess_columns(table.columns, {}).columns
        chosen = {ours: columns[ours] for ours in _MEASURED if ours in columns}
        if table.n_rows != n or not chosen:
            return measured, unknown
        start = 0
        for batch in table.read(list(chosen.values())):
            rows = slice(start, start + batch.n_rows)
            for ours, theirs in chosen.items():
                values = without_sentinels(numbers(batch.columns[theirs]))
                is_possible = values >= 0 if ours == "ebv" else values > 0
                measured[rows, _MEASURED.index(ours)] = np.where(is_possible, values, np.nan)
            start += batch.n_rows
    except SurveyFileError:
        return measured, unknown
    return measured, ()


def _join(parts: Sequence[_Part]) -> CutoutIndex:
    n = sum(len(part.file_row) for part in parts)
    none = np.empty((0, len(_MEASURED)), np.float32)
    measured = np.concatenate([none, *(part.measured for part in parts)])  # (n, 4)
    file_id = [
        np.full(len(part.file_row), part.file.file_id, np.int32)
        for part in parts
        if part.file is not None
    ]
    return CutoutIndex(
        cutout_id=np.arange(1, n + 1, dtype=np.int32),
        galaxy_id=np.full(n, NO_GALAXY, dtype=np.int32),
        file_id=np.concatenate([np.empty(0, np.int32), *file_id]),
        file_row=np.concatenate([np.empty(0, np.int32), *(part.file_row for part in parts)]),
        ebv=measured[:, 0].copy(),
        psf_size=measured[:, 1:].copy(),
        files={part.file.file_id: part.file for part in parts if part.file is not None},
    )

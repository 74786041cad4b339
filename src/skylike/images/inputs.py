"""What a user named on the command line, sorted into inputs that are each added whole."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from skylike.errors import ImageFileError
from skylike.files import is_utf8
from skylike.images.fits_images import FITS_SUFFIXES, is_table
from skylike.images.pictures import HDF5_SUFFIXES, PICTURE_SUFFIXES

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
"""Endings of archives of pictures, in lower case."""


class InputKind(StrEnum):
    """How an input is read."""

    HDF5 = "HDF5"
    FITS = "FITS cutouts"
    PICTURES = "pictures"


@dataclass(frozen=True)
class ImageInput:
    """One input: an HDF5 file, FITS cutouts that lie together, or a folder or tar of pictures.

    Attributes
    ----------
    origin
        Its name, by which it is recognized when it is added again.
    files
        FITS files; pictures of a folder; the one HDF5 or tar file.
    root
        Folder that the pictures' names are relative to, or the file itself.
    listing
        CSV of pictures, None where there is none.
    """

    kind: InputKind
    origin: str
    files: tuple[Path, ...]
    root: Path
    listing: Path | None = None

    def fingerprint(self, *options: str) -> str:
        """Hash names, sizes and times of the files, and the options that they are added with."""
        files = (*self.files, *([self.listing] if self.listing else []))
        return fingerprint_of(files, "\0".join(options).encode())


def fingerprint_of(files: Iterable[Path], *others: bytes) -> str:
    """Hash the names, sizes and times of files, and what else their outcome depends on."""
    digest = hashlib.sha256()
    for file in files:
        state = file.stat()
        digest.update(os.fsencode(file))
        digest.update(f"\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    for other in others:
        digest.update(other)
    return digest.hexdigest()


def find_inputs(paths: Sequence[Path], *, listing: Path | None = None) -> list[ImageInput]:
    """Sort paths into inputs.

    Parameters
    ----------
    paths
        Files and folders. A folder gives what it holds, at any depth: its HDF5 files, its FITS
        images together (FITS tables are passed over), its pictures together. FITS files of one
        folder named one by one are one input.
    listing
        CSV of the pictures; None looks for one beside a tar or folder (same name) or in the folder
        (the only one).

    Raises
    ------
    ImageFileError
        A path does not exist, is of no known format, or holds no images.
    """
    if listing is not None and not listing.is_file():
        raise ImageFileError(f"{listing}: there is no such file; --csv names the list of pictures")
    inputs: list[ImageInput] = []
    loose: dict[Path, list[Path]] = {}
    for path in (path.expanduser().resolve() for path in paths):
        if not path.exists():
            raise ImageFileError(f"{path}: there is no such file or folder")
        if not is_utf8(path):
            raise ImageFileError(f"{path}: the name is not UTF-8; rename it")
        if path.is_dir():
            inputs += _folder_inputs(path, listing)
        elif path.name.lower().endswith(FITS_SUFFIXES):
            loose.setdefault(path.parent, []).append(path)
        else:
            inputs.append(_file_input(path, listing))
    for folder, files in loose.items():
        inputs.append(_loose_fits(folder, tuple(sorted(set(files)))))
    if listing is not None and not any(i.kind is InputKind.PICTURES for i in inputs):
        raise ImageFileError(f"{listing}: --csv lists pictures, but none are given; leave it out")
    return inputs


def _file_input(path: Path, listing: Path | None) -> ImageInput:
    name = path.name.lower()
    if name.endswith(HDF5_SUFFIXES):
        return ImageInput(InputKind.HDF5, str(path), (path,), path)
    if name.endswith(TAR_SUFFIXES):
        stem = path.name[: -len(next(s for s in TAR_SUFFIXES if name.endswith(s)))]
        found = listing or _existing(path.with_name(stem + ".csv"))
        return ImageInput(InputKind.PICTURES, str(path), (path,), path, found)
    if name.endswith(PICTURE_SUFFIXES):
        raise ImageFileError(f"{path}: is a single picture; give its folder, or a tar, with a CSV")
    raise ImageFileError(
        f"{path}: not a known format; give HDF5, FITS cutouts, or a folder or tar of JPEG/PNG"
    )


def _loose_fits(folder: Path, files: tuple[Path, ...]) -> ImageInput:
    if len(files) == 1:
        return ImageInput(InputKind.FITS, str(files[0]), files, folder)
    names = hashlib.sha256(b"\0".join(os.fsencode(file.name) for file in files)).hexdigest()[:8]
    origin = f"{folder} ({len(files)} files, {names})"
    return ImageInput(InputKind.FITS, origin, files, folder)


def _folder_inputs(folder: Path, listing: Path | None) -> list[ImageInput]:
    files = sorted(_visible_files(folder))
    inputs = [
        ImageInput(InputKind.HDF5, str(file), (file,), file)
        for file in files
        if file.name.lower().endswith(HDF5_SUFFIXES)
    ]
    # Catalogs often lie beside cutouts. What cannot be read is kept, to be refused by name.
    cubes = tuple(
        file for file in files if file.name.lower().endswith(FITS_SUFFIXES) and not is_table(file)
    )
    if cubes:
        inputs.append(ImageInput(InputKind.FITS, str(folder), cubes, folder))
    pictures = tuple(file for file in files if file.name.lower().endswith(PICTURE_SUFFIXES))
    if pictures:
        found = listing or _folder_listing(folder)
        # Its pictures are an input of their own beside the cubes of the same folder.
        origin = f"{folder} (pictures)" if cubes else str(folder)
        inputs.append(ImageInput(InputKind.PICTURES, origin, pictures, folder, found))
    if not inputs:
        raise ImageFileError(f"{folder}: holds no HDF5, FITS, JPEG or PNG files")
    return inputs


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            yield path


def _folder_listing(folder: Path) -> Path | None:
    inside = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv")
    if len(inside) > 1:
        raise ImageFileError(
            f"{folder}: holds {len(inside)} CSV files; say with --csv which lists the pictures"
        )
    return inside[0] if inside else _existing(folder.with_name(folder.name + ".csv"))


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None

"""Images and what is said of them, without a database: read batch by batch and joined."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.errors import ImageFileError
from skylike.evaluation.label_table import LabelTable
from skylike.images.cubes import read_cube
from skylike.images.folders import iter_pictures
from skylike.images.hdf5 import describe_images, read_columns
from skylike.images.inputs import ImageInput, InputKind, find_inputs
from skylike.images.pictures import decode_picture
from skylike.images.read import BLOCK_ROWS, Pixels, open_images, standardize
from skylike.images.rows import UNKNOWN_ID
from skylike.progress import SILENT, Progress

logger = logging.getLogger(__name__)

_PICTURES_AT_ONCE: Final = 256


@dataclass(frozen=True)
class LabeledBatch:
    """Images that have a row in the table.

    Attributes
    ----------
    rows
        (b,) rows of the table.
    pixels
        (b, 3, 152, 152), as :class:`skylike.images.read.PixelBatch` has them.
    kind
        ``"flux"`` or ``"rgb"``.
    """

    rows: npt.NDArray[np.int64]
    pixels: Pixels
    kind: str


@dataclass
class LabeledImages:
    """Images to be read with a table of labels, and the count of what was left out.

    Attributes
    ----------
    inputs
        Where the images are.
    wanted
        (n,) rows of the table that may be used.
    left_out
        Images and rows that do not take part, by reason; complete when all batches were read.
    """

    inputs: Sequence[ImageInput]
    table: LabelTable
    wanted: npt.NDArray[np.bool_]
    left_out: Counter[str] = field(default_factory=Counter)

    def batches(self, *, progress: Progress = SILENT) -> Iterator[LabeledBatch]:
        """Read all images once and yield those that are wanted.

        Raises
        ------
        ImageFileError
            A file cannot be read to its end, or no image has a row in the table.
        """
        seen = np.zeros(len(self.table), dtype=bool)
        with progress.task("Read images", total=int(self.wanted.sum()), unit="images") as task:
            for source in self.inputs:
                for batch in _READERS[source.kind](source, self):
                    kept = self._choose(batch, seen)
                    task.advance(len(kept.rows))
                    if len(kept.rows):
                        yield kept
        self.left_out["rows of the table without an image"] += int((self.wanted & ~seen).sum())
        if not seen.any():
            raise ImageFileError(
                f"{self.table.path}: none of its rows is of an image in "
                f"{', '.join(source.origin for source in self.inputs)}; its column `file`, "
                "`object_id` or `row` must name them"
            )

    def _choose(self, batch: LabeledBatch, seen: npt.NDArray[np.bool_]) -> LabeledBatch:
        found = np.flatnonzero(batch.rows >= 0)  # (f,)
        self.left_out["images that the table does not name"] += len(batch.rows) - len(found)
        found = found[self.wanted[batch.rows[found]]]
        # Of several images of one row the first is taken.
        first = np.zeros(len(found), dtype=bool)
        first[np.unique(batch.rows[found], return_index=True)[1]] = True
        keep = found[first & ~seen[batch.rows[found]]]
        self.left_out["images of a row that has one already"] += len(found) - len(keep)
        seen[batch.rows[keep]] = True
        return LabeledBatch(batch.rows[keep], batch.pixels[keep], batch.kind)

    def refuse(self, reason: str) -> None:
        """Count an image that cannot be read; the log says why."""
        logger.warning("%s", reason)
        self.left_out["images that cannot be read"] += 1


def open_labeled(
    paths: Sequence[Path], table: LabelTable, wanted: npt.NDArray[np.bool_]
) -> LabeledImages:
    """Find the images that a table of labels is about.

    Parameters
    ----------
    paths
        HDF5 files, FITS cutouts, folders or tars of JPEG and PNG.
    wanted
        (n,) rows of the table that may be used.

    Raises
    ------
    ImageFileError
        A path does not exist or holds no images, or the table lacks the column by which those
        images would be found.
    """
    inputs = find_inputs(paths)
    for source in inputs:
        by_file = source.kind is not InputKind.HDF5
        if by_file and "file" not in table.places:
            raise ImageFileError(
                f"{table.path}: has no column `file`, by which the {source.kind} of "
                f"{source.origin} would be found"
            )
    images = LabeledImages(inputs, table, wanted)
    images.left_out["rows of the table that name an image again"] = table.repeated
    return images


def _read_pictures(source: ImageInput, images: LabeledImages) -> Iterator[LabeledBatch]:
    table = images.table
    rows: list[int] = []
    pixels: list[npt.NDArray[np.uint8]] = []
    for name, data in iter_pictures(source):
        row = table.find_file(name)
        if row is None or not images.wanted[row]:  # not decoded for nothing
            images.left_out["images that the table does not name"] += row is None
            continue
        if data is None:
            images.refuse(f"{source.root}: {name} is too large; make it smaller")
            continue
        scale = float(table.pixel_scale[row])
        try:
            decoded = decode_picture(data, name=name, pixel_scale=scale if scale > 0 else None)
        except ImageFileError as error:
            images.refuse(str(error))
            continue
        rows.append(row)
        pixels.append(decoded)
        if len(rows) == _PICTURES_AT_ONCE:
            yield LabeledBatch(np.array(rows), np.stack(pixels), "rgb")
            rows, pixels = [], []
    if rows:
        yield LabeledBatch(np.array(rows), np.stack(pixels), "rgb")


def _read_cubes(source: ImageInput, images: LabeledImages) -> Iterator[LabeledBatch]:
    for file in source.files:
        row = images.table.find_file(file.relative_to(source.root).as_posix())
        if row is None or not images.wanted[row]:
            images.left_out["images that the table does not name"] += row is None
            continue
        try:
            pixels = read_cube(file).pixels
        except ImageFileError as error:
            images.refuse(str(error))
            continue
        yield LabeledBatch(np.array([row]), pixels[None], "flux")


def _read_hdf5(source: ImageInput, images: LabeledImages) -> Iterator[LabeledBatch]:
    with open_images(source.root) as file:
        kind, bands, _, _ = describe_images(file)
        columns = read_columns(file)
        rows = _find_rows(source, columns.object_id, columns.name, images)
        stored = file["images"]
        for start in range(0, len(rows), BLOCK_ROWS):
            block = slice(start, min(start + BLOCK_ROWS, len(rows)))
            pixels = standardize(stored[block], kind=kind, bands=bands)
            yield LabeledBatch(rows[block], pixels, kind)


def _find_rows(
    source: ImageInput,
    object_ids: npt.NDArray[np.int64],
    names: npt.NDArray[np.str_],
    images: LabeledImages,
) -> npt.NDArray[np.int64]:
    """Return the row of the table of each image of an HDF5 file, -1 where there is none: (n,)."""
    places = images.table.places
    known = object_ids != UNKNOWN_ID
    if "id" in places and known.any():
        by_id = places["id"]
        return np.array(
            [by_id.get(str(i), -1) if i != UNKNOWN_ID else -1 for i in object_ids], dtype=np.int64
        )
    if "row" in places:
        if sum(other.kind is InputKind.HDF5 for other in images.inputs) > 1:
            raise ImageFileError(
                f"{images.table.path}: numbers rows, but there are several HDF5 files; give one "
                "file, or a column `object_id`"
            )
        return np.array(
            [places["row"].get(str(i), -1) for i in range(len(object_ids))], dtype=np.int64
        )
    by_name = {**places.get("id", {}), **places.get("file", {})}
    found = np.array([by_name.get(str(name), -1) for name in names], dtype=np.int64)
    if len(found) and (found < 0).all():
        raise ImageFileError(
            f"{images.table.path}: no row names an image of {source.origin}; a column `object_id` "
            "or `row` (from 0) must say which image a row is of"
        )
    return found


_READERS: Final = {
    InputKind.PICTURES: _read_pictures,
    InputKind.FITS: _read_cubes,
    InputKind.HDF5: _read_hdf5,
}

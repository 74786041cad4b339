"""What is known of the cutouts of one input beside their pixels, as arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UNKNOWN_ID = -1
"""``object_id`` of a cutout that names no object."""


@dataclass(frozen=True)
class CutoutRows:
    """Cutouts of one file, one entry each.

    Attributes
    ----------
    file_row
        (n,) int32, row in the dataset ``images``.
    name
        (n,) str, a file name or an identifier.
    ra, dec
        (n,) float64, ICRS degrees, NaN where unknown.
    object_id
        (n,) int64, identifier in the survey, :data:`UNKNOWN_ID` where there is none.
    coverage
        (n, 3) float32, fraction of pixels observed in g, r, z or R, G, B.
    """

    file_row: npt.NDArray[np.int32]
    name: npt.NDArray[np.str_]
    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    object_id: npt.NDArray[np.int64]
    coverage: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.file_row)

    def take(self, which: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "CutoutRows":
        """Return some of the rows, by positions or a mask."""
        return CutoutRows(
            file_row=self.file_row[which],
            name=self.name[which],
            ra=self.ra[which],
            dec=self.dec[which],
            object_id=self.object_id[which],
            coverage=self.coverage[which],
        )


@dataclass(frozen=True)
class FileDescription:
    """What is stored of a file of cutouts.

    Attributes
    ----------
    path
        Absolute path of the HDF5 file.
    origin
        What it was made from; the path itself for a file used in place.
    fingerprint
        Changes when the origin changes.
    bands
        Bands of the planes, in their order.
    pixel_scale
        Arcsec per pixel, None where unknown or varying.
    """

    path: str
    origin: str
    fingerprint: str
    kind: str
    bands: tuple[str, ...]
    n_cutouts: int
    size_pix: int
    pixel_scale: float | None


@dataclass(frozen=True)
class GalaxyPositions:
    """Galaxies to cut out: equal-length arrays, ascending by ``galaxy_id``."""

    galaxy_id: npt.NDArray[np.int32]
    object_id: npt.NDArray[np.int64]
    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]

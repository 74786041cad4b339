"""Where the pixels of cutouts are: what the database knows, as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

NO_GALAXY = -1
"""``galaxy_id`` of a cutout whose position is unknown."""


@dataclass(frozen=True)
class CutoutFile:
    """One HDF5 file of cutouts.

    Attributes
    ----------
    path
        Absolute path of the HDF5 file; its dataset ``images`` holds the pixels.
    kind
        ``"flux"`` (nanomaggies) or ``"rgb"`` (8-bit color).
    bands
        Bands of the planes, in their order.
    size_pix
        Side of the stored images in pixels.
    pixel_scale
        Arcsec per pixel; None where unknown or varying.
    """

    file_id: int
    path: Path
    kind: str
    bands: tuple[str, ...]
    size_pix: int
    pixel_scale: float | None


@dataclass(frozen=True)
class CutoutIndex:
    """Cutouts as equal-length arrays, in the order in which they lie on disk.

    Attributes
    ----------
    cutout_id
        (n,) int32.
    galaxy_id
        (n,) int32, :data:`NO_GALAXY` where the cutout belongs to no galaxy of the catalog.
    file_id
        (n,) int32, keys of ``files``.
    file_row
        (n,) int32, row in the dataset ``images`` of the file.
    ebv
        (n,) float32, Galactic reddening E(B-V) of the galaxy in magnitudes; NaN where unknown.
    psf_size
        (n, 3) float32, FWHM of the PSF in g, r, z in arcsec; NaN where unknown.
    files
        The files named in ``file_id`` (a subset of cutouts may name fewer).
    """

    cutout_id: npt.NDArray[np.int32]
    galaxy_id: npt.NDArray[np.int32]
    file_id: npt.NDArray[np.int32]
    file_row: npt.NDArray[np.int32]
    ebv: npt.NDArray[np.float32]
    psf_size: npt.NDArray[np.float32]
    files: Mapping[int, CutoutFile]

    def __len__(self) -> int:
        return len(self.cutout_id)

    def take(self, positions: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "CutoutIndex":
        """Return the cutouts at these positions (or where a mask is true), in the order given."""
        return CutoutIndex(
            cutout_id=self.cutout_id[positions],
            galaxy_id=self.galaxy_id[positions],
            file_id=self.file_id[positions],
            file_row=self.file_row[positions],
            ebv=self.ebv[positions],
            psf_size=self.psf_size[positions],
            files=self.files,
        )

    def of_kind(self, kind: str) -> npt.NDArray[np.int64]:
        """Return the positions of the cutouts of one kind, ascending: (m,) int64."""
        ids = [file.file_id for file in self.files.values() if file.kind == kind]
        return np.flatnonzero(np.isin(self.file_id, ids))

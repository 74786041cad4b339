"""The image of a galaxy in Python."""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from typing_extensions import override

from skylike.errors import CutoutNotFoundError
from skylike.images.index import CutoutIndex
from skylike.images.read import read_pixels
from skylike.search.pictures import to_color


@dataclass(frozen=True, eq=False, repr=False)
class Cutout:
    """An image of one galaxy; a notebook shows it.

    Attributes
    ----------
    galaxy_id
        The galaxy.
    kind
        ``flux`` or ``rgb``.
    pixels
        Of ``flux``: (3, h, w) float32, g r z in nanomaggies, row 0 is south, NaN where not
        observed. Of ``rgb``: (3, h, w) uint8, R G B, row 0 is the top.
    """

    galaxy_id: int
    kind: str
    pixels: npt.NDArray[np.float32] | npt.NDArray[np.uint8]

    def to_image(self) -> Image.Image:
        """Return it in color; fluxes are rendered as by the Legacy Surveys' viewer, north up."""
        return Image.fromarray(to_color(self.pixels, self.kind))

    @override
    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.pixels.shape))
        return f"<Cutout of galaxy {self.galaxy_id}: {self.kind}, {shape} {self.pixels.dtype}>"

    def _repr_png_(self) -> bytes:
        sink = io.BytesIO()
        self.to_image().save(sink, format="PNG")
        return sink.getvalue()


def read_cutout(index: CutoutIndex, galaxy_id: int) -> Cutout:
    """Read the first cutout of an index, which is of this galaxy.

    Raises
    ------
    CutoutNotFoundError
        The index is empty.
    ImageFileError
        The file is gone or damaged.
    """
    if not len(index):
        raise CutoutNotFoundError(
            f"galaxy {galaxy_id} has no image; add one with `skylike images add`"
        )
    batch = read_pixels(index, [0])
    return Cutout(galaxy_id, batch.kind, batch.pixels[0])

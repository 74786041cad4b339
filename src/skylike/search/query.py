"""What is asked: examples, a cut, a cone and how many; checked, nothing looked up yet."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.bands import CROP_SIZE_PIX, PIXEL_SCALE_ARCSEC
from skylike.cuts.coordinates import Cone, Position
from skylike.errors import InputFileError, SettingsError
from skylike.search.position_table import PositionTable

MAX_K: Final = 10_000
"""Most results of one search: beyond it, a table of everything that matches serves better."""

MIN_SEPARATION_ARCSEC: Final = CROP_SIZE_PIX * PIXEL_SCALE_ARCSEC
"""25.152 arcsec, the side of what the encoder sees: nearer, two cutouts show the same sky."""

POSITION_LIMIT_ARCSEC: Final = 5.0
"""A galaxy farther than this from a given position is taken for another one (5 seeing disks)."""


@dataclass(frozen=True, eq=False)
class Query:
    """One composite query, of at least one example; several are combined.

    Attributes
    ----------
    galaxies
        Galaxy identifiers.
    positions
        Sky positions, ICRS; each stands for the nearest galaxy with an embedding.
    images
        Picture files, as :func:`skylike.images.pictures.read_picture` takes them.
    vectors
        Raw vectors (d,), of any length above zero, finite.
    where
        A cut as it was typed, or None.
    cone
        A region of the sky, or None.
    k
        How many galaxies are wanted, 1 to :data:`MAX_K`.
    least_similar
        Rank from the least similar instead.
    min_separation
        Results nearer than this (arcsec) to the query or to a better kept result are dropped; 0
        keeps all.
    position_limit
        Farthest that the galaxy of a position may lie from it, arcsec.
    invert_pictures
        Let an encoder that sees fluxes take color pictures, approximately.
    rejects
        Galaxies that the answer should be unlike; no result is one of them.
    position_table
        A table of positions, whose nearest galaxies are examples; rows without one are told.
    offset
        How many results of this query come before the first of this page.
    fast
        Accept an approximate answer where that is faster.
    definitions
        Columns for the cut of this query only, each ``g_r = mag_g - mag_r``.
    """

    galaxies: tuple[int, ...] = ()
    positions: tuple[Position, ...] = ()
    images: tuple[Path, ...] = ()
    vectors: tuple[npt.NDArray[np.floating], ...] = ()
    where: str | None = None
    cone: Cone | None = None
    k: int = 10
    least_similar: bool = False
    min_separation: float = MIN_SEPARATION_ARCSEC
    position_limit: float = POSITION_LIMIT_ARCSEC
    invert_pictures: bool = False
    rejects: tuple[int, ...] = ()
    position_table: PositionTable | None = None
    offset: int = 0
    fast: bool = False
    definitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = (self.galaxies, self.positions, self.images, self.vectors)
        if not any(map(len, given)) and self.position_table is None:
            raise SettingsError(
                "nothing to search by; name an example: a galaxy, a position, a table of "
                "positions, an image or a vector"
            )
        check_page(self.k, self.offset)
        both = sorted(set(self.galaxies) & set(self.rejects))
        if both:
            raise SettingsError(
                f"galaxy {both[0]} is given both as an example and as a reject; drop one of them"
            )
        check_separation(self.min_separation)
        if not (math.isfinite(self.position_limit) and 0 < self.position_limit <= 3600):
            raise SettingsError(
                f"position_limit={self.position_limit:g} is not an angle above 0, up to 3600 arcsec"
            )

    @property
    def reach(self) -> int:
        """How many results are ranked: this page and all before it."""
        return self.offset + self.k


def check_page(k: int, offset: int) -> None:
    """Check how many results are wanted, and how many come before them.

    Raises
    ------
    SettingsError
        Together they are not 1 to :data:`MAX_K`.
    """
    if not 1 <= k <= MAX_K:
        raise SettingsError(f"k={k} is out of range; ask for 1 to {MAX_K} galaxies")
    if offset < 0 or k + offset > MAX_K:
        raise SettingsError(
            f"offset={offset} is out of range; with k={k} it may be 0 to {MAX_K - k}"
        )


def check_separation(min_separation: float) -> None:
    """Check a least separation in arcsec.

    Raises
    ------
    SettingsError
        It is no angle on the sky.
    """
    if not (math.isfinite(min_separation) and 0 <= min_separation <= 648_000):
        raise SettingsError(
            f"min_separation={min_separation:g} is not an angle from 0 to 648000 arcsec; "
            "0 keeps results however near they are"
        )


def read_vectors(path: Path) -> tuple[npt.NDArray[np.floating], ...]:
    """Read the raw vectors of a NumPy file: one (d,) or several (n, d).

    Raises
    ------
    InputFileError
        The file is missing, is no .npy file, or holds something else than vectors.
    """
    try:
        # Memory-mapped, so that a truncated or absurdly large file fails before memory does.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError) as error:
        raise InputFileError(
            f"{path}: not a NumPy .npy file of numbers; write one with numpy.save"
        ) from error
    if not isinstance(values, np.ndarray):
        raise InputFileError(f"{path}: holds several arrays; save one vector with numpy.save")
    if not np.issubdtype(values.dtype, np.floating) and not np.issubdtype(values.dtype, np.integer):
        raise InputFileError(f"{path}: holds {values.dtype}, not numbers")
    if values.ndim not in {1, 2} or values.size == 0:
        raise InputFileError(
            f"{path}: has shape {values.shape}; a vector is (d,), several are (n, d)"
        )
    return tuple(np.array(row, dtype=np.float64) for row in np.atleast_2d(values))

"""Words of the Legacy Surveys: vector columns of older files, and what RELEASE says."""

from collections.abc import Mapping
from typing import Final

_DECAM_BANDS: Final = ("u", "g", "r", "i", "z", "y")
"""Order of the six entries of DECAM_* columns (Legacy Surveys DR3 catalog description)."""

_CUTOUT_BANDS: Final = ("g", "r", "z")
"""Order of the three entries of ssl-legacysurvey's columns (README of that project)."""

_DECAM_VECTORS: Final = (
    "decam_flux",
    "decam_flux_ivar",
    "decam_mw_transmission",
    "decam_psfsize",
)
_CUTOUT_VECTORS: Final = ("flux", "flux_ivar", "psfsize", "transmission", "mw_transmission")

_NORTH: Final = frozenset({4000, 6000, 8001, 9011})
_SOUTH: Final = frozenset({3000, 5000, 7000, 8000, 9010, 9012, 10000, 10001})

PHOTSYS_OF_RELEASE: Final[Mapping[int, str]] = {
    **dict.fromkeys(_NORTH, "N"),
    **dict.fromkeys(_SOUTH, "S"),
}
"""RELEASE of the public data releases: N for BASS/MzLS, S for DECam.

Legacy Surveys, "Mapping RELEASE to camera and filters" (legacysurvey.org/release).
"""


SIMULATED_RELEASE: Final = 999
"""RELEASE of what `skylike simulate` draws; that of a data release is above 1000."""


def vector_components(name: str, length: int) -> tuple[str, ...]:
    """Return a scalar column's name for each entry of a vector column; none if it is not known.

    Parameters
    ----------
    name
        Name of the column in the file, of any case.
    length
        Entries of the vector in one row.
    """
    lower = name.lower()
    if lower in _DECAM_VECTORS and length == len(_DECAM_BANDS):
        return tuple(f"{lower}_{band}" for band in _DECAM_BANDS)
    if lower in _CUTOUT_VECTORS and length == len(_CUTOUT_BANDS):
        return tuple(f"{lower}_{band}" for band in _CUTOUT_BANDS)
    return ()


def release_survey(release: int) -> str | None:
    """Return our name for the data release of a RELEASE value: 9010 is ``ls-dr9``."""
    if release == SIMULATED_RELEASE:
        return "simulation"
    if release == SIMULATED_RELEASE:
        return "simulation"
    number = release // 1000
    return f"ls-dr{number}" if 1 <= number <= 99 else None

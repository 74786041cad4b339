"""Observed colors of old and young stars against redshift, before Galactic extinction."""

from typing import Final

import numpy as np

from skylike.simulation.distributions import Floats

_REDSHIFT: Final = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
_OLD_G_R: Final = np.array([0.74, 0.95, 1.24, 1.50, 1.68, 1.75, 1.78, 1.75, 1.70])
_OLD_R_Z: Final = np.array([0.62, 0.70, 0.78, 0.87, 1.00, 1.18, 1.45, 1.70, 1.90])
_YOUNG_G_R: Final = np.array([0.26, 0.34, 0.43, 0.52, 0.58, 0.60, 0.58, 0.54, 0.50])
_YOUNG_R_Z: Final = np.array([0.15, 0.20, 0.25, 0.31, 0.38, 0.46, 0.56, 0.66, 0.72])
"""The red sequence and star-forming disks as the Legacy Surveys see them, AB magnitudes.

Read off the colors of luminous red galaxies and blue spirals in g, r, z; good to 0.1 mag, which is
what a simulation for tests and demonstrations needs: red and blue, redder with distance.
"""

OLD_SCATTER_MAG: Final = 0.04
YOUNG_SCATTER_MAG: Final = 0.10
"""Intrinsic scatter of each color."""


def old_stars(redshift: Floats, rng: np.random.Generator) -> Floats:
    """Flux in g, r and z of old stars relative to their z flux: (n, 3)."""
    return _relative_flux(redshift, (_OLD_G_R, _OLD_R_Z), OLD_SCATTER_MAG, rng)


def young_stars(redshift: Floats, rng: np.random.Generator) -> Floats:
    """Flux in g, r and z of young stars relative to their z flux: (n, 3)."""
    return _relative_flux(redshift, (_YOUNG_G_R, _YOUNG_R_Z), YOUNG_SCATTER_MAG, rng)


def _relative_flux(
    redshift: Floats, tracks: tuple[Floats, Floats], scatter: float, rng: np.random.Generator
) -> Floats:
    g_r, r_z = (
        np.interp(redshift, _REDSHIFT, track) + rng.normal(0, scatter, size=redshift.shape)
        for track in tracks
    )
    magnitude = np.stack([g_r + r_z, r_z, np.zeros_like(r_z)], axis=-1)  # (n, 3)
    return np.asarray(10 ** (-0.4 * magnitude), dtype=np.float64)

"""The photometric bands that a galaxy row has room for, and their constants."""

from typing import Final

BANDS: Final = ("u", "g", "r", "i", "z", "y", "vis", "j", "h")
"""Optical ugrizy (SDSS, Legacy Surveys, Rubin) and Euclid's VIS, Y (as ``y``), J, H."""

EXTINCTION_COEFFICIENT: Final = {
    "u": 3.995,
    "g": 3.214,
    "r": 2.165,
    "i": 1.592,
    "z": 1.211,
    "y": 1.064,
}
"""A_b / E(B-V) for the SFD map, in magnitudes.

Legacy Surveys, "Galactic Extinction Coefficients" of the DR9 catalog description (DECam filters;
Schlafly & Finkbeiner 2011 for a Fitzpatrick 1999 law, R_V = 3.1). g, r, z are the values that the
released code of the paper uses (ssl-legacysurvey, class Reddening: -2.5 times its exponents).
"""

PIXEL_SCALE_ARCSEC: Final = 0.262
"""Pixel scale of Legacy Surveys coadds and our flux cutouts, arcsec/pix (paper, section 2)."""

CUTOUT_SIZE_PIX: Final = 152
"""Side of a cutout in pixels (paper, section 2)."""

CROP_SIZE_PIX: Final = 96
"""Side of what the encoder sees, in pixels (paper, section 2): 25.15 arcsec."""

"""What two views of a galaxy may differ in, as data."""

from dataclasses import dataclass
from typing import Literal

Distribution = Literal["log_normal", "uniform"]
"""What new values are drawn from: the fit to the survey, or evenly between its bounds."""

OwnValues = Literal["known", "drawn"]
"""What an object's own E(B-V) and PSF size are: its catalog's, or drawn like those of others."""


@dataclass(frozen=True)
class AugmentRecipe:
    """What two views of a galaxy may differ in (paper order; gains go with the extinction).

    The constants are in :mod:`skylike.embeddings.augmentation.distributions`. A picture
    (rgb cutout) has no flux: its reddening becomes a change of color at equal brightness, and its
    noise is scaled by the slope that the asinh rendering has at each pixel.
    """

    distribution: Distribution = "log_normal"
    """Of new E(B-V), PSF sizes and noise levels: the log-normal fit (paper), or ``uniform`` between
    the bounds of that fit, 0..1 for E(B-V) (what the released code does unless told otherwise)."""

    own_values: OwnValues = "known"
    """The object's own E(B-V) and PSF size, drawn where not known (paper: the tabulated E(B-V)), or
    always ``drawn`` from the log-normal fit, which is what the released code does. The noise that
    an image has is always drawn: no catalog tells it."""

    extinction: bool = True
    """Remove the object's own Galactic extinction and add that of a drawn E(B-V) (paper)."""

    rotation: bool = True
    """Flip each axis with probability 1/2, rotate by U(0, 360) degrees (paper)."""

    scale_min: float = 0.9
    """Smallest factor of the size (paper)."""

    scale_max: float = 1.1
    """Largest factor of the size (paper)."""

    scale_axes: Literal[1, 2] = 2
    """Axes that change their size (paper: both). 1 stretches the rows of the rotated image only, as
    the released code does by mistake."""

    psf_blur: bool = True
    """Blur each band to a drawn PSF, where that is wider than the object's own (paper)."""

    blur_max_pix: float = 0.0
    """Largest sigma of a further blur of all bands together, drawn uniformly from 0, in pixels of
    0.262 arcsec; 0 is none (paper: none). It takes weight off fine structure."""

    jitter_pix: float = 7.0
    """Shift of the center, uniform in +-this on each axis, in pixels of 0.262 arcsec (paper)."""

    integer_jitter: bool = False
    """Shift by whole pixels (the released code), or by any amount (paper: U(-7, 7))."""

    foreground: float = 0.0
    """Probability that one view of a galaxy, no matter which, gets a bright star or galaxy in front
    of it; 0 is none (paper: none, but section 3 proposes it, so that similarity is not drawn to
    foreground objects)."""

    foreground_min_pix: float = 14.0
    """Smallest distance of that object from the center of the view, in pixels of 0.262 arcsec; the
    galaxy itself stays visible (ours)."""

    foreground_max_pix: float = 52.0
    """Largest distance: a little outside of the crop, whose half side is 48 (ours)."""

    foreground_mag_min: float = 15.0
    """Brightest r magnitude of that object (ours)."""

    foreground_mag_max: float = 19.5
    """Faintest r magnitude: brighter than most galaxies of a catalog that ends at z = 20
    (ours)."""

    aperture_min_pix: float = 0.0
    """Smallest radius of a circle around the center outside of which a view fades into the sky, in
    pixels of 0.262 arcsec, drawn evenly in the logarithm for each view; 0 is none (paper: none).
    Section 3 of the paper names foreground and background objects that draw similarity away: what
    lies far out differs between two views, so that the network cannot tell galaxies by their
    surroundings."""

    aperture_max_pix: float = 0.0
    """Largest radius of that circle."""

    noise: bool = True
    """Add Gaussian noise to each band up to a drawn level, where that is above the object's own
    (paper)."""

    color: float = 0.0
    """Natural log of the largest gain on each band, drawn uniformly; 0 is none (paper: none).
    Section 3 of the paper suggests stronger augmentations to steer what similarity means: this one
    takes weight off color."""

    brightness: float = 0.0
    """Natural log of the largest gain on all bands together, drawn uniformly; 0 is none (paper:
    none)."""

    color_drop: float = 0.0
    """Probability that a view has all bands replaced by their mean, so that only shape is left; 0
    is none (paper: none; Chen et al. 2020, SimCLR, use 0.2 on photographs)."""

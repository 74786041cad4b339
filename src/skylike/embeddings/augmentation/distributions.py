"""What the augmentations draw from: distributions fitted to the survey, with their constants.

All constants are those of the paper's released code (ssl-legacysurvey,
``data_loaders/decals_augmentations.py``), fits to galaxies of the Legacy Surveys, DR9.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch


@dataclass(frozen=True)
class LogNormal:
    """exp(N(log scale, shape)) + loc, within bounds: scipy's ``lognorm(shape, loc, scale)``."""

    shape: float
    loc: float
    scale: float
    minimum: float
    maximum: float

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draw (n,) float32 on the generator's device; what falls outside is put on the bounds."""
        normal = torch.randn(n, generator=generator, device=generator.device)
        return (self.loc + self.scale * torch.exp(self.shape * normal)).clamp(
            self.minimum, self.maximum
        )

    @property
    def uniform(self) -> "Uniform":
        """Evenly between the same bounds: what the released code draws new values from."""
        return Uniform(self.minimum, self.maximum)


@dataclass(frozen=True)
class Uniform:
    """U(minimum, maximum)."""

    minimum: float
    maximum: float

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draw (n,) float32 on the generator's device."""
        return self.minimum + (self.maximum - self.minimum) * uniform((n,), generator)


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Draw a tensor of U(0, 1), float32, on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device)


EBV: Final = LogNormal(0.67306, 0.001146, 0.03338, 0.0, 1.0)
"""E(B-V) of the survey's galaxies, mag (class ``Reddening``)."""

PSF_SIGMA_PIX: Final = (
    LogNormal(0.2109966, 1.0807153, 1.3153171, 1.3233109, 5.0),
    LogNormal(0.3008485, 1.2394326, 0.9164757, 1.2667341, 4.5),
    LogNormal(0.3471172, 1.1928363, 0.8233702, 1.2126263, 4.25),
)
"""Gaussian sigma of the PSF in g, r, z, in pixels of 0.262 arcsec (class ``GaussianBlur``)."""

NOISE_SIGMA: Final = (
    LogNormal(0.2264926, -0.0006735, 0.0037602, 0.001094, 0.013),
    LogNormal(0.2431146, -0.0023663, 0.0067417, 0.001094, 0.018),
    LogNormal(0.1334844, -0.0143416, 0.0260779, 0.001094, 0.061),
)
"""Noise of a pixel in g, r, z, nanomaggies (class ``GaussianNoise``)."""

FWHM_PER_SIGMA: Final = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Of a Gaussian."""

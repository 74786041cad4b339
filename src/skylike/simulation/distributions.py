"""Distributions of image quality and galaxy properties, sampled without loops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LogNormal:
    """A log-normal distribution, shifted and cut.

    Attributes
    ----------
    shape, loc, scale
        As in scipy.stats.lognorm.
    low, high
        Nothing outside is drawn.
    """

    shape: float
    loc: float
    scale: float
    low: float
    high: float

    def sample(self, rng: np.random.Generator, n: int) -> Floats:
        """Draw n values by the inverse of the cumulative distribution."""
        limits = np.maximum((np.array([self.low, self.high]) - self.loc) / self.scale, 1e-300)
        low, high = special.ndtr(np.log(limits) / self.shape)
        normal = special.ndtri(rng.uniform(low, high, size=n))
        drawn = self.loc + self.scale * np.exp(self.shape * normal)
        return np.asarray(np.clip(drawn, self.low, self.high), dtype=np.float64)


EBV: Final = LogNormal(0.67306, 0.001146, 0.03338, 0.0, 1.0)
"""E(B-V) of the Legacy Surveys' galaxies (Stein et al. 2021, released code, class Reddening)."""

PSF_SIGMA_PIX: Final[Mapping[str, LogNormal]] = {
    "g": LogNormal(0.2109966, 1.0807153, 1.3153171, 1.3233109, 5.0),
    "r": LogNormal(0.3008485, 1.2394326, 0.9164757, 1.2667341, 4.5),
    "z": LogNormal(0.3471172, 1.1928363, 0.8233702, 1.2126263, 4.25),
}
"""Sigma of the PSF in pixels of 0.262 arcsec, pixel included (same source, class GaussianBlur)."""

NOISE_NANOMAGGIES: Final[Mapping[str, LogNormal]] = {
    "g": LogNormal(0.2264926, -0.0006735, 0.0037602, 0.001094, 0.013),
    "r": LogNormal(0.2431146, -0.0023663, 0.0067417, 0.001094, 0.018),
    "z": LogNormal(0.1334844, -0.0143416, 0.0260779, 0.001094, 0.061),
}
"""Sky noise of one pixel (same source, class GaussianNoise)."""


def sample_bands(
    distributions: Mapping[str, LogNormal], rng: np.random.Generator, n: int
) -> Floats:
    """Draw n values in g, r and z, each band by itself as the paper does: (n, 3)."""
    return np.stack([distributions[band].sample(rng, n) for band in "grz"], axis=1)  # (n, 3)


def sample_magnitudes(
    rng: np.random.Generator, n: int, *, limits: tuple[float, float], slope: float
) -> Floats:
    """Draw magnitudes whose number counts rise by ``slope`` dex each magnitude."""
    low, high = (10 ** (slope * (limit - limits[1])) for limit in limits)
    magnitude = limits[1] + np.log10(rng.uniform(low, high, size=n)) / slope
    return np.clip(magnitude, *limits)


def sample_normal(
    rng: np.random.Generator, n: int, *, mean: float, sigma: float, limits: tuple[float, float]
) -> Floats:
    """Draw from a normal distribution cut at ``limits``, which may lie far in its wings."""
    low, high = special.ndtr((np.array(limits) - mean) / sigma)
    drawn = mean + sigma * special.ndtri(rng.uniform(low, high, size=n))
    return np.asarray(np.clip(drawn, *limits), dtype=np.float64)


def sample_cone(
    rng: np.random.Generator, n: int, *, ra: float, dec: float, radius: float
) -> tuple[Floats, Floats]:
    """Draw positions uniform on the sky within ``radius`` degrees of a center: ra, dec."""
    # 1 - cos(d) is uniform; its form by half angles keeps digits in small cones.
    half = np.sqrt(rng.uniform(size=n)) * np.sin(np.radians(radius) / 2)
    distance = 2 * np.arcsin(np.minimum(half, 1.0))
    return offset_positions(
        np.full(n, ra), np.full(n, dec), distance=distance, angle=rng.uniform(0, 2 * np.pi, size=n)
    )


def offset_positions(
    ra: Floats, dec: Floats, *, distance: Floats, angle: Floats
) -> tuple[Floats, Floats]:
    """Go ``distance`` from positions in degrees, at ``angle`` from north through east, radians."""
    dec0 = np.radians(dec)
    east = np.sin(angle) * np.sin(distance)
    ahead = np.cos(dec0) * np.cos(distance) - np.sin(dec0) * np.sin(distance) * np.cos(angle)
    up = np.sin(dec0) * np.cos(distance) + np.cos(dec0) * np.sin(distance) * np.cos(angle)
    ra_out = np.mod(ra + np.degrees(np.arctan2(east, ahead)), 360.0)
    # mod rounds -1e-17 up to 360 itself.
    ra_out = np.where(ra_out >= 360.0, 0.0, ra_out)
    return ra_out, np.degrees(np.arctan2(up, np.hypot(east, ahead)))


def apportion(total: int, shares: Sequence[float]) -> npt.NDArray[np.int64]:
    """Split ``total`` by ``shares`` into whole numbers (largest remainder); ties go to the rare."""
    exact = total * np.asarray(shares, dtype=np.float64) / np.sum(shares)
    counts: npt.NDArray[np.int64] = np.floor(exact + 1e-9).astype(np.int64)
    order = np.lexsort((np.asarray(shares), counts - exact))
    counts[order[: total - int(counts.sum())]] += 1
    return counts

"""Flux to color and, approximately, back: the asinh rendering of the Legacy Surveys' viewer."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Rendering:
    """The parameters of a rendering, stored with every encoder that sees color.

    Attributes
    ----------
    name
        The formula; ``legacy_asinh`` is the only one.
    scale_g, scale_r, scale_z
        Factors of the fluxes in nanomaggies.
    m
        Offset that lifts the sky from black.
    q
        Softening of the asinh.

    References
    ----------
    Formula: Lupton et al. (2004), PASP 116, 133. Constants: the Legacy Surveys' viewer
    (legacysurvey/imagine, ``sdss_rgb``), as in ssl-legacysurvey, ``utils/to_rgb.py``. The training
    code of the paper applied ``flux * (scale + m * f(I) / I)`` by mistake; this is the viewer's
    ``(flux * scale + m) * f(I) / I``.
    """

    name: str = "legacy_asinh"
    scale_g: float = 6.0
    scale_r: float = 3.4
    scale_z: float = 2.2
    m: float = 0.03
    q: float = 20.0

    @property
    def scales_rgb(self) -> tuple[float, float, float]:
        """Scales in the order of the channels R, G, B = z, r, g."""
        return self.scale_z, self.scale_r, self.scale_g

    def parameters(self) -> dict[str, str | float]:
        """Return what ``Rendering(**parameters)`` takes: plain values for JSON."""
        return asdict(self)


LEGACY_ASINH = Rendering()
"""The rendering of the Legacy Surveys' viewer."""


def render_rgb(flux: Any, xp: Any = np, *, rendering: Rendering = LEGACY_ASINH) -> Any:  # noqa: ANN401 - array or tensor, as given
    """Render fluxes as color.

    Parameters
    ----------
    flux
        (..., 3, h, w) g r z in nanomaggies, a NumPy array or, with ``xp=torch``, a tensor. NaN,
        which is not observed, counts as no flux.
    xp
        The module whose functions are called: ``numpy`` or ``torch``.

    Returns
    -------
    array or tensor
        (..., 3, h, w) in [0, 1], channels R, G, B = z, r, g; of the type of ``flux``.

    Notes
    -----
    I is the mean over the bands of max(0, scale flux + m); each channel is
    (scale flux + m) asinh(Q I) / (sqrt(Q) I), clipped to [0, 1].
    """
    flux = xp.where(xp.isnan(flux), xp.zeros_like(flux), flux)
    channels = [
        flux[..., 2 - channel, :, :] * scale + rendering.m
        for channel, scale in enumerate(rendering.scales_rgb)
    ]
    intensity = sum(xp.clip(channel, 0, None) for channel in channels) / 3  # (..., h, w)
    # Where every channel is dark the ratio does not matter, as long as it is finite.
    safe = xp.clip(intensity, 1e-6, None)
    ratio = xp.arcsinh(rendering.q * safe) / (rendering.q**0.5 * safe)
    return xp.stack([xp.clip(channel * ratio, 0, 1) for channel in channels], -3)


def to_uint8(rgb: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Round colors in [0, 1] to 8 bits."""
    rounded: npt.NDArray[np.uint8] = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    return rounded


def invert_rgb(
    rgb: npt.NDArray[np.uint8] | npt.NDArray[np.floating], *, rendering: Rendering = LEGACY_ASINH
) -> npt.NDArray[np.float32]:
    """Estimate the fluxes behind a color image.

    Parameters
    ----------
    rgb
        (..., 3, h, w) R, G, B: uint8, or floating in [0, 1].

    Returns
    -------
    ndarray
        (..., 3, h, w) float32, g r z in nanomaggies.

    Notes
    -----
    Approximate. With C the mean of the channels, I = sinh(sqrt(Q) C) / Q, exactly as long as no
    channel was clipped; a clipped channel (0 or 255) gives only a bound. Measured on simulated
    galaxies rendered to 8 bits: see ``tests/unit/images/test_render.py``.
    """
    colors = rgb.astype(np.float32) / 255 if rgb.dtype == np.uint8 else rgb.astype(np.float32)
    mean = colors.mean(axis=-3, keepdims=True)  # (..., 1, h, w)
    intensity = np.sinh(np.sqrt(rendering.q) * mean) / rendering.q
    ratio = np.where(mean > 1e-6, mean / np.maximum(intensity, 1e-9), np.sqrt(rendering.q))
    scales = np.array(rendering.scales_rgb, dtype=np.float32)[:, None, None]
    flux = (colors / ratio - rendering.m) / scales  # (..., 3, h, w) z r g
    flipped: npt.NDArray[np.float32] = np.ascontiguousarray(flux[..., ::-1, :, :], dtype=np.float32)
    return flipped

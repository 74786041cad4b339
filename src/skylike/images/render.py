"""Flux to color and, approximately, back: the asinh rendering of the Legacy Surveys' viewer."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from skylike.errors import SettingsError

FORMULAS: Final = ("legacy_asinh", "released_asinh")
"""Names of the ways to make color of flux."""


@dataclass(frozen=True)
class Rendering:
    """The parameters of a rendering, stored with every encoder that sees color.

    Attributes
    ----------
    name
        The formula: ``legacy_asinh`` is that of the Legacy Surveys' viewer, (scale flux + m)
        f(I) / I; ``released_asinh`` that of the paper's training code, flux (scale + m f(I) / I),
        a mistake that its published checkpoint has learned from.
    scale_g, scale_r, scale_z
        Factors of the fluxes in nanomaggies.
    m
        Offset that lifts the sky from black.
    q
        Softening of the asinh.

    References
    ----------
    Formula: Lupton et al. (2004), PASP 116, 133. Constants: the Legacy Surveys' viewer
    (legacysurvey/imagine, ``sdss_rgb``), as in ssl-legacysurvey, ``utils/to_rgb.py``; the other
    formula: class ``ToRGB`` of its ``data_loaders/decals_augmentations.py``.
    """

    name: str = "legacy_asinh"
    scale_g: float = 6.0
    scale_r: float = 3.4
    scale_z: float = 2.2
    m: float = 0.03
    q: float = 20.0

    def __post_init__(self) -> None:
        """Refuse a formula that is not known.

        Raises
        ------
        SettingsError
            With the names of those that are.
        """
        if self.name not in FORMULAS:
            raise SettingsError(
                f"rendering {self.name!r} is unknown; use one of {', '.join(FORMULAS)}"
            )

    @property
    def scales_rgb(self) -> tuple[float, float, float]:
        """Scales in the order of the channels R, G, B = z, r, g."""
        return self.scale_z, self.scale_r, self.scale_g

    def parameters(self) -> dict[str, str | float]:
        """Return what ``Rendering(**parameters)`` takes: plain values for JSON."""
        return asdict(self)


LEGACY_ASINH: Final = Rendering()
"""The rendering of the Legacy Surveys' viewer, and of the pictures that it serves."""

RENDERINGS: Final = {name: Rendering(name) for name in FORMULAS}
"""The renderings by name, all with the constants of the viewer."""


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
    (scale flux + m) asinh(Q I) / (sqrt(Q) I), or what ``rendering.name`` says, clipped to [0, 1].
    """
    flux = xp.where(xp.isnan(flux), xp.zeros_like(flux), flux)
    scaled = [
        flux[..., 2 - channel, :, :] * scale for channel, scale in enumerate(rendering.scales_rgb)
    ]
    intensity = (
        sum(xp.clip(channel + rendering.m, 0, None) for channel in scaled) / 3
    )  # (..., h, w)
    # Where every channel is dark the ratio does not matter, as long as it is finite.
    safe = xp.clip(intensity, 1e-6, None)
    ratio = _arcsinh(rendering.q * safe, xp) / (rendering.q**0.5 * safe)
    if rendering.name == "released_asinh":
        colors = [
            channel + flux[..., 2 - number, :, :] * rendering.m * ratio
            for number, channel in enumerate(scaled)
        ]
    else:
        colors = [(channel + rendering.m) * ratio for channel in scaled]
    return xp.stack([xp.clip(color, 0, 1) for color in colors], -3)


def _arcsinh(values: Any, xp: Any) -> Any:  # noqa: ANN401 - array or tensor, as given
    """Return the asinh of what is not negative."""
    if xp is np:
        return np.arcsinh(values)
    # torch takes arcsinh number by number and log1p in vectors: a quarter of the time.
    squares = values * values
    return xp.log1p(values + squares / (1 + xp.sqrt(squares + 1)))


def to_uint8(rgb: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Round colors in [0, 1] to 8 bits."""
    rounded: npt.NDArray[np.uint8] = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    return rounded


def invert_rgb(rgb: Any, xp: Any = np, *, rendering: Rendering = LEGACY_ASINH) -> Any:  # noqa: ANN401 - array or tensor, as given
    """Estimate the fluxes behind a color image.

    Parameters
    ----------
    rgb
        (..., 3, h, w) R, G, B: uint8, or floating in [0, 1]; a NumPy array or, with ``xp=torch``, a
        tensor.
    xp
        The module whose functions are called: ``numpy`` or ``torch``.

    Returns
    -------
    array or tensor
        (..., 3, h, w) float32, g r z in nanomaggies; of the type of ``rgb``.

    Raises
    ------
    SettingsError
        The rendering is not that of the viewer, which is the one that pictures have.

    Notes
    -----
    Approximate. With C the mean of the channels, I = sinh(sqrt(Q) C) / Q, exactly as long as no
    channel was clipped; a clipped channel (0 or 255) gives only a bound. Measured on simulated
    galaxies rendered to 8 bits: see ``tests/unit/images/test_render.py``.
    """
    if rendering.name != "legacy_asinh":
        raise SettingsError(f"the rendering {rendering.name} has no inverse; use legacy_asinh")
    colors = xp.asarray(rgb, dtype=xp.float32)
    if rgb.dtype == xp.uint8:
        colors = colors / 255
    planes = [colors[..., channel, :, :] for channel in range(3)]  # R, G, B = z, r, g
    mean = sum(planes) / 3  # (..., h, w)
    intensity = xp.sinh(rendering.q**0.5 * mean) / rendering.q
    dark = xp.full_like(mean, rendering.q**0.5)
    ratio = xp.where(mean > 1e-6, mean / xp.clip(intensity, 1e-9, None), dark)
    fluxes = [
        (plane / ratio - rendering.m) / scale
        for plane, scale in zip(planes, rendering.scales_rgb, strict=True)
    ]
    return xp.stack(fluxes[::-1], -3)

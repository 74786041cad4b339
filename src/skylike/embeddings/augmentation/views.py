"""The six augmentations of the paper, batched: canvases go in, views of them come out.

Drawing and applying are apart: :func:`draw` makes the parameters of each galaxy, :func:`apply` is a
pure function of pixels and parameters. Both work on the device of their tensors. The order is that
of the paper (section 2); flip, rotation, size and shift are one affine resampling. The blur comes
after the resampling on a margin wider than the crop, which is the same thing: a round blur commutes
with rotations and shifts (the size step comes before it in the paper too).
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional

from skylike.bands import EXTINCTION_COEFFICIENT, PIXEL_SCALE_ARCSEC
from skylike.embeddings.preprocess import BANDS, Preprocessing
from skylike.embeddings.recipe import AugmentRecipe
from skylike.images.render import Rendering


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


EBV: Final = LogNormal(0.67306, 0.001146, 0.03338, 0.0, 1.0)
"""E(B-V) of the survey's galaxies, mag (ssl-legacysurvey, class GalacticReddening)."""

PSF_SIGMA_PIX: Final = (
    LogNormal(0.2109966, 1.0807153, 1.3153171, 1.3233109, 5.0),
    LogNormal(0.3008485, 1.2394326, 0.9164757, 1.2667341, 4.5),
    LogNormal(0.3471172, 1.1928363, 0.8233702, 1.2126263, 4.25),
)
"""Gaussian sigma of the PSF in g, r, z, in pixels of 0.262 arcsec (ssl-legacysurvey,
GaussianBlur)."""

NOISE_SIGMA: Final = (
    LogNormal(0.2264926, -0.0006735, 0.0037602, 0.001094, 0.013),
    LogNormal(0.2431146, -0.0023663, 0.0067417, 0.001094, 0.018),
    LogNormal(0.1334844, -0.0143416, 0.0260779, 0.001094, 0.061),
)
"""Noise of a pixel in g, r, z, nanomaggies (ssl-legacysurvey, GaussianNoise)."""

FWHM_PER_SIGMA: Final = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Of a Gaussian."""

BLUR_MARGIN_PIX: Final = 8
"""Pixels around the crop that the blur reads: 1.7 sigma of the widest kernel that can be drawn."""


@dataclass(frozen=True)
class Draws:
    """The parameters of n views; every field is a tensor on one device, float32."""

    reddening: torch.Tensor
    """New E(B-V) minus the object's own, (n,) mag."""

    gain: torch.Tensor
    """Further factor on each band, (n, 3)."""

    affine: torch.Tensor
    """From offsets from the center of the view to offsets from that of the canvas, (n, 2, 2), (x,
    y)."""

    shift: torch.Tensor
    """Of the view's center, (n, 2) in pixels of 0.262 arcsec along the view's axes (x, y)."""

    blur_sigma: torch.Tensor
    """Gaussian blur of each band, (n, 3) pixels of 0.262 arcsec."""

    aperture: torch.Tensor
    """Radius outside of which the view fades, (n,) pixels of 0.262 arcsec; infinite for none."""

    noise_sigma: torch.Tensor
    """Noise added to each band, (n, 3) nanomaggies for a pixel of 0.262 arcsec."""


def draw(
    ebv: torch.Tensor, psf_size: torch.Tensor, recipe: AugmentRecipe, *, generator: torch.Generator
) -> Draws:
    """Draw the parameters of one view of each galaxy.

    Parameters
    ----------
    ebv
        The object's own E(B-V), (n,) mag; NaN is drawn from the survey's distribution.
    psf_size
        Its own PSF FWHM in g, r, z, (n, 3) arcsec; NaN is drawn.
    generator
        On the device of the tensors.

    Notes
    -----
    The noise that an image already has is not recorded with it, and is drawn, as in the released
    code.
    """
    n = len(ebv)
    zeros = torch.zeros(n, 3, device=ebv.device)
    return Draws(
        reddening=_draw_reddening(ebv, generator) if recipe.extinction else zeros[:, 0],
        gain=_draw_gain(n, recipe, generator),
        affine=_draw_affine(n, recipe, generator),
        shift=(2.0 * _uniform((n, 2), generator) - 1.0) * recipe.jitter_pix,
        blur_sigma=_draw_blur(psf_size, generator) if recipe.psf_blur else zeros,
        aperture=_draw_aperture(n, recipe, generator),
        noise_sigma=_draw_noise(n, generator) if recipe.noise else zeros,
    )


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _draw_reddening(ebv: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    n = len(ebv)
    own = torch.where(torch.isnan(ebv), EBV.draw(n, generator), ebv)
    return EBV.draw(n, generator) - own


def _draw_gain(n: int, recipe: AugmentRecipe, generator: torch.Generator) -> torch.Tensor:
    color = (2.0 * _uniform((n, 3), generator) - 1.0) * recipe.color
    brightness = (2.0 * _uniform((n, 1), generator) - 1.0) * recipe.brightness
    return torch.exp(color + brightness)  # (n, 3)


def _draw_affine(n: int, recipe: AugmentRecipe, generator: torch.Generator) -> torch.Tensor:
    scale = recipe.scale_min + (recipe.scale_max - recipe.scale_min) * _uniform((n,), generator)
    angle = 2.0 * math.pi * _uniform((n,), generator)
    flips = 1.0 - 2.0 * torch.randint(0, 2, (n, 2), generator=generator, device=generator.device)
    if not recipe.rotation:
        angle, flips = torch.zeros_like(angle), torch.ones_like(flips)
    return affine_matrix(angle, flips=flips, scale=scale)


def affine_matrix(angle: torch.Tensor, *, flips: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return the matrices that undo: flip the axes, rotate by an angle, scale the size.

    Parameters
    ----------
    angle
        (n,) rad.
    flips
        (n, 2) +-1 for the axes x, y.
    scale
        (n,) factor on the size: above 1 the galaxy grows.

    Returns
    -------
    torch.Tensor
        (n, 2, 2), for :attr:`Draws.affine`.
    """
    cos, sin = torch.cos(angle), torch.sin(angle)
    rotation = torch.stack(
        [torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1
    )  # (n, 2, 2)
    return flips[:, :, None] * rotation / scale[:, None, None]


def _draw_blur(psf_size: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    n = len(psf_size)
    wanted = torch.stack([band.draw(n, generator) for band in PSF_SIGMA_PIX], 1)  # (n, 3)
    unknown = torch.stack([band.draw(n, generator) for band in PSF_SIGMA_PIX], 1)
    own = psf_size / (PIXEL_SCALE_ARCSEC * FWHM_PER_SIGMA)
    own = torch.where(torch.isnan(own), unknown, own)
    return torch.sqrt((wanted**2 - own**2).clamp(min=0.0))


def _draw_aperture(n: int, recipe: AugmentRecipe, generator: torch.Generator) -> torch.Tensor:
    if recipe.aperture_max_pix == 0:
        return torch.full((n,), math.inf, device=generator.device)
    low, high = math.log(recipe.aperture_min_pix), math.log(recipe.aperture_max_pix)
    return torch.exp(low + (high - low) * _uniform((n,), generator))


def _draw_noise(n: int, generator: torch.Generator) -> torch.Tensor:
    wanted = torch.stack([band.draw(n, generator) for band in NOISE_SIGMA], 1)  # (n, 3)
    own = torch.stack([band.draw(n, generator) for band in NOISE_SIGMA], 1)
    return torch.sqrt((wanted**2 - own**2).clamp(min=0.0))


def apply(
    canvas: torch.Tensor,
    draws: Draws,
    preprocessing: Preprocessing,
    *,
    kind: str,
    generator: torch.Generator,
) -> torch.Tensor:
    """Make one view of each canvas.

    Parameters
    ----------
    canvas
        (n, 3, s, s), see :class:`Preprocessing`; NaN where not observed.
    kind
        ``"flux"`` or ``"rgb"``: what the canvases hold.
    generator
        For the noise, on the device of the tensors.

    Returns
    -------
    torch.Tensor
        (n, 3, h, w) float32 of the same kind; 0 where not observed.
    """
    rendering = preprocessing.rendering if kind == "rgb" else None
    canvas = canvas.to(torch.float32)
    missing = torch.isnan(canvas)
    has_missing = bool(missing.any())
    view = torch.nan_to_num(canvas, nan=0.0) * _factors(draws, kind)[:, :, None, None]
    margin = min(BLUR_MARGIN_PIX // preprocessing.bin_pix, view.shape[-1])
    size = preprocessing.input_size
    grid = _grid(draws, size + 2 * margin, canvas.shape[-1], preprocessing.bin_pix)
    view = functional.grid_sample(view, grid, padding_mode="zeros", align_corners=False)
    view = blur(view, draws.blur_sigma / preprocessing.bin_pix)
    inner = slice(margin, margin + size)
    view = view[:, :, inner, inner]  # (n, 3, h, w)
    if bool(torch.isfinite(draws.aperture).any()):
        view = _faded(view, draws.aperture / preprocessing.bin_pix, kind)
    view = _with_noise(view, draws.noise_sigma / preprocessing.bin_pix, rendering, generator)
    if has_missing:
        observed = functional.grid_sample(
            (~missing).to(torch.float32), grid[:, inner, inner], mode="nearest", align_corners=False
        )
        view = view * observed
    return view.clamp(0.0, 1.0) if kind == "rgb" else view


def _factors(draws: Draws, kind: str) -> torch.Tensor:
    """Return the factor on each plane (n, 3): transmission of the dust, times the further gain."""
    coefficient = draws.reddening.new_tensor([EXTINCTION_COEFFICIENT[band] for band in BANDS])
    factor = 10.0 ** (-0.4 * draws.reddening[:, None] * coefficient) * draws.gain  # (n, 3) g r z
    if kind == "flux":
        return factor
    # The asinh rendering keeps the ratios of the bands but not their sum: change the colors only.
    factor = factor.flip(1)  # R, G, B = z, r, g
    return factor / factor.mean(dim=1, keepdim=True)


def _grid(draws: Draws, size: int, canvas_size: int, bin_pix: int) -> torch.Tensor:
    """Return where the pixels of a view lie on the canvas, (n, size, size, 2) in [-1, 1]."""
    # Offsets from the center, in pixels of the canvas; grid_sample without aligned corners counts
    # +-1 at the outer edges of the outer pixels.
    axis = torch.arange(size, device=draws.affine.device) - (size - 1) / 2.0
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    offsets = torch.stack([x, y], -1).reshape(1, size * size, 2)  # (1, p, 2)
    offsets = offsets + draws.shift[:, None, :] / bin_pix  # (n, p, 2)
    return (offsets @ draws.affine.transpose(1, 2)).reshape(-1, size, size, 2) * (2.0 / canvas_size)


def blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Blur each plane with a Gaussian of its own, the borders mirrored (scipy's ``reflect``).

    Parameters
    ----------
    images
        (n, c, h, h).
    sigma
        (n, c) pixels; 0 leaves a plane as it is.

    Notes
    -----
    A blur along an axis is a matrix, and batches of small matrix products are faster than a
    convolution with a kernel for each plane, on CPU and GPU alike. Rows and columns of the matrix
    sum to 1, so flux is conserved.
    """
    h = images.shape[-1]
    index = torch.arange(h, device=images.device)
    distance = torch.arange(2 * h, device=images.device, dtype=images.dtype)
    # Below 0.05 pixels the nearest neighbor's weight, exp(-200), is 0 in float32.
    inverse = -0.5 / sigma.clamp(min=0.05)[:, :, None] ** 2  # (n, c, 1)
    kernel = torch.exp(inverse * distance**2)  # (n, c, 2 * h) weight by distance
    direct = (index[:, None] - index[None, :]).abs()  # (h, h)
    low = index[:, None] + index[None, :] + 1  # by way of the mirror at the first pixel's edge
    high = 2 * h - 1 - index[:, None] - index[None, :]
    weights = kernel[:, :, direct] + kernel[:, :, low] + kernel[:, :, high]  # (n, c, h, h)
    weights = weights / weights.sum(dim=3, keepdim=True)
    return weights @ images @ weights.transpose(2, 3)


def _faded(view: torch.Tensor, radius: torch.Tensor, kind: str) -> torch.Tensor:
    """Fade views (n, 3, h, h) into the sky outside of a circle of ``radius`` (n,) pixels."""
    size = view.shape[-1]
    axis = torch.arange(size, device=view.device) - (size - 1) / 2.0
    distance = torch.hypot(axis[:, None], axis[None, :])  # (h, h)
    # From 1 to 0 over half of the radius, without an edge that the network could see.
    outside = (distance / radius[:, None, None] - 1.0) * 2.0
    weight = 0.5 + 0.5 * torch.cos(math.pi * outside.clamp(0.0, 1.0))[:, None]  # (n, 1, h, h)
    if kind == "flux":
        return view * weight
    sky = view.flatten(2).median(dim=2).values[:, :, None, None]  # (n, 3, 1, 1)
    return sky + (view - sky) * weight


def _with_noise(
    view: torch.Tensor, sigma: torch.Tensor, rendering: Rendering | None, generator: torch.Generator
) -> torch.Tensor:
    noise = torch.randn(view.shape, generator=generator, device=view.device)
    if rendering is None:
        return view + noise * sigma[:, :, None, None]
    scale = sigma.flip(1) * sigma.new_tensor(rendering.scales_rgb)  # (n, 3) in R, G, B
    return view + noise * scale[:, :, None, None] * _asinh_slope(view, rendering)


def _asinh_slope(rgb: torch.Tensor, rendering: Rendering) -> torch.Tensor:
    """Return what a rendered pixel gains for each unit of scaled flux: f(I) / I."""
    # f(I) = arcsinh(Q I) / sqrt(Q) is the mean of the channels, where none is clipped.
    rendered = rgb.mean(dim=1, keepdim=True).clamp(1e-3, 1.0)  # (n, 1, h, w)
    return rendered * rendering.q / torch.sinh(math.sqrt(rendering.q) * rendered)

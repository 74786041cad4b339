"""Brightness and color: extinction, gains, gray, the aperture, and noise."""

import math

import torch

from skylike.bands import EXTINCTION_COEFFICIENT
from skylike.embeddings.preprocess import BANDS
from skylike.images.render import LEGACY_ASINH


def band_factors(reddening: torch.Tensor, gain: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the factor on each plane: transmission of the dust, times the further gain.

    Parameters
    ----------
    reddening
        (n,) mag of E(B-V), more than the image has.
    gain
        (n, 3) for g, r, z.
    kind
        Of rgb images only the colors change: the asinh rendering keeps the ratios of the bands but
        not their sum.

    Returns
    -------
    torch.Tensor
        (n, 3) in the order of the planes.
    """
    coefficient = reddening.new_tensor([EXTINCTION_COEFFICIENT[band] for band in BANDS])
    factor = 10.0 ** (-0.4 * reddening[:, None] * coefficient) * gain  # (n, 3) g r z
    if kind == "flux":
        return factor
    factor = factor.flip(1)  # R, G, B = z, r, g
    return factor / factor.mean(dim=1, keepdim=True)


def in_plane_order(values: torch.Tensor, kind: str) -> torch.Tensor:
    """Return values (n, 3) for g, r, z in the order of the planes of a kind of image."""
    return values if kind == "flux" else values.flip(1)


def gray(view: torch.Tensor, is_gray: torch.Tensor, observed: torch.Tensor | None) -> torch.Tensor:
    """Replace the bands of some views by their mean, over the bands that were observed.

    Parameters
    ----------
    view
        (n, 3, h, w).
    is_gray
        (n,) 1 or 0.
    observed
        (n, 3, h, w) 1 or 0; None where all is.
    """
    if observed is None:
        mean = view.mean(dim=1, keepdim=True)  # (n, 1, h, w)
    else:
        count = observed.sum(dim=1, keepdim=True).clamp(min=1.0)
        mean = (view * observed).sum(dim=1, keepdim=True) / count
    return torch.where(is_gray[:, None, None, None] > 0, mean, view)


def fade(view: torch.Tensor, radius: torch.Tensor, kind: str) -> torch.Tensor:
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


def noise_levels(sigma: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the levels of planes for :func:`add_noise`, from nanomaggies in g, r, z, (n, 3)."""
    if kind == "flux":
        return sigma
    return sigma.flip(1) * sigma.new_tensor(LEGACY_ASINH.scales_rgb)


def add_noise(
    view: torch.Tensor, level: torch.Tensor, kind: str, generator: torch.Generator
) -> None:
    """Add Gaussian noise to views, in place.

    Parameters
    ----------
    view
        (n, 3, h, w), contiguous.
    level
        (n, 3) of :func:`noise_levels`; in a picture it is times the slope that the rendering has at
        each pixel.
    """
    slope = _asinh_slope(view).expand_as(view).flatten(0, 1) if kind == "rgb" else None
    if view.device.type != "cpu":  # to ask which are 0 would make the device wait
        noise = torch.randn(view.shape, generator=generator, device=view.device)
        noise *= level[:, :, None, None]
        view += noise if slope is None else noise * slope.view_as(view)
        return
    levels = [(number, one) for number, one in enumerate(level.flatten().tolist()) if one > 0]
    noise = torch.randn((len(levels), *view.shape[2:]), generator=generator)
    planes = view.flatten(0, 1).unbind()  # (3 n) of (h, w), the same memory
    # A loop over few planes: torch's own indexed addition is five times slower.
    for (number, one), shape in zip(levels, noise.unbind(), strict=True):
        planes[number].add_(shape if slope is None else shape * slope[number], alpha=one)


def _asinh_slope(rgb: torch.Tensor) -> torch.Tensor:
    """Return what a rendered pixel gains for each unit of scaled flux: f(I) / I, (n, 1, h, w)."""
    # f(I) = arcsinh(Q I) / sqrt(Q) is the mean of the channels, where none is clipped.
    q = LEGACY_ASINH.q
    rendered = rgb.mean(dim=1, keepdim=True).clamp(1e-3, 1.0)
    return rendered * q / torch.sinh(math.sqrt(q) * rendered)

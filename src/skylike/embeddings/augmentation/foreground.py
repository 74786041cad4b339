"""Bright objects in front of a galaxy, which similarity should not be drawn to (paper, section 3).

The paper leaves the idea to future work and gives no numbers: the profiles and ranges are ours.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch

from skylike.embeddings.augmentation.distributions import FWHM_PER_SIGMA, PSF_SIGMA_PIX, uniform
from skylike.embeddings.augmentation.recipe import AugmentRecipe
from skylike.images.render import invert_rgb, render_rgb

MOFFAT_BETA: Final = 3.0
"""Exponent of the wings of a star; seeing is between 2.5 and 4.8 (Trujillo et al. 2001)."""

HALF_LIGHT_PER_SCALE: Final = 1.678
"""Half-light radius of an exponential disk, in scale lengths."""

HALF_LIGHT_PIX: Final = (2.5, 12.0)
"""Smallest and largest half-light radius of a foreground galaxy, drawn evenly in the logarithm, in
pixels of 0.262 arcsec (0.65 to 3.1 arcsec)."""

COLOR_G_R: Final = (0.2, 1.4)
"""Range of g - r, mag: from F stars to M stars and red galaxies."""

COLOR_R_Z: Final = (0.0, 0.9)
"""Range of r - z, mag."""


@dataclass(frozen=True)
class Foreground:
    """An object in front of each of n galaxies; every field is a float32 tensor on one device."""

    flux: torch.Tensor
    """(n, 3) nanomaggies in g, r, z; 0 where there is none."""

    place: torch.Tensor
    """(n, 2) offset (x, y) from the center of the view, in pixels of 0.262 arcsec."""

    psf_sigma: torch.Tensor
    """(n,) width of the PSF, in the same pixels."""

    half_light: torch.Tensor
    """(n,) half-light radius of a galaxy in the same pixels; 0 for a star."""

    axis_ratio: torch.Tensor
    """(n,) minor by major axis of a galaxy; 1 for a star."""

    angle: torch.Tensor
    """(n,) rad from the x axis to the major axis."""


def draw_foreground(
    recipe: AugmentRecipe, is_there: torch.Tensor, *, generator: torch.Generator
) -> Foreground:
    """Draw an object for each galaxy where ``is_there`` (n,) says so: a star or a galaxy.

    It lies anywhere in the ring between the recipe's two radii; its r magnitude is drawn evenly,
    which is its flux evenly in the logarithm.
    """
    n = len(is_there)
    magnitude = _between(n, (recipe.foreground_mag_min, recipe.foreground_mag_max), generator)
    g_r, r_z = _between(n, COLOR_G_R, generator), _between(n, COLOR_R_Z, generator)
    magnitudes = torch.stack([magnitude + g_r, magnitude, magnitude - r_z], 1)  # (n, 3) g r z
    flux = 10.0 ** (0.4 * (22.5 - magnitudes)) * is_there[:, None]
    inner, outer = recipe.foreground_min_pix, recipe.foreground_max_pix
    radius = torch.sqrt(_between(n, (inner**2, outer**2), generator))
    direction = _between(n, (0.0, 2.0 * math.pi), generator)
    is_star = uniform((n,), generator) < 0.5
    size = torch.exp(
        _between(n, (math.log(HALF_LIGHT_PIX[0]), math.log(HALF_LIGHT_PIX[1])), generator)
    )
    ratio = _between(n, (0.3, 1.0), generator)
    return Foreground(
        flux=flux,
        place=torch.stack([radius * torch.cos(direction), radius * torch.sin(direction)], 1),
        psf_sigma=PSF_SIGMA_PIX[1].draw(n, generator),
        half_light=torch.where(is_star, torch.zeros_like(size), size),
        axis_ratio=torch.where(is_star, torch.ones_like(ratio), ratio),
        angle=_between(n, (0.0, math.pi), generator),
    )


def _between(n: int, limits: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    return limits[0] + (limits[1] - limits[0]) * uniform((n,), generator)


def add_foreground(view: torch.Tensor, objects: Foreground, *, kind: str, bin_pix: int) -> None:
    """Add the objects to views (n, 3, h, h) of a kind, in place; pictures go through flux and back.

    A CPU works on the views that have an object only; a GPU, which would have to wait for the list
    of them, on all.
    """
    has_object = objects.flux[:, 1] > 0  # (n,)
    if view.device.type == "cpu":
        rows = has_object.nonzero()[:, 0]
        if len(rows) > 0:
            view[rows] = _with_light(
                view[rows], _light(objects, view.shape[-1], bin_pix)[rows], kind
            )
        return
    with_object = _with_light(view, _light(objects, view.shape[-1], bin_pix), kind)
    view.copy_(torch.where(has_object[:, None, None, None], with_object, view))


def _with_light(view: torch.Tensor, light: torch.Tensor, kind: str) -> torch.Tensor:
    if kind == "flux":
        return view + light
    flux = invert_rgb(view, torch) + light
    return torch.as_tensor(render_rgb(flux, torch))


def _light(objects: Foreground, size: int, bin_pix: int) -> torch.Tensor:
    """Return the objects alone, (n, 3, size, size) nanomaggies for a pixel of 0.262 arcsec."""
    axis = (torch.arange(size, device=objects.flux.device) - (size - 1) / 2.0) * bin_pix
    x = axis[None, None, :] - objects.place[:, 0, None, None]  # (n, 1, size)
    y = axis[None, :, None] - objects.place[:, 1, None, None]  # (n, size, 1)
    cos, sin = torch.cos(objects.angle)[:, None, None], torch.sin(objects.angle)[:, None, None]
    ratio = objects.axis_ratio[:, None, None]
    squared = (x * cos + y * sin) ** 2 + ((y * cos - x * sin) / ratio) ** 2  # (n, size, size)
    is_star = (objects.half_light == 0)[:, None, None]
    profile = torch.where(is_star, _star(squared, objects), _disk(squared, objects))
    return objects.flux[:, :, None, None] * profile[:, None]


def _star(squared: torch.Tensor, objects: Foreground) -> torch.Tensor:
    """Return a Moffat profile of unit flux with the full width at half maximum of the PSF."""
    width = objects.psf_sigma[:, None, None] * FWHM_PER_SIGMA
    core = (width / (2.0 * math.sqrt(2.0 ** (1.0 / MOFFAT_BETA) - 1.0))) ** 2
    return (MOFFAT_BETA - 1.0) / (math.pi * core) * (1.0 + squared / core) ** -MOFFAT_BETA


def _disk(squared: torch.Tensor, objects: Foreground) -> torch.Tensor:
    """Return an exponential disk of unit flux, its cusp rounded by the width of the PSF."""
    soft = objects.psf_sigma[:, None, None]
    # A star's length of 0 would make NaN of what is not used.
    scale = objects.half_light.clamp(min=1.0)[:, None, None] / HALF_LIGHT_PER_SCALE
    total = (
        2.0
        * math.pi
        * scale**2
        * objects.axis_ratio[:, None, None]
        * (1.0 + soft / scale)
        * torch.exp(-soft / scale)
    )
    return torch.exp(-torch.sqrt(squared + soft**2) / scale) / total

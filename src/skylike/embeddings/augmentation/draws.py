"""The parameters of views, drawn for each galaxy by itself."""

import dataclasses
import math
from dataclasses import dataclass

import torch

from skylike.bands import PIXEL_SCALE_ARCSEC
from skylike.embeddings.augmentation.distributions import (
    EBV,
    FWHM_PER_SIGMA,
    NOISE_SIGMA,
    PSF_SIGMA_PIX,
    LogNormal,
    uniform,
)
from skylike.embeddings.augmentation.foreground import Foreground, draw_foreground
from skylike.embeddings.augmentation.geometry import affine_matrix
from skylike.embeddings.augmentation.recipe import AugmentRecipe


@dataclass(frozen=True)
class Draws:
    """The parameters of n views; tensors are float32 on one device. None leaves a step out."""

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

    noise_sigma: torch.Tensor
    """Noise added to each band, (n, 3) nanomaggies for a pixel of 0.262 arcsec."""

    foreground: Foreground | None = None
    """An object in front of each galaxy."""

    is_gray: torch.Tensor | None = None
    """1 where the bands are replaced by their mean, else 0, (n,)."""

    aperture: torch.Tensor | None = None
    """Radius outside of which the view fades, (n,) pixels of 0.262 arcsec."""

    blur_limit: float = math.inf
    """What no ``blur_sigma`` exceeds, so that a GPU need not be asked; infinite where unknown."""


def draw_views(
    ebv: torch.Tensor,
    psf_size: torch.Tensor,
    recipe: AugmentRecipe,
    *,
    views: int,
    generator: torch.Generator,
) -> list[Draws]:
    """Draw the parameters of several views of each galaxy.

    Where the recipe asks for a foreground object, a galaxy has it in one of its views, chosen at
    random: what the others lack cannot tell which galaxy it is.

    Parameters
    ----------
    ebv
        The object's own E(B-V), (n,) mag; NaN is drawn from the survey's distribution.
    psf_size
        Its own PSF FWHM in g, r, z, (n, 3) arcsec; NaN is drawn.
    views
        How many of each galaxy.
    generator
        On the device of the tensors.

    Returns
    -------
    list[Draws]
        One for each view.
    """
    found = [_draw_view(ebv, psf_size, recipe, generator) for _ in range(views)]
    if recipe.foreground == 0:
        return found
    n = len(ebv)
    is_chosen = uniform((n,), generator) < recipe.foreground  # (n,)
    place = (uniform((n,), generator) * views).long().clamp(max=views - 1)
    return [
        dataclasses.replace(
            draws,
            foreground=draw_foreground(recipe, is_chosen & (place == number), generator=generator),
        )
        for number, draws in enumerate(found)
    ]


def draw(
    ebv: torch.Tensor, psf_size: torch.Tensor, recipe: AugmentRecipe, *, generator: torch.Generator
) -> Draws:
    """Draw the parameters of one view of each galaxy: :func:`draw_views` of a single view."""
    return draw_views(ebv, psf_size, recipe, views=1, generator=generator)[0]


def _draw_view(
    ebv: torch.Tensor, psf_size: torch.Tensor, recipe: AugmentRecipe, generator: torch.Generator
) -> Draws:
    n = len(ebv)
    zeros = torch.zeros(n, 3, device=ebv.device)
    return Draws(
        reddening=_draw_reddening(ebv, recipe, generator) if recipe.extinction else zeros[:, 0],
        gain=_draw_gain(n, recipe, generator),
        affine=_draw_affine(n, recipe, generator),
        shift=_draw_shift(n, recipe, generator),
        blur_sigma=_draw_blur(psf_size, recipe, generator),
        noise_sigma=_draw_noise(n, recipe, generator) if recipe.noise else zeros,
        is_gray=_draw_is_gray(n, recipe, generator),
        aperture=_draw_aperture(n, recipe, generator),
        blur_limit=_blur_limit(recipe),
    )


def _draw_new(
    n: int, distribution: LogNormal, recipe: AugmentRecipe, generator: torch.Generator
) -> torch.Tensor:
    is_uniform = recipe.distribution == "uniform"
    return (distribution.uniform if is_uniform else distribution).draw(n, generator)


def _draw_reddening(
    ebv: torch.Tensor, recipe: AugmentRecipe, generator: torch.Generator
) -> torch.Tensor:
    own = _own(ebv, EBV.draw(len(ebv), generator), recipe)
    return _draw_new(len(ebv), EBV, recipe, generator) - own


def _own(known: torch.Tensor, drawn: torch.Tensor, recipe: AugmentRecipe) -> torch.Tensor:
    """Return what is known of an object, and what was drawn where nothing is or should be."""
    if recipe.own_values == "drawn":
        return drawn
    return torch.where(torch.isnan(known), drawn, known)


def _draw_gain(n: int, recipe: AugmentRecipe, generator: torch.Generator) -> torch.Tensor:
    color = (2.0 * uniform((n, 3), generator) - 1.0) * recipe.color
    brightness = (2.0 * uniform((n, 1), generator) - 1.0) * recipe.brightness
    return torch.exp(color + brightness)  # (n, 3)


def _draw_affine(n: int, recipe: AugmentRecipe, generator: torch.Generator) -> torch.Tensor:
    factor = recipe.scale_min + (recipe.scale_max - recipe.scale_min) * uniform((n,), generator)
    width = factor if recipe.scale_axes == 2 else torch.ones_like(factor)
    angle = 2.0 * math.pi * uniform((n,), generator)
    flips = 1.0 - 2.0 * torch.randint(0, 2, (n, 2), generator=generator, device=generator.device)
    if not recipe.rotation:
        angle, flips = torch.zeros_like(angle), torch.ones_like(flips)
    return affine_matrix(angle, flips=flips, scale=torch.stack([width, factor], 1))


def _draw_shift(n: int, recipe: AugmentRecipe, generator: torch.Generator) -> torch.Tensor:
    if recipe.integer_jitter:
        limit = int(recipe.jitter_pix)
        whole = torch.randint(
            -limit, limit + 1, (n, 2), generator=generator, device=generator.device
        )
        return whole.to(torch.float32)
    return (2.0 * uniform((n, 2), generator) - 1.0) * recipe.jitter_pix


def _draw_blur(
    psf_size: torch.Tensor, recipe: AugmentRecipe, generator: torch.Generator
) -> torch.Tensor:
    n = len(psf_size)
    variance = torch.zeros(n, 3, device=psf_size.device)
    if recipe.psf_blur:
        wanted = torch.stack([_draw_new(n, d, recipe, generator) for d in PSF_SIGMA_PIX], 1)
        drawn = torch.stack([d.draw(n, generator) for d in PSF_SIGMA_PIX], 1)
        own = _own(psf_size / (PIXEL_SCALE_ARCSEC * FWHM_PER_SIGMA), drawn, recipe)  # (n, 3)
        variance = (wanted**2 - own**2).clamp(min=0.0)
    if recipe.blur_max_pix > 0:
        further = recipe.blur_max_pix * uniform((n, 1), generator)
        variance = variance + further**2
    return torch.sqrt(variance)


def _blur_limit(recipe: AugmentRecipe) -> float:
    widest = max(d.maximum for d in PSF_SIGMA_PIX) if recipe.psf_blur else 0.0
    return math.hypot(widest, recipe.blur_max_pix)


def _draw_noise(n: int, recipe: AugmentRecipe, generator: torch.Generator) -> torch.Tensor:
    # The noise that an image already has is not recorded with it: drawn, as in the released code.
    wanted = torch.stack([_draw_new(n, d, recipe, generator) for d in NOISE_SIGMA], 1)  # (n, 3)
    own = torch.stack([d.draw(n, generator) for d in NOISE_SIGMA], 1)
    return torch.sqrt((wanted**2 - own**2).clamp(min=0.0))


def _draw_is_gray(n: int, recipe: AugmentRecipe, generator: torch.Generator) -> torch.Tensor | None:
    if recipe.color_drop == 0:
        return None
    return (uniform((n,), generator) < recipe.color_drop).to(torch.float32)


def _draw_aperture(
    n: int, recipe: AugmentRecipe, generator: torch.Generator
) -> torch.Tensor | None:
    if recipe.aperture_max_pix == 0:
        return None
    low, high = math.log(recipe.aperture_min_pix), math.log(recipe.aperture_max_pix)
    return torch.exp(low + (high - low) * uniform((n,), generator))

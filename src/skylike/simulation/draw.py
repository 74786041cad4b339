"""Light to pixels: GalSim's profiles and our maps meet the PSF in Fourier space."""

from collections.abc import Sequence
from typing import Final

import galsim
import numpy as np
import numpy.typing as npt
import scipy.fft

from skylike.bands import CUTOUT_SIZE_PIX, PIXEL_SCALE_ARCSEC
from skylike.simulation.distributions import Floats
from skylike.simulation.scene import Brightness, Points, Scene

Pixels = npt.NDArray[np.float32]

MOFFAT_BETA: Final = 3.5
"""Slope of the PSF's wings; half-integer, so that its Fourier transform is a simple formula."""

GRID_SIZES: Final = (48, 64, 96, 128, 192, 256, 320)
"""Sides of the square grids that galaxies are drawn on, in pixels; the FFT is fast at each."""

OVERSAMPLING: Final = 2
"""Samples on a side of each pixel of a brightness map; their mean is the pixel."""


def draw_scene(scene: Scene, *, psf_sigma: Floats, pixels: Pixels) -> None:
    """Add a scene, seen through the PSF, to a cutout.

    Light is exact in total: what leaves the grid comes back at its opposite edge, and only a galaxy
    larger than the cutout loses flux.

    Parameters
    ----------
    psf_sigma
        (3,) sigma in pixels of the PSF in g, r, z; its FWHM is 2.3548 sigma, its shape Moffat's,
        and the pixel is part of it, as in PSF sizes measured on images.
    pixels
        (3, h, w) nanomaggies, changed in place; the scene's center falls on the cutout's.
    """
    size = _grid_size(scene.extent + 6 * PIXEL_SCALE_ARCSEC * float(np.max(psf_sigma)))
    light = _transform(scene, size)  # (3, size, size // 2 + 1)
    light *= _psf(psf_sigma, size)
    stamp = scipy.fft.fftshift(scipy.fft.irfft2(light, s=(size, size)), axes=(1, 2))
    _add_centered(stamp, pixels)


def draw_small(
    places: Floats,
    *,
    profiles: Sequence[galsim.GSObject],
    fluxes: Floats,
    psf_sigma: Floats,
    pixels: Pixels,
) -> None:
    """Add small galaxies and stars, each on a grid of its own about its pixel.

    Parameters
    ----------
    places
        (p, 2) x and y in arcsec from the center of the cutout.
    profiles
        p profiles of unit flux about (0, 0).
    fluxes
        (p, 3) nanomaggies.
    """
    size = GRID_SIZES[0]
    psf = _psf(psf_sigma, size)
    for place, profile, flux in zip(places, profiles, fluxes, strict=True):
        whole = np.round(place / PIXEL_SCALE_ARCSEC)
        rest = place - whole * PIXEL_SCALE_ARCSEC
        shape = _fourier(profile.shift(*rest), size)
        stamp = scipy.fft.irfft2(
            psf * shape * flux[:, None, None].astype(np.float32), s=(size, size)
        )
        _add_centered(
            scipy.fft.fftshift(stamp, axes=(1, 2)), pixels, x=int(whole[0]), y=int(whole[1])
        )


def sky_noise(noise: Floats, rng: np.random.Generator) -> Pixels:
    """Return Gaussian noise of each band's sigma, (3, 152, 152).

    The sky outshines a galaxy of magnitude 14 to 20 in all but its innermost pixels, so that photon
    noise of the galaxy itself is left out.
    """
    shape = (3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX)
    return rng.standard_normal(shape, dtype=np.float32) * noise[:, None, None].astype(np.float32)


def _grid_size(extent: float) -> int:
    needed = 2 * extent / PIXEL_SCALE_ARCSEC
    return next((size for size in GRID_SIZES if size >= needed), GRID_SIZES[-1])


def _psf(psf_sigma: Floats, size: int) -> npt.NDArray[np.complex64]:
    """Transform the PSF of each band, moved from the middle of a pixel to a corner of it."""
    # The center of a cutout of 152 pixels lies between pixels 75 and 76.
    half = PIXEL_SCALE_ARCSEC / 2
    psfs = (galsim.Moffat(MOFFAT_BETA, fwhm=2.3548 * s * PIXEL_SCALE_ARCSEC) for s in psf_sigma)
    return np.stack([_fourier(psf.shift(-half, -half), size) for psf in psfs])


def _transform(scene: Scene, size: int) -> npt.NDArray[np.complex64]:
    total = np.zeros((3, size, size // 2 + 1), dtype=np.complex64)
    maps = np.zeros((3, size, size), dtype=np.float32)
    axis = _axis(size)
    for light in scene.lights:
        flux = light.flux.astype(np.float32)[:, None, None]
        if isinstance(light.shape, galsim.GSObject):
            total += flux * _fourier(light.shape, size)
        else:
            maps += flux * _sample(light.shape, axis, size)
    if any(not isinstance(light.shape, galsim.GSObject) for light in scene.lights):
        transformed = scipy.fft.rfft2(scipy.fft.ifftshift(maps, axes=(1, 2)))
        # Averaging over a pixel blurred the map; the PSF has the pixel in it already.
        rows = np.sinc(scipy.fft.fftfreq(size)).astype(np.float32)[:, None]
        columns = np.sinc(scipy.fft.rfftfreq(size)).astype(np.float32)
        total += transformed / (rows * columns)
    for points in scene.points:
        total += _transform_points(points, size)
    return total


def _axis(size: int) -> npt.NDArray[np.float32]:
    """Places of samples, arcsec; the samples of pixel size // 2 lie about 0."""
    sample = (np.arange(size * OVERSAMPLING) + 0.5) / OVERSAMPLING - 0.5
    return ((sample - size // 2) * PIXEL_SCALE_ARCSEC).astype(np.float32)


def _sample(brightness: Brightness, axis: npt.NDArray[np.float32], size: int) -> Pixels:
    fine = brightness(axis[None, :], axis[:, None])  # (size * 2, size * 2)
    coarse = fine.reshape(size, OVERSAMPLING, size, OVERSAMPLING).sum(axis=(1, 3))  # (size, size)
    return np.asarray(coarse / coarse.sum(), dtype=np.float32)


def _transform_points(points: Points, size: int) -> npt.NDArray[np.complex64]:
    """Count points into fine bins, so that a point is off by 0.07 arcsec at most."""
    fine = size * OVERSAMPLING
    bins = [
        np.round((place / PIXEL_SCALE_ARCSEC + size // 2) * OVERSAMPLING).astype(np.intp)
        for place in (points.y, points.x)
    ]
    inside = (bins[0] >= 0) & (bins[0] < fine) & (bins[1] >= 0) & (bins[1] < fine)
    weight = points.weight * inside / (points.weight * inside).sum()
    flat = np.where(inside, bins[0] * fine + bins[1], 0)
    counted = np.bincount(flat, weights=weight, minlength=fine * fine)
    shifted = scipy.fft.ifftshift(counted.reshape(fine, fine).astype(np.float32))
    whole = scipy.fft.rfft2(shifted)  # (fine, fine // 2 + 1)
    half = size // 2
    low = np.concatenate([whole[:half], whole[-half:]])[:, : half + 1]  # (size, size // 2 + 1)
    if points.sigma > 0:
        low = low * _fourier(galsim.Gaussian(sigma=points.sigma), size).real
    return np.asarray(points.flux.astype(np.float32)[:, None, None] * low, dtype=np.complex64)


def _fourier(profile: galsim.GSObject, size: int) -> npt.NDArray[np.complex64]:
    """Sample the Fourier transform of a profile at ``rfft2``'s frequencies, (size, size//2+1)."""
    bounds = galsim.BoundsI(0, size // 2, -size // 2, size // 2 - 1)
    step = 2 * np.pi / (size * PIXEL_SCALE_ARCSEC)
    image = galsim.ImageCF(bounds, scale=step)
    profile.drawKImage(image=image, recenter=False)
    return np.asarray(scipy.fft.ifftshift(image.array, axes=0), dtype=np.complex64)


def _add_centered(stamp: Pixels, pixels: Pixels, *, x: int = 0, y: int = 0) -> None:
    """Add a stamp whose center falls on the cutout's, moved by whole pixels."""
    size, side = stamp.shape[-1], pixels.shape[-1]
    left, low = side // 2 - size // 2 + x, side // 2 - size // 2 + y
    x0, x1 = max(left, 0), min(left + size, side)
    y0, y1 = max(low, 0), min(low + size, side)
    if x0 < x1 and y0 < y1:
        pixels[:, y0:y1, x0:x1] += stamp[:, y0 - low : y1 - low, x0 - left : x1 - left]

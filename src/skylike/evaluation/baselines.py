"""Baselines without learning from many images: pixels, and a hand-made descriptor."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from skylike.bands import CROP_SIZE_PIX
from skylike.embeddings.preprocess import Preprocessing, center_crop, to_canvas, to_colors
from skylike.evaluation.descriptor import LOG_POLAR, describe
from skylike.evaluation.methods import Extractor, Method
from skylike.evaluation.probes import Standardization
from skylike.evaluation.similar import as_stored

Array = npt.NDArray[Any]

COMPONENTS: Final = 64
"""Principal components of the pixels."""

_BIN_PIX: Final = 2
"""Pixels are averaged in squares of this side before the principal components: a quarter of the
memory, and 64 components hold nothing so fine."""

_FITTED: Final = 10_000
"""Images that the axes are fitted to, at most: 276 MB of pixels."""

_COLORS: Final = Preprocessing(input="rgb", crop_pix=CROP_SIZE_PIX, bin_pix=_BIN_PIX)
_WHOLE: Final = Preprocessing(input="rgb", crop_pix=CROP_SIZE_PIX, bin_pix=1)


def baseline_extractors(*, device: str = "cpu", seed: int = 0) -> list[Extractor]:
    """Return the baselines that need no network: pixel PCA and the log-polar descriptor."""
    pixels = Method(
        "pixel PCA",
        "baseline",
        {"components": COMPONENTS, "crop_pix": CROP_SIZE_PIX, "bin_pix": _BIN_PIX},
        lambda crops: as_stored(pixel_components(crops, seed=seed)),
    )
    polar = Method("log-polar descriptor", "baseline", asdict(LOG_POLAR), _standardized)

    def crop(images: Array, kind: str) -> Sequence[Array]:
        canvas = to_canvas(torch.from_numpy(images), kind, _COLORS)
        colors = to_colors(center_crop(canvas, _COLORS), kind, _COLORS)  # (b, 3, 48, 48)
        return [colors.flatten(1).to(torch.float16).numpy()]

    def rings(images: Array, kind: str) -> Sequence[Array]:
        canvas = to_canvas(torch.from_numpy(images).to(device), kind, _WHOLE)
        return [describe(to_colors(canvas, kind, _WHOLE)).cpu().numpy()]

    return [Extractor((pixels,), crop), Extractor((polar,), rings)]


def pixel_components(crops: Array, *, components: int = COMPONENTS, seed: int = 0) -> Array:
    """Project images on the principal axes of their pixels: (n, components) float32.

    Parameters
    ----------
    crops
        (n, pixels) of any float type. There are fewer components where n or the pixels are fewer.
    seed
        Of the images that the axes are fitted to and of the randomized decomposition (Halko,
        Martinsson & Tropp 2011).
    """
    random = np.random.default_rng(seed)
    n = len(crops)
    fitted = np.sort(random.choice(n, min(n, _FITTED), replace=False))
    sample = torch.from_numpy(crops[fitted].astype(np.float32))
    mean = sample.mean(dim=0)  # (pixels,)
    kept = min(components, *sample.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, _, axes = torch.pca_lowrank(
            sample - mean, q=min(kept + 16, *sample.shape), center=False, niter=4
        )
    step = 4096
    parts = [
        (torch.from_numpy(crops[start : start + step].astype(np.float32)) - mean) @ axes[:, :kept]
        for start in range(0, n, step)
    ]
    return np.asarray(torch.cat(parts).numpy())


def _standardized(values: Array) -> Array:
    """Shift and scale each feature of (n, d) to mean 0 and variance 1 over the images.

    Otherwise the few large ones, the brightness of the rings, decide alone. A black image, zeros
    before, has no direction after it either.
    """
    rows = values.astype(np.float64)
    scaled = Standardization(rows)(rows)
    scaled[(rows == 0).all(axis=1)] = 0.0
    return as_stored(scaled)

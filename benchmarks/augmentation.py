"""Images per second and core of the augmentations, and of a scikit-image loop doing the same six.

    python benchmarks/augmentation.py [--images 256] [--rounds 7] [--data FOLDER]

Flux cutouts of 152 pixels, views of 96 pixels (and the same with pixels averaged in squares of 2),
the recipe ``paper``, one thread. Both are given the same parameters, drawn beforehand by skylike,
and take turns in rounds; on a busy machine read the ratio of the fastest rounds. Prints JSON.
Cutouts are simulated, or with ``--data`` real ones from a folder of FITS cubes (3, h, w), cut from
their middle.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import skimage.filters
import skimage.transform
import torch
from astropy.io import fits

from skylike.bands import CUTOUT_SIZE_PIX, EXTINCTION_COEFFICIENT
from skylike.embeddings.augmentation.draws import Draws, draw
from skylike.embeddings.augmentation.views import apply
from skylike.embeddings.preprocess import Preprocessing, to_canvas
from skylike.embeddings.recipes import load_recipe

COEFFICIENTS = np.array([EXTINCTION_COEFFICIENT[band] for band in "grz"], dtype=np.float32)

Image = npt.NDArray[np.float32]


def simulated_cutouts(n: int) -> Image:
    """Return (n, 3, 152, 152) disks of different sizes in noise, nanomaggies."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:CUTOUT_SIZE_PIX, :CUTOUT_SIZE_PIX] - (CUTOUT_SIZE_PIX - 1) / 2
    radius = rng.uniform(2, 12, (n, 3, 1, 1))
    disks = np.exp(-np.hypot(x, y / rng.uniform(0.3, 1, (n, 1, 1, 1))) / radius)
    return (disks + rng.normal(0, 0.005, disks.shape)).astype(np.float32)


def real_cutouts(folder: Path, n: int) -> Image:
    """Return n cutouts from the middle of whole FITS cubes in a folder, repeated as needed."""
    cubes = []
    for path in sorted(folder.glob("*.fits")):
        with fits.open(path) as hdus:
            if path.stat().st_size < np.prod(hdus[0].shape) * abs(hdus[0].header["BITPIX"]) // 8:
                continue  # cut short
            start = (hdus[0].shape[-1] - CUTOUT_SIZE_PIX) // 2
            inner = slice(start, start + CUTOUT_SIZE_PIX)
            cubes.append(np.asarray(hdus[0].data[:, inner, inner], dtype=np.float32))
    return np.stack([cubes[i % len(cubes)] for i in range(n)])


def loop(canvases: list[Image], parameters: dict[str, Image], bin_pix: int) -> None:
    """Augment images (s, s, 3) one after the other, as the released code of the paper does."""
    size, rng = 96 // bin_pix, np.random.default_rng(0)
    for i, canvas in enumerate(canvases):
        image = canvas * 10.0 ** (-0.4 * COEFFICIENTS * parameters["reddening"][i])
        if parameters["flips"][i, 0]:
            image = np.flip(image, axis=0)
        if parameters["flips"][i, 1]:
            image = np.flip(image, axis=1)
        image = skimage.transform.rotate(image, float(parameters["degrees"][i]), order=1)
        image = skimage.transform.rescale(
            image, float(parameters["scale"][i]), order=1, anti_aliasing=False, channel_axis=2
        )
        for band in range(3):
            if (sigma := parameters["blur"][i, band] / bin_pix) > 0:
                image[:, :, band] = skimage.filters.gaussian(
                    image[:, :, band], sigma=sigma, mode="reflect"
                )
        y, x = image.shape[0] // 2 + parameters["shift"][i].astype(int) // bin_pix
        half = size // 2
        image = image[y - half : y + half, x - half : x + half]
        for band in range(3):
            if (sigma := parameters["noise"][i, band] / bin_pix) > 0:
                image[:, :, band] += rng.normal(0, sigma, (size, size))


def parameters_of(draws: Draws) -> dict[str, Image]:
    """Return plain numbers of the same distribution for the loop, equal ones where it matters."""
    rng = np.random.default_rng(1)
    n = len(draws.reddening)
    return {
        "reddening": draws.reddening.numpy(),
        "flips": rng.integers(0, 2, (n, 2)).astype(np.float32),
        "degrees": rng.uniform(0, 360, n).astype(np.float32),
        "scale": (draws.affine.det().abs() ** -0.5).numpy(),
        "blur": draws.blur_sigma.numpy(),
        "shift": draws.shift.numpy(),
        "noise": draws.noise_sigma.numpy(),
    }


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call keeps its core busy; waiting for the core does not count."""
    start = time.thread_time()
    call()
    return time.thread_time() - start


def measure(cutouts: Image, bin_pix: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return images per second of both, and their ratios."""
    n = len(cutouts)
    recipe = load_recipe("paper").augment
    preprocessing = Preprocessing(input="flux", bin_pix=bin_pix)
    canvas = to_canvas(torch.from_numpy(cutouts), "flux", preprocessing)
    stored = canvas.half()  # what training keeps in memory
    images = [np.ascontiguousarray(c.permute(1, 2, 0).numpy()) for c in canvas]
    generator = torch.Generator().manual_seed(0)
    # A known PSF near the median of the survey, as most objects have.
    ebv, psf_size = torch.full((n,), 0.04), torch.tensor([[1.48, 1.33, 1.24]]).expand(n, 3)
    draws = draw(ebv, psf_size, recipe, generator=generator)
    parameters = parameters_of(draws)

    def ours(pixels: torch.Tensor) -> None:
        drawn = draw(ebv, psf_size, recipe, generator=generator)
        apply(pixels, drawn, preprocessing, kind="flux", generator=generator)

    calls = {
        "skylike": lambda: ours(canvas),
        "skylike, float16 canvases": lambda: ours(stored),
        "scikit-image": lambda: loop(images, parameters, bin_pix),
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    found = {name: round(n / float(np.median(times)), 1) for name, times in taken.items()}
    loop_s = np.array(taken["scikit-image"])
    # Of a round, so that both had the same share of the machine.
    ratios = {name: float(np.median(loop_s / times)) for name, times in taken.items()}
    best = {name: float(loop_s.min() / min(times)) for name, times in taken.items()}
    return {
        "images_per_second": found,
        "ratio, median of rounds": {k: round(v, 1) for k, v in ratios.items()},
        "ratio, fastest rounds": {k: round(v, 1) for k, v in best.items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data", type=Path, help="folder of FITS cubes (3, h, w)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.data:
        cutouts = real_cutouts(options.data, options.images)
    else:
        cutouts = simulated_cutouts(options.images)
    report = {
        "images": options.images,
        "threads": 1,
    } | {f"bin_pix {bin_pix}": measure(cutouts, bin_pix, options.rounds) for bin_pix in (1, 2)}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()

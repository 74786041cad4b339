"""Real cutouts, and views of which only what a test is about changes."""

import dataclasses
import io
import math
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from PIL import Image

from cutout_factory import draw_cutouts
from skylike.embeddings.augmentation.draws import Draws, draw
from skylike.embeddings.augmentation.recipe import AugmentRecipe
from skylike.embeddings.augmentation.views import apply
from skylike.embeddings.preprocess import Preprocessing

NOTHING = AugmentRecipe(
    extinction=False,
    rotation=False,
    scale_min=1.0,
    scale_max=1.0,
    psf_blur=False,
    jitter_pix=0.0,
    noise=False,
)

DrawsOf = Callable[..., Draws]
ViewOf = Callable[..., torch.Tensor]


@pytest.fixture(scope="session")
def nothing() -> AugmentRecipe:
    """No step at all."""
    return NOTHING


@pytest.fixture(scope="session")
def generator() -> Callable[[int], torch.Generator]:
    return lambda seed=0: torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def draws_of(generator) -> DrawsOf:
    """Draws that leave n images as they are, apart from the changes."""

    def make(n: int, **changes: object) -> Draws:
        unknown = torch.full((n, 3), math.nan)
        still = draw(unknown[:, 0], unknown, NOTHING, generator=generator(0))
        return dataclasses.replace(still, **changes)

    return make


@pytest.fixture(scope="session")
def view_of(generator) -> ViewOf:
    """One view of canvases: full resolution flux, unless told otherwise."""

    def make(canvas, draws, preprocessing=None, kind="flux"):
        preprocessing = preprocessing or Preprocessing(input=kind)
        return apply(canvas, draws, preprocessing, kind=kind, generator=generator(0))

    return make


@pytest.fixture(scope="session")
def simulated() -> torch.Tensor:
    """(4, 3, 152, 152) nanomaggies."""
    return torch.from_numpy(draw_cutouts(4, seed=5)[0])


@pytest.fixture(scope="session")
def real_flux(shared_data: Path) -> torch.Tensor:
    """(3, 3, 152, 152) nanomaggies from the middle of real Legacy Surveys cubes."""
    cubes = []
    for name in ("example_a", "example_b", "example_d"):
        cube = fits.getdata(shared_data / "legacy_survey" / "cutouts" / f"{name}.fits")
        cubes.append(np.ascontiguousarray(cube[:, 136:288, 136:288], dtype=np.float32))
    return torch.from_numpy(np.stack(cubes))


@pytest.fixture(scope="session")
def real_pictures(shared_data: Path) -> torch.Tensor:
    """(4, 3, 152, 152) R, G, B in [0, 1] of SDSS galaxies."""
    with tarfile.open(shared_data / "galaxy_zoo1" / "galaxy_zoo1.tar") as tar:
        names = sorted(tar.getnames())[:4]
        images = [np.array(Image.open(io.BytesIO(tar.extractfile(n).read()))) for n in names]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255.0


@pytest.fixture(params=["flux", "rgb"])
def real_images(request: pytest.FixtureRequest) -> tuple[torch.Tensor, str]:
    """Real cutouts of both kinds, and their kind."""
    name = {"flux": "real_flux", "rgb": "real_pictures"}[request.param]
    return request.getfixturevalue(name), request.param

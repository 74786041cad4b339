"""A tiny recipe and a file of cutouts that train in seconds."""

from collections.abc import Iterator

import pytest
import torch

from cutout_factory import draw_cutouts, index_of, write_images
from skylike.embeddings.recipe import TrainRecipe, replace_fields
from skylike.images.index import CutoutIndex


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two tests at once must not fight for cores, and sums must not depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_recipe() -> TrainRecipe:
    """Two epochs of six steps."""
    return replace_fields(
        TrainRecipe(),
        {
            "name": "tiny",
            "architecture": "resnet18",
            "width": 0.125,
            "input": "rgb",
            "bin_pix": 4,
            "batch_size": 8,
            "queue": 16,
            "normalization_groups": 2,
            "projection_hidden": 16,
            "projection_dimension": 8,
            "epochs": 2.0,
        },
    )


@pytest.fixture(scope="session")
def cutout_index(tmp_path_factory: pytest.TempPathFactory) -> CutoutIndex:
    """48 flux cutouts."""
    path = tmp_path_factory.mktemp("cutouts") / "images.h5"
    return index_of(write_images(path, draw_cutouts(48)[0]), 48)

"""An untrained encoder entered by hand, and galaxies with cutouts: embedding needs no more."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine

from cutout_factory import add_galaxies, draw_cutouts, insert_cutouts, insert_galaxies, write_images
from skylike.embeddings import store
from skylike.embeddings.checkpoint import file_sha256, save_encoder
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import Preprocessing
from skylike.embeddings.recipe import TrainRecipe, replace_fields

N_GALAXIES = 40


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_recipe() -> TrainRecipe:
    """Two epochs of five steps; embeddings of 64 numbers."""
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


@pytest.fixture
def galaxies(engine: Engine, tmp_path: Path) -> Callable[..., None]:
    """Enters galaxies with flux cutouts: the first N_GALAXIES at once, more when called."""

    def add(first: int, n: int) -> None:
        path = write_images(tmp_path / f"from{first}.h5", draw_cutouts(n, seed=first)[0])
        with engine.begin() as connection:
            if first > 1:
                add_galaxies(connection, first, n)
            else:
                insert_galaxies(connection, n)
            insert_cutouts(connection, path, list(range(first, first + n)))

    add(1, N_GALAXIES)
    return add


@pytest.fixture
def enter_encoder(engine: Engine, tiny_recipe: TrainRecipe, tmp_path: Path) -> Callable[..., str]:
    """Enters an untrained encoder under a name."""

    def enter(name: str = "tiny", **changes: object) -> str:
        recipe = dataclasses.replace(tiny_recipe, **changes)
        torch.manual_seed(len(name))
        network = build_network(recipe)
        preprocessing = Preprocessing(
            input=recipe.input, bin_pix=4, mean=(0.1, 0.1, 0.1), scale=(0.2, 0.2, 0.2)
        )
        path = tmp_path / f"{name}.pt"
        save_encoder(path, network, recipe, preprocessing, {})
        with engine.begin() as connection:
            store.insert_encoder(
                connection,
                {
                    "name": name,
                    "architecture": recipe.architecture,
                    "width": recipe.width,
                    "dimension": network.dimension,
                    "input": recipe.input,
                    "bands": ["g", "r", "z"],
                    "pixel_scale": 0.262,
                    "crop_pix": 96,
                    "preprocessing": dataclasses.asdict(preprocessing),
                    "training": {},
                    "checkpoint": str(path),
                    "checkpoint_sha256": file_sha256(path),
                    "is_active": False,
                },
            )
        return name

    return enter

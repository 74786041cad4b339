"""Views of the steps of a run, whoever makes them and whenever."""

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from cutout_factory import index_of, write_images
from skylike.embeddings.preprocess import Preprocessing, preprocessing_of, to_colors
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training import batch_views
from skylike.embeddings.training.batch_views import BatchViews, iter_views
from skylike.embeddings.training.training_set import TrainingSet
from skylike.images.index import CutoutIndex


def views_of(
    index: CutoutIndex, recipe: TrainRecipe, steps: range, *, count: int = 2
) -> list[BatchViews]:
    preprocessing = preprocessing_of(recipe)
    images = TrainingSet(index, preprocessing)
    return list(iter_views(images, recipe, preprocessing, count=count, steps=steps, device="cpu"))


def check_equal(found: list[BatchViews], expected: list[BatchViews]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.views, other.views, strict=True))
        assert torch.equal(one.generator.get_state(), other.generator.get_state())


def test_views_made_ahead_by_a_thread_are_those_made_in_turn(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch
):
    in_turn = views_of(cutout_index, tiny_recipe, range(8))
    monkeypatch.setattr(batch_views, "AHEAD_FROM_THREADS", 1)

    check_equal(views_of(cutout_index, tiny_recipe, range(8)), in_turn)


def test_views_of_a_step_do_not_depend_on_the_steps_before(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe
):
    whole = views_of(cutout_index, tiny_recipe, range(9))

    check_equal(views_of(cutout_index, tiny_recipe, range(5, 9)), whole[5:])
    assert not torch.equal(whole[0].views[0], whole[6].views[0])


def test_leaving_early_ends_the_thread(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batch_views, "AHEAD_FROM_THREADS", 1)
    preprocessing = preprocessing_of(tiny_recipe)
    views = iter_views(
        TrainingSet(cutout_index, preprocessing),
        tiny_recipe,
        preprocessing,
        count=2,
        steps=range(1000),
        device="cpu",
    )
    next(views)

    views.close()

    assert not [t for t in threading.enumerate() if t.name.startswith("skylike")]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_as_many_views_are_made_as_the_objective_asks_for(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, count: int
):
    (made,) = views_of(cutout_index, tiny_recipe, range(1), count=count)

    assert [tuple(view.shape) for view in made.views] == [(8, 3, 24, 24)] * count
    assert len({float(view.sum()) for view in made.views}) == count


def test_pictures_and_fluxes_of_a_batch_keep_their_places(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    """All fluxes are the dark sky, each picture is flat and as bright as its number."""
    recipe = dataclasses.replace(
        tiny_recipe,
        augment=dataclasses.replace(
            tiny_recipe.augment, extinction=False, psf_blur=False, noise=False, jitter_pix=0.0
        ),
    )
    pictures = np.empty((48, 3, 152, 152), dtype=np.uint8)
    pictures[:] = np.arange(48, dtype=np.uint8)[:, None, None, None] * 5
    rgb = index_of(write_images(tmp_path / "pictures.h5", pictures), 48, kind="rgb")
    fluxes = np.full((48, 3, 152, 152), 1e-9, dtype=np.float32)
    write_images(tmp_path / "fluxes.h5", fluxes)
    file_id = np.where(np.arange(48) % 2 == 0, 1, 2).astype(np.int32)
    files = {
        1: dataclasses.replace(cutout_index.files[1], path=tmp_path / "fluxes.h5"),
        2: dataclasses.replace(rgb.files[1], file_id=2),
    }
    index = dataclasses.replace(cutout_index, file_id=file_id, files=files)

    (made,) = views_of(index, recipe, range(1))

    images = TrainingSet(index, Preprocessing(input="rgb", bin_pix=4))
    positions = images.positions_at(0, 8, seed=recipe.seed)
    sky = float(to_colors(torch.zeros(1, 3, 2, 2), "flux", images.preprocessing).mean())
    expected = torch.from_numpy(np.where(positions % 2 == 0, sky, positions * 5 / 255.0))
    assert 0 < (positions % 2).sum() < 8
    for view in made.views:
        middle = view[:, :, 12, 12].mean(dim=1).double()
        torch.testing.assert_close(middle, expected, atol=2e-3, rtol=0)

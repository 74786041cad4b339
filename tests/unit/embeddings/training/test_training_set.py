"""Which images are trained on, and in which order."""

import dataclasses
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from cutout_factory import draw_cutouts, index_of, write_images
from skylike.embeddings.preprocess import Preprocessing, to_canvas
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training.training_set import TrainingSet, choose_images, epoch_order
from skylike.errors import EmptyStageError, SettingsError
from skylike.images.index import CutoutFile, CutoutIndex


def both_kinds(cutout_index: CutoutIndex) -> CutoutIndex:
    """Rows 0-31 flux, 32-47 pictures; galaxy 5 has both, at rows 5 and 40."""
    galaxy_id = np.full(48, -1, dtype=np.int32)
    galaxy_id[[5, 40]] = 5
    file_id = np.where(np.arange(48) < 32, 1, 2).astype(np.int32)
    flux = cutout_index.files[1]
    files = {1: flux, 2: CutoutFile(2, flux.path, "rgb", ("R", "G", "B"), 152, None)}
    return dataclasses.replace(cutout_index, galaxy_id=galaxy_id, file_id=file_id, files=files)


def test_of_a_galaxy_with_both_the_fluxes_are_taken(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe
):
    chosen = choose_images(both_kinds(cutout_index), tiny_recipe)

    assert set(range(48)) - set(chosen.file_row) == {40}


def test_kind_restricts_the_choice(cutout_index: CutoutIndex, tiny_recipe: TrainRecipe):
    assert len(choose_images(both_kinds(cutout_index), tiny_recipe, kind="rgb")) == 16


def test_pictures_for_a_network_of_fluxes_are_refused(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe
):
    recipe = dataclasses.replace(tiny_recipe, input="flux")

    with pytest.raises(SettingsError, match="rgb input"):
        choose_images(both_kinds(cutout_index), recipe, kind="rgb")


def test_fewer_images_than_a_batch_are_refused(cutout_index: CutoutIndex, tiny_recipe: TrainRecipe):
    with pytest.raises(SettingsError, match="5 images"):
        choose_images(cutout_index.take(np.arange(5)), tiny_recipe)


def test_no_images_name_the_command_that_adds_them(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe
):
    with pytest.raises(EmptyStageError, match="skylike images add"):
        choose_images(cutout_index.take(np.arange(0)), tiny_recipe)


def test_a_sample_is_drawn_by_the_seed(cutout_index: CutoutIndex, tiny_recipe: TrainRecipe):
    recipe = dataclasses.replace(tiny_recipe, galaxies=20)

    first, again = (choose_images(cutout_index, recipe).file_row for _ in range(2))
    other = choose_images(cutout_index, dataclasses.replace(recipe, seed=2)).file_row

    assert len(first) == 20
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("window", [1000, 256])
def test_an_epoch_shows_every_image_once(window: int):
    order = epoch_order(1000, window, seed=1, epoch=0)

    assert np.array_equal(np.sort(order), np.arange(1000))
    assert not np.array_equal(order, epoch_order(1000, window, seed=1, epoch=1))


def test_a_window_comes_from_few_blocks_on_disk():
    order = epoch_order(4096, 512, seed=1, epoch=0)

    assert all(len(np.unique(order[i : i + 512] // 128)) == 4 for i in range(0, 4096, 512))


@pytest.mark.parametrize("memory_bytes", [1 << 30, 20 * 2 * 3 * 38 * 38])
def test_batches_hold_the_right_images_whether_all_fit_in_memory_or_not(
    cutout_index: CutoutIndex, memory_bytes: int
):
    preprocessing = Preprocessing(input="flux", bin_pix=4)
    images = TrainingSet(cutout_index, preprocessing, memory_bytes=memory_bytes)
    pixels = torch.from_numpy(draw_cutouts(48)[0])
    expected = to_canvas(pixels, "flux", preprocessing)

    for step, positions in enumerate(islice(images.batches(8, seed=1), 14)):
        canvases = images.canvases(positions, 8, seed=1, step=step)
        torch.testing.assert_close(canvases.float(), expected[positions], atol=1e-5, rtol=1e-3)


def test_batches_from_a_later_step_are_those_of_the_whole_run(cutout_index: CutoutIndex):
    images = TrainingSet(cutout_index, Preprocessing(input="flux", bin_pix=4))

    whole = list(islice(images.batches(8, seed=1), 20))
    later = list(islice(images.batches(8, seed=1, first_step=9), 11))

    assert all(np.array_equal(a, b) for a, b in zip(whole[9:], later, strict=True))


def test_averaging_passes_over_pixels_that_were_not_observed(tmp_path: Path):
    pixels = draw_cutouts(1)[0]
    pixels[0, 0, :2, :2] = [[1.0, 3.0], [np.nan, np.nan]]
    pixels[0, 1, :2, :2] = np.nan
    index = index_of(write_images(tmp_path / "a.h5", pixels), 1)

    canvas = TrainingSet(index, Preprocessing(input="flux", bin_pix=2)).read(np.array([0]))

    assert float(canvas[0, 0, 0, 0]) == 2.0
    assert torch.isnan(canvas[0, 1, 0, 0])

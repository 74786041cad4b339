"""In which order images are trained on, and how they come into memory."""

import dataclasses
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from cutout_factory import draw_cutouts, index_of, write_images
from skylike.embeddings.preprocess import Preprocessing, to_canvas
from skylike.embeddings.training.training_set import TrainingSet, epoch_order
from skylike.errors import ImageFileError
from skylike.images.index import CutoutIndex


@pytest.mark.parametrize("window", [1000, 256])
def test_an_epoch_shows_every_image_once(window: int):
    order = epoch_order(1000, window, seed=1, epoch=0)

    assert np.array_equal(np.sort(order), np.arange(1000))
    assert not np.array_equal(order, epoch_order(1000, window, seed=1, epoch=1))


def test_a_window_comes_from_few_blocks_on_disk():
    order = epoch_order(4096, 512, seed=1, epoch=0)

    assert all(len(np.unique(order[i : i + 512] // 128)) == 4 for i in range(0, 4096, 512))


SMALL = 4 * 8 * 2 * 3 * 38 * 38
"""Bytes of two windows of 16 canvases."""


@pytest.mark.parametrize("memory_bytes", [1 << 30, SMALL])
def test_batches_hold_the_right_images_whether_all_fit_in_memory_or_not(
    cutout_index: CutoutIndex, memory_bytes: int
):
    preprocessing = Preprocessing(input="flux", bin_pix=4)
    images = TrainingSet(cutout_index, preprocessing, memory_bytes=memory_bytes)
    expected = to_canvas(torch.from_numpy(draw_cutouts(48)[0]), "flux", preprocessing)

    batches = list(images.batches(8, seed=1, steps=range(14)))

    assert [batch.step for batch in batches] == list(range(14))
    for batch in batches:
        torch.testing.assert_close(
            batch.canvases.float(), expected[batch.positions], atol=1e-5, rtol=1e-3
        )


@pytest.mark.parametrize("memory_bytes", [1 << 30, SMALL])
def test_a_sample_is_read_in_inference_mode_too(cutout_index: CutoutIndex, memory_bytes: int):
    preprocessing = Preprocessing(input="flux", bin_pix=4)
    images = TrainingSet(cutout_index, preprocessing, memory_bytes=memory_bytes)

    with torch.inference_mode():
        sample = images.sample(np.array([5, 2, 40]))

    assert torch.equal(sample, images.read(np.array([5, 2, 40])))


@pytest.mark.parametrize("memory_bytes", [1 << 30, SMALL])
@pytest.mark.parametrize("first", [1, 6, 9])
def test_batches_from_a_later_step_are_those_of_the_whole_run(
    cutout_index: CutoutIndex, memory_bytes: int, first: int
):
    images = TrainingSet(
        cutout_index, Preprocessing(input="flux", bin_pix=4), memory_bytes=memory_bytes
    )

    whole = list(images.batches(8, seed=1, steps=range(20)))
    later = list(images.batches(8, seed=1, steps=range(first, 20)))

    for a, b in zip(whole[first:], later, strict=True):
        assert a.step == b.step
        assert np.array_equal(a.positions, b.positions)
        assert torch.equal(a.canvases, b.canvases)


def test_the_batch_of_a_step_can_be_named(cutout_index: CutoutIndex):
    images = TrainingSet(cutout_index, Preprocessing(input="flux", bin_pix=4), memory_bytes=SMALL)

    for batch in images.batches(8, seed=1, steps=range(4, 9)):
        assert np.array_equal(images.positions_at(batch.step, 8, seed=1), batch.positions)


def test_not_more_than_two_windows_are_in_memory(
    cutout_index: CutoutIndex, monkeypatch: pytest.MonkeyPatch
):
    images = TrainingSet(cutout_index, Preprocessing(input="flux", bin_pix=4), memory_bytes=SMALL)
    held: list[weakref.ref] = []
    most = 0
    begin = TrainingSet._begin

    def counted(self, pool, positions):
        nonlocal most
        most = max(most, 1 + sum(one() is not None for one in held))
        window = begin(self, pool, positions)
        held.append(weakref.ref(window))
        return window

    monkeypatch.setattr(TrainingSet, "_begin", counted)

    assert sum(1 for _ in images.batches(8, seed=1, steps=range(18))) == 18
    assert len(held) == 9
    assert most == 2


def test_leaving_early_ends_the_readers(cutout_index: CutoutIndex):
    images = TrainingSet(cutout_index, Preprocessing(input="flux", bin_pix=4), memory_bytes=SMALL)
    batches = images.batches(8, seed=1, steps=range(100))
    next(batches)

    batches.close()

    assert not [t for t in threading.enumerate() if t.name.startswith("skylike-read")]


def test_a_file_that_is_gone_is_named_where_its_images_are_needed(
    cutout_index: CutoutIndex, tmp_path: Path
):
    gone = dataclasses.replace(cutout_index.files[1], path=tmp_path / "gone.h5")
    index = dataclasses.replace(cutout_index, files={1: gone})
    images = TrainingSet(index, Preprocessing(input="flux", bin_pix=4), memory_bytes=SMALL)

    with pytest.raises(ImageFileError, match=r"gone\.h5"):
        next(images.batches(8, seed=1, steps=range(3)))


def test_pictures_and_fluxes_are_told_apart_in_one_window(
    cutout_index: CutoutIndex, tmp_path: Path
):
    pictures = np.random.default_rng(0).integers(0, 255, (48, 3, 152, 152), dtype=np.uint8)
    rgb = index_of(write_images(tmp_path / "pictures.h5", pictures), 48, kind="rgb")
    file_id = np.where(np.arange(48) % 2 == 0, 1, 2).astype(np.int32)
    files = {1: cutout_index.files[1], 2: dataclasses.replace(rgb.files[1], file_id=2)}
    index = dataclasses.replace(cutout_index, file_id=file_id, files=files)
    preprocessing = Preprocessing(input="rgb", bin_pix=4)
    order = np.array([7, 4, 1, 40])

    canvases = TrainingSet(index, preprocessing).read(order)

    fluxes = to_canvas(torch.from_numpy(draw_cutouts(48)[0]), "flux", preprocessing)
    colors = to_canvas(torch.from_numpy(pictures), "rgb", preprocessing)
    expected = torch.stack([colors[7], fluxes[4], colors[1], fluxes[40]])
    torch.testing.assert_close(canvases.float(), expected, atol=1e-5, rtol=1e-3)


def test_averaging_passes_over_pixels_that_were_not_observed(tmp_path: Path):
    pixels = draw_cutouts(1)[0]
    pixels[0, 0, :2, :2] = [[1.0, 3.0], [np.nan, np.nan]]
    pixels[0, 1, :2, :2] = np.nan
    index = index_of(write_images(tmp_path / "a.h5", pixels), 1)

    canvas = TrainingSet(index, Preprocessing(input="flux", bin_pix=2)).read(np.array([0]))

    assert float(canvas[0, 0, 0, 0]) == 2.0
    assert torch.isnan(canvas[0, 1, 0, 0])

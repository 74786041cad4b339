from pathlib import Path

import h5py
import numpy as np
import pytest

from skylike.errors import ImageFileError
from skylike.images.index import CutoutFile, CutoutIndex
from skylike.images.read import iter_pixels, read_pixels, standardize


def flux_images(n: int, *, first: float = 1.0, size: int = 152) -> np.ndarray:
    """Images whose pixels all hold a number of their own."""
    values = first + np.arange(n, dtype=np.float32)
    return np.ones((n, 3, size, size), dtype=np.float32) * values[:, None, None, None]


def make_index(folder: Path, sizes: tuple[int, ...] = (30, 20)) -> CutoutIndex:
    files = {}
    first = 1.0
    for i, n in enumerate(sizes, start=1):
        path = folder / f"{i}.h5"
        with h5py.File(path, "w") as file:
            file["images"] = flux_images(n, first=first)
        files[i] = CutoutFile(i, path, "flux", ("g", "r", "z"), 152, 0.262)
        first += n
    n = sum(sizes)
    return CutoutIndex(
        cutout_id=np.arange(n, dtype=np.int32),
        galaxy_id=np.arange(n, dtype=np.int32),
        file_id=np.repeat(np.arange(1, len(sizes) + 1), sizes).astype(np.int32),
        file_row=np.concatenate([np.arange(size) for size in sizes]).astype(np.int32),
        ebv=np.full(n, np.nan, np.float32),
        psf_size=np.full((n, 3), np.nan, np.float32),
        files=files,
    )


def test_read_pixels_when_positions_are_scattered_and_repeated_then_their_order_is_kept(
    tmp_path: Path,
):
    index = make_index(tmp_path)
    positions = [49, 3, 3, 31, 0, 29]

    batch = read_pixels(index, positions)

    assert batch.kind == "flux"
    assert batch.positions.tolist() == positions
    assert batch.pixels.dtype == np.float32
    assert batch.pixels[:, 0, 0, 0].tolist() == [50, 4, 4, 32, 1, 30]


@pytest.mark.parametrize("batch_size", [7, 50, 64])
def test_iter_pixels_when_not_shuffled_then_it_goes_in_order_of_the_disk(
    tmp_path: Path, batch_size: int
):
    index = make_index(tmp_path)

    batches = list(iter_pixels(index, batch_size=batch_size, kind="flux", block_rows=16))

    assert np.concatenate([positions for positions, _ in batches]).tolist() == list(range(50))
    assert all(len(positions) == batch_size for positions, _ in batches[:-1])
    values = np.concatenate([pixels[:, 2, 151, 151] for _, pixels in batches])
    np.testing.assert_array_equal(values, np.arange(1, 51))


def test_iter_pixels_when_shuffled_then_each_cutout_comes_once_with_its_own_pixels(tmp_path: Path):
    index = make_index(tmp_path)
    shuffle = np.random.default_rng(5)

    batches = list(iter_pixels(index, batch_size=8, kind="flux", shuffle=shuffle, block_rows=4))

    positions = np.concatenate([positions for positions, _ in batches])
    assert sorted(positions.tolist()) == list(range(50))
    assert (np.diff(positions) < 0).mean() > 0.25
    assert [len(p) for p, _ in batches] == [8, 8, 8, 8, 8, 8, 2]
    for where, pixels in batches:
        np.testing.assert_array_equal(pixels[:, 1, 0, 0], where + 1)


def test_iter_pixels_when_shuffled_with_one_seed_then_the_order_is_the_same(tmp_path: Path):
    index = make_index(tmp_path)

    def order() -> list[int]:
        shuffle = np.random.default_rng(5)
        batches = iter_pixels(index, batch_size=8, kind="flux", shuffle=shuffle, block_rows=4)
        return np.concatenate([positions for positions, _ in batches]).tolist()

    assert order() == order()


def test_iter_pixels_when_no_cutout_is_of_the_kind_then_nothing_comes(tmp_path: Path):
    assert list(iter_pixels(make_index(tmp_path), batch_size=8, kind="rgb")) == []


def test_read_pixels_when_a_file_is_gone_then_the_error_names_it_and_a_way_out(tmp_path: Path):
    index = make_index(tmp_path)
    (tmp_path / "2.h5").unlink()

    with pytest.raises(ImageFileError, match=r"2\.h5.*gone.*skylike images add"):
        read_pixels(index, [40])


def test_read_pixels_when_a_file_was_shortened_then_the_error_says_so(tmp_path: Path):
    index = make_index(tmp_path)
    with h5py.File(tmp_path / "1.h5", "w") as file:
        file["images"] = flux_images(3)

    with pytest.raises(ImageFileError, match=r"1\.h5.*has 3 cutouts"):
        read_pixels(index, [10])


def test_standardize_when_pixels_are_zero_or_infinite_then_they_are_not_observed():
    raw = flux_images(1)
    raw[0, 0, :10] = 0
    raw[0, 1, 0, 0] = np.inf

    pixels = standardize(raw, kind="flux", bands=("g", "r", "z"))

    assert np.isnan(pixels[0, 0, :10]).all()
    assert np.isnan(pixels[0, 1, 0, 0])
    assert np.isfinite(pixels[0, 0, 10:]).all()


def test_standardize_when_bands_are_others_then_g_r_z_are_chosen_and_missing_ones_marked():
    raw = flux_images(1) * np.array([1, 2, 3], np.float32)[:, None, None]

    pixels = standardize(raw, kind="flux", bands=("r", "i", "z"))

    assert np.isnan(pixels[0, 0]).all()
    assert pixels[0, 1:, 0, 0].tolist() == [1, 3]


@pytest.mark.parametrize(("size", "covered"), [(96, 96), (256, 152), (151, 151)])
def test_standardize_when_images_have_another_size_then_their_center_stays_in_the_center(
    size: int, covered: int
):
    raw = np.ones((1, 3, size, size), np.float32)
    raw[..., size // 2, size // 2] = 5

    pixels = standardize(raw, kind="flux", bands=("g", "r", "z"))

    assert pixels.shape == (1, 3, 152, 152)
    assert np.isfinite(pixels[0, 0]).sum() == covered**2
    bright = np.argwhere(pixels[0, 0] == 5)[0]
    assert (np.abs(bright - 76) <= 1).all()


def test_standardize_when_color_images_have_channels_last_then_they_come_first():
    raw = np.zeros((2, 152, 152, 3), np.uint8)
    raw[..., 0] = 9

    pixels = standardize(raw, kind="rgb", bands=("R", "G", "B"))

    assert pixels.shape == (2, 3, 152, 152)
    assert pixels.dtype == np.uint8
    assert (pixels[:, 0] == 9).all()

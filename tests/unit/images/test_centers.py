"""Reading the middle of cutouts gives the pixels that reading them whole gives."""

from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from cutout_factory import draw_cutouts, index_of, write_images
from skylike.errors import ImageFileError
from skylike.images import centers
from skylike.images.centers import CenterReader
from skylike.images.read import read_pixels
from skylike.images.writer import CutoutWriter

WINDOW = slice(28, 124)
N = 70


def flux_with_gaps() -> npt.NDArray[np.float32]:
    pixels, _ = draw_cutouts(N)
    pixels[3, 1, 40:60] = 0
    pixels[4, :, :, 100:] = np.nan
    pixels[5, 2, 70, 70] = np.inf
    pixels[6, 0, 71, 71] = 1e-42
    return pixels


def write_ours(path: Path, pixels: npt.NDArray[np.float32]) -> Path:
    with CutoutWriter(path, kind="flux", origin="", pixel_scale=0.262) as writer:
        for start in range(
            0, len(pixels), 16
        ):  # chunks come one after the other, and metadata between
            block = pixels[start : start + 16]
            names = [str(start + row) for row in range(len(block))]
            writer.append(block, names=names, positions=[(0.0, 0.0)] * len(block))
    return path


def write_compressed(path: Path, pixels: npt.NDArray[np.float32]) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=pixels, compression="gzip", compression_opts=1)
    return path


def write_big_endian(path: Path, pixels: npt.NDArray[np.float32]) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=pixels, dtype=">f4")
    return path


def write_larger(path: Path, pixels: npt.NDArray[np.float32]) -> Path:
    return write_images(path, np.pad(pixels, ((0, 0), (0, 0), (3, 3), (3, 3))))


WRITERS = {
    "contiguous": write_images,
    "ours": write_ours,
    "compressed": write_compressed,
    "big_endian": write_big_endian,
    "larger": write_larger,
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("layout", list(WRITERS))
def test_read_of_any_layout_gives_the_window_of_the_whole_cutouts(
    tmp_path: Path, layout: str, threads: int
):
    index = index_of(WRITERS[layout](tmp_path / "images.h5", flux_with_gaps()), N)
    positions = np.random.default_rng(0).permutation(N)[:60]

    with CenterReader(WINDOW, threads=threads) as reader:
        found = reader.read(index, positions)

    expected = read_pixels(index, positions).pixels[..., WINDOW, WINDOW]
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected, equal_nan=True)


def test_read_of_pictures_gives_the_window_of_the_whole_pictures(tmp_path: Path):
    images = np.random.default_rng(0).integers(0, 255, (9, 3, 152, 152), dtype=np.uint8)
    index = index_of(write_images(tmp_path / "images.h5", images), 9, kind="rgb")

    with CenterReader(slice(40, 104)) as reader:
        found = reader.read(index, np.array([8, 0, 4]))

    assert np.array_equal(found, images[[8, 0, 4], :, 40:104, 40:104])


@pytest.mark.parametrize("layout", ["contiguous", "ours"])
def test_plain_files_are_read_past_hdf5(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
):
    index = index_of(WRITERS[layout](tmp_path / "images.h5", flux_with_gaps()), N)
    monkeypatch.delattr(centers, "read_pixels")

    with CenterReader(WINDOW) as reader:
        assert reader.read(index, np.arange(N)).shape == (N, 3, 96, 96)


def test_read_when_the_file_has_fewer_rows_than_the_index_says_then_it_is_refused(tmp_path: Path):
    index = index_of(write_images(tmp_path / "images.h5", flux_with_gaps()), N + 1)

    with CenterReader(WINDOW) as reader, pytest.raises(ImageFileError, match="has 70 cutouts"):
        reader.read(index, np.array([N]))


def test_read_when_the_file_is_cut_off_later_then_it_is_refused(tmp_path: Path):
    path = write_images(tmp_path / "images.h5", flux_with_gaps())
    index = index_of(path, N)

    with CenterReader(WINDOW) as reader:
        reader.read(index, np.array([0]))
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        with pytest.raises(ImageFileError, match="cannot be read to its end"):
            reader.read(index, np.array([N - 1]))


def test_more_files_than_are_kept_open_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(centers, "_OPEN_FILES", 2)
    pixels, _ = draw_cutouts(4)
    paths = [write_images(tmp_path / f"{i}.h5", pixels[i : i + 1]) for i in range(4)]
    indexes = [index_of(path, 1) for path in paths]
    files = {
        i + 1: one.files[1].__class__(i + 1, paths[i], "flux", ("g", "r", "z"), 152, 0.262)
        for i, one in enumerate(indexes)
    }

    with CenterReader(WINDOW) as reader:
        for number in (0, 1, 2, 3, 0):
            index = indexes[number]
            moved = index.__class__(
                **{**index.__dict__, "file_id": index.file_id + number, "files": files}
            )
            found = reader.read(moved, np.array([0]))
            assert np.array_equal(found[0], pixels[number, :, WINDOW, WINDOW])

import resource
from pathlib import Path

import h5py
import numpy as np
import pytest

from skylike.errors import ImageFileError, SettingsError
from skylike.images.hdf5 import describe_images, measure_coverage, read_columns
from skylike.images.read import open_images
from skylike.images.writer import CutoutWriter, read_digests


def write_one(path: Path, value: float = 1.0) -> None:
    with CutoutWriter(path, kind="flux", origin="here", pixel_scale=0.262) as writer:
        writer.append(
            np.full((1, 3, 152, 152), value, np.float32), names=["a"], positions=[(1.0, 2.0)]
        )


def write_and_fail(path: Path) -> None:
    with CutoutWriter(path, kind="flux", origin="x", pixel_scale=None) as writer:
        writer.append(np.ones((1, 3, 152, 152), np.float32), names=["a"], positions=[(1.0, 2.0)])
        raise RuntimeError


def test_cutout_writer_when_the_block_fails_then_neither_file_nor_part_stays(tmp_path: Path):
    with pytest.raises(RuntimeError):
        write_and_fail(tmp_path / "a.h5")

    assert list(tmp_path.iterdir()) == []


def test_cutout_writer_when_still_writing_then_the_file_is_not_visible(tmp_path: Path):
    with CutoutWriter(tmp_path / "a.h5", kind="rgb", origin="x", pixel_scale=None) as writer:
        writer.append(np.ones((1, 3, 152, 152), np.uint8), names=["a"], positions=[(1.0, 2.0)])
        assert not (tmp_path / "a.h5").exists()

    assert (tmp_path / "a.h5").exists()


def test_cutout_writer_when_read_back_then_columns_and_description_are_there(tmp_path: Path):
    pixels = np.ones((2, 3, 152, 152), np.float32)
    pixels[1, 0] = np.nan
    with CutoutWriter(tmp_path / "a.h5", kind="flux", origin="x", pixel_scale=0.262) as writer:
        writer.append(
            pixels,
            names=["a", "ü"],
            positions=[(1.0, 2.0), (np.nan, np.nan)],
            object_ids=[2**60, -1],
        )

    with open_images(tmp_path / "a.h5") as file:
        assert describe_images(file) == ("flux", ("g", "r", "z"), 152, 0.262)
        rows = read_columns(file)
    assert rows.name.tolist() == ["a", "ü"]
    assert rows.object_id.tolist() == [2**60, -1]
    assert np.isnan(rows.ra).tolist() == [False, True]
    np.testing.assert_array_equal(writer.rows().coverage, [[1, 1, 1], [0, 1, 1]])


def test_read_digests_when_pixels_change_then_the_digest_does(tmp_path: Path):
    write_one(tmp_path / "a.h5")
    write_one(tmp_path / "b.h5")
    write_one(tmp_path / "c.h5", 2.0)

    assert read_digests(tmp_path / "a.h5") == read_digests(tmp_path / "b.h5")
    assert read_digests(tmp_path / "a.h5") != read_digests(tmp_path / "c.h5")


def test_measure_coverage_when_zeros_and_nan_are_there_then_they_are_not_observed(tmp_path: Path):
    images = np.ones((300, 3, 32, 32), np.float32)
    images[7, 1] = 0
    images[290, 2, :16] = np.nan
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = images

    coverage = measure_coverage(tmp_path / "a.h5", kind="flux", bands=("g", "r", "z"))

    whole = 32 * 32 / 152**2
    expected = np.full((300, 3), whole, np.float32)
    expected[7, 1] = 0
    expected[290, 2] = whole / 2
    np.testing.assert_allclose(coverage, expected, rtol=1e-6)


def test_read_columns_when_the_layout_is_that_of_the_release_then_the_key_is_packed(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = np.ones((2, 3, 152, 152), np.float32)
        file["release"], file["brickid"], file["objid"] = [9010, 9010], [5, 5], [1, 2]
        file["inds"] = [10, 12]
        file["ra"], file["dec"] = [1.0, 2.0], [3.0, 95.0]

    with open_images(tmp_path / "a.h5") as file:
        rows = read_columns(file)

    assert rows.object_id.tolist() == [(9010 << 40) + (5 << 16) + n for n in (1, 2)]
    assert rows.name.tolist() == ["10", "12"]
    assert np.isnan(rows.ra).tolist() == [False, True]


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (np.ones((2, 152, 152), np.float32), "shape"),
        (np.ones((2, 3, 152, 152), np.int16), "int16"),
        (np.ones((2, 3, 152, 152), np.uint16), "uint16"),
        (np.ones((2, 3, 16, 16), np.float32), "32 is the least"),
        (np.ones((2, 5, 152, 152), np.float32), "5 planes"),
        (np.ones((2, 4, 152, 152), np.uint8), "3 channels, not 4"),
    ],
)
def test_describe_images_when_they_are_no_cutouts_then_the_file_is_refused(
    tmp_path: Path, images: np.ndarray, reason: str
):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = images

    with open_images(tmp_path / "a.h5") as file, pytest.raises(ImageFileError, match=reason):
        describe_images(file)


def test_open_images_when_the_file_is_truncated_then_it_is_refused_by_name(tmp_path: Path):
    write_one(tmp_path / "a.h5")
    (tmp_path / "a.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:100_000])

    opened = open_images(tmp_path / "a.h5")
    with pytest.raises(ImageFileError, match=r"a\.h5: not a readable HDF5 file"):
        opened.__enter__()


def test_read_columns_when_identifiers_are_inexact_or_missing_then_they_are_unknown(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = np.ones((3, 3, 152, 152), np.float32)
        file["object_id"] = [12.0, np.nan, 2.0**60]

    with open_images(tmp_path / "a.h5") as file:
        assert read_columns(file).object_id.tolist() == [12, -1, -1]


def test_read_columns_when_a_column_holds_something_else_then_the_file_is_refused(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = np.ones((1, 3, 152, 152), np.float32)
        file["ra"] = [b"here"]

    with (
        pytest.raises(ImageFileError, match=r"a\.h5: cannot be read to its end"),
        open_images(tmp_path / "a.h5") as file,
    ):
        read_columns(file)


def test_cutout_writer_when_the_disk_is_full_then_it_says_so_and_leaves_nothing(tmp_path: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(SettingsError, match=r"a\.h5: cannot be written .*make room"):
            write_one(tmp_path / "a.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(tmp_path.iterdir()) == []


def test_cutout_writer_when_a_name_is_no_text_then_it_is_escaped(tmp_path: Path):
    with CutoutWriter(tmp_path / "a.h5", kind="rgb", origin="x", pixel_scale=None) as writer:
        writer.append(
            np.ones((1, 3, 152, 152), np.uint8), names=["b\udce9.png"], positions=[(1.0, 2.0)]
        )

    assert writer.rows().name.tolist() == ["b\\udce9.png"]

"""The contact sheet: where things are, what is cut, what has no image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skylike.errors import SettingsError
from skylike.interfaces.sheet import check_sheet, make_sheet, save_sheet

GRAY = np.full((152, 152, 3), 128, dtype=np.uint8)
ORANGE = (255, 190, 60)


def sheet_of(results: int, **options: object) -> np.ndarray:
    images = [GRAY] * (results + 1)
    captions = [("query",), *[(f"{n + 1}", "0.987") for n in range(results)]]
    return np.asarray(make_sheet(images, captions, title="galaxy 7", **options))  # type: ignore[arg-type]


def boxes_of(sheet: np.ndarray, color: tuple[int, int, int]) -> int:
    """Count pixels of one color."""
    return int((sheet == color).all(axis=-1).sum())


@pytest.mark.parametrize("results", [0, 1, 5, 10, 100])
def test_make_sheet_when_there_are_n_results_then_all_tiles_are_on_it(results: int):
    sheet = sheet_of(results)

    assert boxes_of(sheet, (128, 128, 128)) >= (results + 1) * 152 * 152
    assert sheet.shape[1] <= 2_100


def test_make_sheet_when_made_then_only_the_query_is_framed():
    sheet = sheet_of(5)

    framed = np.argwhere((sheet == ORANGE).all(axis=-1))
    assert framed[:, 1].max() < 20 + 152 + 4
    assert len(framed) >= 4 * 4 * 152


def test_make_sheet_when_two_images_are_the_query_then_both_are_framed():
    assert boxes_of(sheet_of(3, queries=2), ORANGE) > 1.8 * boxes_of(sheet_of(3), ORANGE)


def test_make_sheet_when_an_image_is_missing_then_has_a_plain_tile():
    sheet = np.asarray(make_sheet([GRAY, None], [("query",), ("1",)], title=""))

    assert boxes_of(sheet, (70, 74, 80)) > 0.9 * 152 * 152


def test_make_sheet_when_captions_are_long_then_does_not_draw_into_the_next_tile():
    captions = [("query",), ("W" * 200, "W" * 200), "second\nline"]
    sheet = np.asarray(make_sheet([GRAY] * 3, captions, title="t"))

    gap = sheet[:, 20 + 152 : 20 + 152 + 14]
    bright = gap[-70:].max(axis=-1) > 90
    assert not bright.any()


def test_make_sheet_when_images_have_other_shapes_then_fits_them_in():
    tall = np.full((300, 150, 3), 128, dtype=np.uint8)

    sheet = np.asarray(make_sheet([tall], [("query",)], title="t"))

    assert 0.9 * 76 * 152 < boxes_of(sheet, (128, 128, 128)) < 1.1 * 76 * 152


def test_make_sheet_when_captions_and_images_differ_in_number_then_refuses():
    with pytest.raises(ValueError, match="2 images and 1 captions"):
        make_sheet([GRAY, GRAY], [("query",)], title="t")


@pytest.mark.parametrize(
    ("name", "form"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG")]
)
def test_save_sheet_when_the_extension_tells_a_format_then_writes_that(
    tmp_path: Path, name: str, form: str
):
    sheet = make_sheet([GRAY], ["query"], title="galaxy 7")

    save_sheet(sheet, tmp_path / name)

    with Image.open(tmp_path / name) as written:
        assert (written.format, written.size) == (form, sheet.size)


@pytest.mark.parametrize("name", ["a.foo", "a", "a.fits"])
def test_check_sheet_when_the_extension_tells_none_then_says_which_do(tmp_path: Path, name: str):
    with pytest.raises(SettingsError, match=r"format of pictures; use \.png, \.jpg, \.jpeg"):
        check_sheet(tmp_path / name)

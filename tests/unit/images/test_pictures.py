import io
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from skylike.errors import ImageFileError
from skylike.images import pictures
from skylike.images.pictures import decode_picture, read_picture


def encoded(image: Image.Image, format: str = "PNG") -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def striped(width: int, height: int) -> Image.Image:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = [200, 100, 50]
    return Image.fromarray(pixels)


def test_decode_picture_when_it_has_152_pixels_then_they_are_kept():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (152, 152, 3), dtype=np.uint8)

    decoded = decode_picture(encoded(Image.fromarray(pixels)), name="a.png")

    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, np.moveaxis(pixels, -1, 0))


@pytest.mark.parametrize("size", [(424, 424), (60, 60), (600, 300)])
def test_decode_picture_when_its_scale_is_unknown_then_its_central_square_is_resized(
    size: tuple[int, int],
):
    decoded = decode_picture(encoded(striped(*size)), name="a.png")

    assert decoded.shape == (3, 152, 152)
    assert (decoded[:, :, :70] < 10).all()
    assert (np.abs(decoded[:, 50, 90].astype(int) - [200, 100, 50]) <= 2).all()


@pytest.mark.parametrize(("scale", "lit"), [(0.131, 50), (0.262, 100), (1.048, 152), (26.2, 152)])
def test_decode_picture_when_its_scale_is_known_then_a_pixel_becomes_0262_arcsec(
    scale: float, lit: int
):
    decoded = decode_picture(
        encoded(Image.new("RGB", (100, 100), (255, 255, 255))), name="a.png", pixel_scale=scale
    )

    assert abs(int((decoded[0, 76] > 128).sum()) - lit) <= 1


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_decode_picture_when_the_mode_is_unusual_then_it_becomes_color(mode: str):
    format_ = "JPEG" if mode == "CMYK" else "PNG"

    decoded = decode_picture(encoded(Image.new(mode, (152, 152)), format_), name="a")

    assert decoded.shape == (3, 152, 152)
    assert len(np.unique(decoded)) == 1


def test_decode_picture_when_pixels_are_transparent_then_they_are_black():
    image = Image.new("RGBA", (152, 152), (255, 255, 255, 0))

    assert decode_picture(encoded(image), name="a.png").max() == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(Image.new("I;16", (152, 152))), "more than 8 bits"),
        (encoded(Image.new("RGB", (31, 200))), "31 x 200 pixels; 32 is the least"),
        (encoded(Image.new("RGB", (152, 152)))[:100], "not a readable JPEG or PNG"),
        (encoded(Image.new("RGB", (152, 152)), "GIF"), "not a readable JPEG or PNG"),
        (b"", "not a readable JPEG or PNG"),
        (encoded(Image.new("1", (10_000, 10_000))), "over 50 million pixels"),
    ],
)
def test_decode_picture_when_it_cannot_be_used_then_it_is_refused_by_name(data: bytes, reason: str):
    with pytest.raises(ImageFileError, match=f"^x/a.png: .*{reason}"):
        decode_picture(data, name="x/a.png")


def test_read_picture_when_it_is_a_jpeg_then_position_and_scale_are_unknown(tmp_path: Path):
    (tmp_path / "a.JPG").write_bytes(encoded(striped(152, 152), "JPEG"))

    picture = read_picture(tmp_path / "a.JPG")

    assert (picture.kind, picture.pixel_scale, picture.ra, picture.dec) == ("rgb", None, None, None)
    assert picture.pixels.dtype == np.uint8


def test_read_picture_when_a_row_of_hdf5_is_named_then_that_row_comes(tmp_path: Path):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["images"] = np.ones((4, 3, 152, 152), np.float32) * np.arange(4)[:, None, None, None]
        file["ra"], file["dec"] = np.arange(4.0), np.arange(4.0) - 2

    picture = read_picture(f"{tmp_path}/c.h5:3")

    assert picture.kind == "flux"
    assert (picture.pixels == 3).all()
    assert (picture.ra, picture.dec, picture.pixel_scale) == (3, 1, 0.262)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("c.h5", "holds 4 images; name the row of one, .*c.h5:0 to .*c.h5:3, or .*--galaxy"),
        ("c.h5:9", "there is no row 9"),
        ("c.h5:x", "must be a number"),
        ("gone.png", "no such file"),
        ("a.gif", "not an image that is known"),
    ],
)
def test_read_picture_when_it_cannot_be_used_then_the_error_says_why(
    tmp_path: Path, name: str, reason: str
):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["images"] = np.ones((4, 3, 152, 152), np.float32)
    (tmp_path / "a.gif").write_bytes(b"GIF89a")

    with pytest.raises(ImageFileError, match=reason):
        read_picture(f"{tmp_path}/{name}")


def test_read_picture_when_a_file_is_huge_then_it_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pictures, "MAX_PICTURE_BYTES", 10)
    (tmp_path / "a.png").write_bytes(encoded(striped(152, 152)))

    with pytest.raises(ImageFileError, match="make it smaller"):
        read_picture(tmp_path / "a.png")

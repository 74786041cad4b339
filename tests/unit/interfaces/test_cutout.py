"""The image of a galaxy in Python."""

import io

import numpy as np
from PIL import Image

from skylike.interfaces.cutout import Cutout


def test_flux_when_drawn_then_north_is_up_and_z_is_red():
    pixels = np.zeros((3, 8, 6), dtype=np.float32)
    pixels[2, 7, 0] = 1.0  # bright in z at the north end

    image = np.asarray(Cutout(1, "flux", pixels).to_image())

    assert image.shape == (8, 6, 3)
    red, green, blue = (int(value) for value in image[0, 0])
    assert red > 200
    assert max(green, blue) < 50


def test_rgb_when_drawn_then_is_as_it_was():
    pixels = np.random.default_rng(1).integers(0, 255, (3, 4, 5), dtype=np.uint8)

    image = np.asarray(Cutout(1, "rgb", pixels).to_image())

    assert np.array_equal(image, np.moveaxis(pixels, 0, -1))


def test_notebook_when_it_asks_then_gets_a_png():
    shown = Cutout(7, "flux", np.zeros((3, 5, 5), dtype=np.float32))

    with Image.open(io.BytesIO(shown._repr_png_())) as image:
        assert image.size == (5, 5)
    assert repr(shown) == "<Cutout of galaxy 7: flux, 3 x 5 x 5 float32>"

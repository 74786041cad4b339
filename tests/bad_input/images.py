"""Wrong images and options, and what is said about them."""

from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits
from PIL import Image

from bad_input.case import BadInput


def _bytes(name: str, data: bytes):
    def prepare(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return prepare


def _hdf5(folder: Path, images: np.ndarray | None = None) -> None:
    with h5py.File(folder / "cutouts.h5", "w") as file:
        if images is not None:
            file["images"] = images
        else:
            file["pictures"] = np.ones((2, 3, 152, 152), np.float32)


def _integer_hdf5(folder: Path) -> None:
    _hdf5(folder, np.ones((2, 3, 152, 152), np.int32))


def _empty_hdf5(folder: Path) -> None:
    _hdf5(folder, np.ones((0, 3, 152, 152), np.float32))


def _truncated_hdf5(folder: Path) -> None:
    _hdf5(folder)
    path = folder / "cutouts.h5"
    path.write_bytes(path.read_bytes()[:5000])


def _cube(folder: Path, *, bands: str | None = "grz", with_wcs: bool = True) -> None:
    header = fits.Header()
    if bands:
        header["BANDS"] = bands
    if with_wcs:
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
        header["CRVAL1"], header["CRVAL2"] = 150.0, 2.0
        header["CRPIX1"] = header["CRPIX2"] = 76.5
        header["CD1_1"], header["CD2_2"] = -0.262 / 3600, 0.262 / 3600
    data = np.ones((3, 152, 152), np.float32)
    fits.writeto(folder / "cube.fits", data, header)


def _truncated_cube(folder: Path) -> None:
    _cube(folder)
    path = folder / "cube.fits"
    path.write_bytes(path.read_bytes()[:100_000])


def _damaged_cube(folder: Path) -> None:
    _cube(folder)
    path = folder / "cube.fits"
    path.write_bytes(path.read_bytes().replace(b"BANDS   = 'grz", b"BANDS   = grz'"))


def _good_and_truncated(folder: Path) -> None:
    _truncated_cube(folder)
    (folder / "cube.fits").rename(folder / "truncated.fits")
    _cube(folder)


def _pictures(folder: Path) -> None:
    (folder / "pictures").mkdir()
    Image.new("RGB", (64, 64)).save(folder / "pictures" / "a.png")


def _two_listings(folder: Path) -> None:
    _pictures(folder)
    for name in ("a.csv", "b.csv"):
        (folder / "pictures" / name).write_text("file\na.png\n")


def _bad_listing(folder: Path) -> None:
    _pictures(folder)
    (folder / "list.csv").write_text("name,ra,dec\na.png,1,2\n")


def _small_picture(folder: Path) -> None:
    (folder / "pictures").mkdir()
    Image.new("RGB", (20, 20)).save(folder / "pictures" / "a.png")


def _brick(folder: Path) -> None:
    _cube(folder)
    with fits.open(folder / "cube.fits") as hdus:
        name = "legacysurvey-1500p020-image-g.fits"
        fits.writeto(folder / name, hdus[0].data[0], hdus[0].header)


def _cube_as_brick(folder: Path) -> None:
    _cube(folder)
    (folder / "cube.fits").rename(folder / "legacysurvey-1500p020-image-g.fits")


ADD = ("images", "add")
CUT = ("images", "cut")

CASES = [
    BadInput(
        "images: FITS with a damaged header",
        (*ADD, "{folder}"),
        "cube.fits: .*unparsable card",
        _damaged_cube,
    ),
    BadInput("images: no path", ADD, "Missing argument", exit_status=2),
    BadInput("images: missing file", (*ADD, "gone.h5"), "gone.h5: there is no such file or folder"),
    BadInput(
        "images: unknown format",
        (*ADD, "a.txt"),
        "a.txt: not a known format",
        _bytes("a.txt", b"hello"),
    ),
    BadInput("images: empty folder", (*ADD, "{folder}"), "holds no HDF5, FITS, JPEG or PNG files"),
    BadInput(
        "images: single picture",
        (*ADD, "a.png"),
        "a.png: is a single picture",
        _bytes("a.png", b"x"),
    ),
    BadInput(
        "images: not HDF5",
        (*ADD, "a.h5"),
        "a.h5: not a readable HDF5 file",
        _bytes("a.h5", b"hello"),
    ),
    BadInput(
        "images: truncated HDF5",
        (*ADD, "cutouts.h5"),
        "cutouts.h5: not a readable HDF5 file.*nothing was added",
        _truncated_hdf5,
    ),
    BadInput("images: HDF5 without images", (*ADD, "cutouts.h5"), "has no dataset `images`", _hdf5),
    BadInput("images: HDF5 of integers", (*ADD, "cutouts.h5"), "`images` is int32", _integer_hdf5),
    BadInput("images: empty HDF5", (*ADD, "cutouts.h5"), "holds no cutouts", _empty_hdf5),
    BadInput(
        "images: truncated FITS",
        (*ADD, "cube.fits"),
        r"cube.fits: is truncated, 100000 of \d+ bytes; refused whole.*nothing was added",
        _truncated_cube,
    ),
    BadInput(
        "images: one of two FITS truncated",
        (*ADD, "{folder}"),
        "truncated.fits: is truncated.*the other 1 cutouts are there",
        _good_and_truncated,
    ),
    BadInput(
        "images: FITS without bands",
        (*ADD, "cube.fits"),
        "does not name their bands",
        lambda folder: _cube(folder, bands=None),
    ),
    BadInput(
        "images: FITS without WCS",
        (*ADD, "cube.fits"),
        "has no celestial WCS",
        lambda folder: _cube(folder, with_wcs=False),
    ),
    BadInput(
        "images: not a tar", (*ADD, "a.tar"), "a.tar: not a readable tar", _bytes("a.tar", b"x")
    ),
    BadInput(
        "images: CSV is missing",
        (*ADD, "pictures", "--csv", "gone.csv"),
        "gone.csv: there is no such file",
        _pictures,
    ),
    BadInput(
        "images: CSV without file",
        (*ADD, "pictures", "--csv", "list.csv"),
        "list.csv: has no column `file`",
        _bad_listing,
    ),
    BadInput("images: two CSV files", (*ADD, "pictures"), "say with --csv which", _two_listings),
    BadInput(
        "images: picture too small",
        (*ADD, "pictures"),
        "20 x 20 pixels; 32 is the least",
        _small_picture,
    ),
    BadInput("images: cut without a brick", (*CUT, "{folder}"), "no coadds of g, r or z are here"),
    BadInput(
        "images: cut from another file",
        (*CUT, "a.fits"),
        "a.fits: not named as a coadd",
        _bytes("a.fits", b"x"),
    ),
    BadInput(
        "images: cut from a cube",
        (*CUT, "legacysurvey-1500p020-image-g.fits"),
        "is a cube; a coadd has two dimensions",
        _cube_as_brick,
    ),
    BadInput(
        "images: cut without a catalog",
        (*CUT, "legacysurvey-1500p020-image-g.fits"),
        "no galaxy of the catalog lies on the bricks given; load one with `skylike catalog load`",
        _brick,
    ),
    BadInput(
        "images: cut with an unknown column",
        (*CUT, "legacysurvey-1500p020-image-g.fits", "--where", "magr < 3"),
        "magr",
        _brick,
    ),
]

"""What Python has, as a query takes it: every kind of input, one sentence for the wrong ones."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, Angle, SkyCoord

from skylike.cuts.coordinates import Cone, Position
from skylike.errors import CoordinateError, GalaxyNotFoundError, InputFileError, SettingsError
from skylike.interfaces.arguments import (
    definitions_of,
    galaxy_ids_of,
    is_several,
    paths_of,
    seconds_of,
    vectors_of,
    whole_number,
)
from skylike.interfaces.sky_arguments import arcsec_of, cone_of, position_table_of, positions_of

M51 = Position(202.46666666666667, 47.195277777777775)


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (None, ()),
        (42, (42,)),
        (np.int32(42), (42,)),
        (np.array(42), (42,)),
        ([42, np.int64(7)], (42, 7)),
        ((3,), (3,)),
        (np.array([1, 2], dtype=np.int16), (1, 2)),
        (pd.Series([5, 6], dtype="Int32"), (5, 6)),
        (range(3), (0, 1, 2)),
        ((n for n in (8, 9)), (8, 9)),
        ([], ()),
    ],
)
def test_galaxy_ids_when_whole_numbers_then_are_taken_in_order(value, ids):
    assert galaxy_ids_of(value) == ids


@pytest.mark.parametrize(
    "value", ["42", 42.0, [42.5], True, [None], np.array([1.0]), [[1, 2]], pd.DataFrame({"a": [1]})]
)
def test_galaxy_ids_when_not_whole_numbers_then_says_which(value):
    with pytest.raises(SettingsError, match="is no galaxy_id"):
        galaxy_ids_of(value)


@pytest.mark.parametrize("value", [-1, 2**31, [1, 10**30]])
def test_galaxy_ids_when_beyond_an_integer_then_there_is_no_such_galaxy(value):
    with pytest.raises(GalaxyNotFoundError, match="is not in the database"):
        galaxy_ids_of(value)


def test_is_several_when_one_in_a_list_then_is_several():
    assert is_several([1])
    assert is_several(np.array([1]))
    assert not is_several(1)
    assert not is_several(np.int32(1))


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("13:29:52 +47:11:43", 1),
        ((M51.ra, M51.dec), 1),
        (np.array([M51.ra, M51.dec]), 1),
        ((M51.ra * u.deg, M51.dec * u.deg), 1),
        ((Angle("13h29m52s"), Angle("47d11m43s")), 1),
        (M51, 1),
        (SkyCoord("13:29:52 +47:11:43", unit=("hourangle", "deg")), 1),
        (SkyCoord("13:29:52 +47:11:43", unit=("hourangle", "deg")).galactic, 1),
        (["13:29:52 +47:11:43", (M51.ra, M51.dec)], 2),
        ([(M51.ra, M51.dec), (M51.ra, M51.dec)], 2),
        (np.array([[M51.ra, M51.dec]] * 3), 3),
        (SkyCoord([M51.ra] * 4, [M51.dec] * 4, unit="deg"), 4),
        ([SkyCoord(M51.ra, M51.dec, unit="deg")], 1),
    ],
)
def test_positions_when_given_in_any_form_then_are_the_same(value, count):
    found = positions_of(value)

    assert len(found) == count
    for position in found:
        assert position.ra == pytest.approx(M51.ra, abs=1e-9)
        assert position.dec == pytest.approx(M51.dec, abs=1e-9)


def test_positions_when_in_fk4_then_are_precessed():
    (found,) = positions_of(SkyCoord(0, 0, unit="deg", frame="fk4"))

    # B1950.0 to J2000.0: 2 min 33.8 s of right ascension, 16.7 arcmin of declination.
    assert found.ra == pytest.approx(0.6407, abs=1e-3)
    assert found.dec == pytest.approx(0.2784, abs=1e-3)


@pytest.mark.parametrize(
    "value",
    [
        7,
        "M 51",
        (400.0, 0.0),
        (10.0, np.nan),
        (10.0 * u.m, 2.0 * u.deg),
        [(1.0, 2.0, 3.0)],
        object(),
        SkyCoord(1, 2, unit="deg", frame=AltAz()),
    ],
)
def test_positions_when_not_on_the_sky_then_says_so(value):
    with pytest.raises(CoordinateError):
        positions_of(value)


def test_position_table_when_an_array_or_coordinates_then_counts_rows_from_1():
    array = np.array([[10.0, -5.0], [20.0, 5.0]])

    for value in (array, SkyCoord(array, unit="deg")):
        table = position_table_of(value)

        assert table is not None
        assert table.ra.tolist() == [10.0, 20.0]
        assert table.dec.tolist() == [-5.0, 5.0]
        assert table.rows.tolist() == [1, 2]


@pytest.mark.parametrize("n", [0, 10_001])
def test_position_table_when_empty_or_too_long_then_says_so(n):
    with pytest.raises(CoordinateError, match=f"holds {n} positions"):
        position_table_of(np.zeros((n, 2)))


def test_position_table_when_a_file_then_is_read(tmp_path):
    (tmp_path / "targets.csv").write_text("ra,dec\n10,-5\n20,5\n")

    table = position_table_of(tmp_path / "targets.csv")

    assert table is not None
    assert table.ra.tolist() == [10.0, 20.0]
    assert position_table_of(None) is None


@pytest.mark.parametrize(
    "value",
    [
        ("13:29:52 +47:11:43", "10 deg"),
        ("13:29:52 +47:11:43", 10),
        "13:29:52 +47:11:43 10 deg",
        (SkyCoord(M51.ra, M51.dec, unit="deg"), 10 * u.deg),
        (SkyCoord(M51.ra, M51.dec, unit="deg"), Angle("600 arcmin")),
        ((M51.ra, M51.dec), "600 arcmin"),
        (M51.ra, M51.dec, 10.0),
        [M51.ra, M51.dec, 600 * u.arcmin],
        np.array([M51.ra, M51.dec, 10.0]),
        Cone(M51.ra, M51.dec, 10.0),
    ],
)
def test_cone_when_given_in_any_form_then_is_the_same(value):
    found = cone_of(value)

    assert found is not None
    assert found.ra == pytest.approx(M51.ra, abs=1e-9)
    assert found.dec == pytest.approx(M51.dec, abs=1e-9)
    assert found.radius == pytest.approx(10.0, abs=1e-9)


@pytest.mark.parametrize(
    "value",
    [
        5,
        (),
        ("13:29:52 +47:11:43",),
        ("13:29:52 +47:11:43", "10 parsec"),
        ("13:29:52 +47:11:43", -1),
        ("13:29:52 +47:11:43", None),
        ("13:29:52 +47:11:43", 3 * u.s),
        ("13:29:52 +47:11:43", [1, 2]),
        ((1.0, 2.0), (3.0, 4.0), 5.0),
        (SkyCoord([1, 2], [1, 2], unit="deg"), 1.0),
        (1.0, 2.0, 3.0, 4.0),
    ],
)
def test_cone_when_impossible_then_says_so(value):
    with pytest.raises(CoordinateError):
        cone_of(value)


@pytest.mark.parametrize("value", [30.0, 30, np.float32(30), 30 * u.arcsec, "0.5 arcmin", "30"])
def test_arcsec_when_given_in_any_form_then_is_the_same(value):
    assert arcsec_of(value) == pytest.approx(30.0)


def test_arcsec_when_the_default_then_is_the_very_number():
    assert arcsec_of(25.152) == 25.152


@pytest.mark.parametrize("value", ["wide", 3 * u.kg, None, [1, 2]])
def test_arcsec_when_no_angle_then_says_so(value):
    with pytest.raises(CoordinateError, match="angle"):
        arcsec_of(value)


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (None, ()),
        ("ring.jpg", (Path("ring.jpg"),)),
        (Path("ring.jpg"), (Path("ring.jpg"),)),
        (["a.jpg", Path("b.fits")], (Path("a.jpg"), Path("b.fits"))),
    ],
)
def test_paths_when_one_or_several_then_are_paths(value, paths):
    assert paths_of(value) == paths


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ([1.0, 2.0, 3.0], (1, 3)),
        (np.ones(4, dtype=np.float16), (1, 4)),
        (np.ones((2, 5), dtype=np.float32), (2, 5)),
        ([np.arange(3), np.arange(3)], (2, 3)),
    ],
)
def test_vectors_when_an_array_then_one_for_each_row(value, shape):
    found = vectors_of(value)

    assert np.array(found).shape == shape
    assert all(vector.dtype == np.float64 for vector in found)


def test_vectors_when_a_file_then_are_read(tmp_path):
    np.save(tmp_path / "v.npy", np.eye(3))

    assert np.array_equal(vectors_of(tmp_path / "v.npy"), np.eye(3))
    assert np.array_equal(vectors_of(str(tmp_path / "v.npy")), np.eye(3))
    with pytest.raises(InputFileError, match=r"none\.npy"):
        vectors_of(tmp_path / "none.npy")


@pytest.mark.parametrize(
    "value", [[], 3.0, [[1, 2], [3]], np.ones((2, 2, 2)), [1 + 2j], np.array(["a", "b"])]
)
def test_vectors_when_no_array_of_numbers_then_says_so(value):
    with pytest.raises(SettingsError, match="vector="):
        vectors_of(value)


@pytest.mark.parametrize(
    ("value", "definitions"),
    [
        (None, ()),
        ({"g_r": "mag_g - mag_r"}, ("g_r = mag_g - mag_r",)),
        ("g_r = mag_g - mag_r", ("g_r = mag_g - mag_r",)),
        (["a = mag_g", "b = a + 1"], ("a = mag_g", "b = a + 1")),
    ],
)
def test_definitions_when_a_dict_or_texts_then_are_equations(value, definitions):
    assert definitions_of(value) == definitions


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), (2, 2.0), (timedelta(minutes=1), 60.0), (0.5 * u.min, 30.0)],
)
def test_timeout_when_a_duration_then_is_in_seconds(value, seconds):
    assert seconds_of(value) == seconds


@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan, "soon", 3 * u.m])
def test_timeout_when_no_duration_then_says_so(value):
    with pytest.raises(SettingsError, match="timeout="):
        seconds_of(value)


def test_whole_number_when_a_float_then_says_which_argument():
    assert whole_number(np.int64(5), name="k") == 5
    with pytest.raises(SettingsError, match=r"k=5\.0"):
        whole_number(5.0, name="k")

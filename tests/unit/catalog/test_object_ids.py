import numpy as np

from skylike.catalog.object_ids import healpix29, id_problem, legacy_object_ids, whole_numbers


def test_the_legacy_key_is_packed_as_documented():
    packed, valid = legacy_object_ids(
        np.array([9010, 9010]), np.array([312906, 1]), np.array([153, 70_000])
    )

    assert packed[0] == 9010 << 40 | 312906 << 16 | 153
    assert valid.tolist() == [True, False]


def test_healpix_cells_hold_their_positions():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 100), rng.uniform(-90, 90, 100)

    from cdshealpix.nested import healpix_to_lonlat

    lon, lat = healpix_to_lonlat(healpix29(ra, dec).astype(np.uint64), 29)

    np.testing.assert_allclose(lat.deg, dec, atol=3e-7)
    np.testing.assert_allclose((lon.deg - ra) * np.cos(np.radians(dec)), 0, atol=3e-7)


def test_rounded_fractional_and_missing_numbers_are_not_whole():
    column = np.ma.array([1.0, 1.5, 1.24e18, np.nan, 7.0], mask=[0, 0, 0, 0, 1])

    assert whole_numbers(column)[1].tolist() == [True, False, False, False, False]


def test_float32_is_whole_to_2_24_only():
    column = np.ma.array(np.array([2**24 - 1, 2**24 + 2], dtype=np.float32))

    assert whole_numbers(column)[1].tolist() == [True, False]


def test_digits_in_text_are_exact_and_exponents_are_not():
    values, whole = whole_numbers(np.ma.array(["1237648702966988820", "1.24E+18", "J1200+00"]))

    assert values[0] == 1237648702966988820
    assert whole.tolist() == [True, False, False]


def test_repeats_across_batches_are_no_identifier():
    batches = [np.ma.array([5, 9]), np.ma.array([9, 12])]

    assert id_problem(batches) == "it has 3 different values in 4 rows"


def test_row_numbers_are_no_identifier():
    assert id_problem([np.ma.array([0, 1]), np.ma.array([2])]) == (
        "it only numbers the rows of the file"
    )


def test_unique_whole_numbers_are_an_identifier():
    assert id_problem([np.ma.array([7, 3]), np.ma.array([11])]) is None

import numpy as np
import pyarrow as pa
import pytest

from skylike.catalog.clean import CleaningRules, clean_batch, galaxy_columns
from skylike.catalog.columns import GALAXY_TYPES
from skylike.cuts import ColumnKind, parse_cut
from skylike.survey.batches import Batch
from skylike.survey.column_names import TARGETS


def batch(**columns: object) -> Batch:
    arrays = {name: np.ma.asarray(values) for name, values in columns.items()}
    return Batch(arrays, len(next(iter(arrays.values()))))


def rules(*names: str, **options: object) -> CleaningRules:
    return CleaningRules(columns={name: name for name in names}, **options)


def test_each_row_is_counted_once_and_by_its_first_reason():
    rows = batch(
        ra=[np.nan, 1.0, 1.0, 1.0, 1.0],
        dec=[0.0, 95.0, 1.0, 1.0, 1.0],
        type=["PSF", "PSF", "psf ", "DUP", "EXP"],
        brick_primary=[True, True, True, True, False],
    )

    cleaned = clean_batch(rows, rules("ra", "dec", "type", "brick_primary"))

    assert cleaned.galaxies.num_rows == 0
    assert cleaned.rejected == {
        "position missing or not finite": 1,
        "position off the sky": 1,
        "star (type PSF)": 1,
        "duplicate source (type DUP)": 1,
        "not primary in its brick": 1,
    }


def test_stars_are_kept_when_asked():
    rows = batch(ra=[1.0], dec=[1.0], type=["PSF"])

    cleaned = clean_batch(rows, rules("ra", "dec", "type", star_types=frozenset()))

    assert cleaned.galaxies["type"].to_pylist() == ["PSF"]


def test_a_cut_applies_to_columns_of_the_file_and_of_the_catalog():
    rows = batch(ra=[1.0, 2.0, 3.0], dec=[0.0] * 3, mag_r=[17.0, 99.0, 17.0], CLASS=["A", "A", "B"])
    kinds = {"class": ColumnKind.TEXT, "mag_r": ColumnKind.NUMBER}
    cut = parse_cut("class = 'A' AND mag_r < 100", kinds)

    cleaned = clean_batch(rows, rules("ra", "dec", "mag_r", cut=cut))

    # The second row's 99 is a sentinel: NULL in the catalog, and NULL < 100 is not true.
    assert cleaned.galaxies["ra"].to_pylist() == [1.0]
    assert cleaned.n_not_selected == 2


def test_the_photometric_system_follows_from_the_release():
    rows = batch(
        ra=[1.0] * 4,
        dec=[1.0] * 4,
        release=[9010, 9011, 8001, 1234],
        brickid=[1, 2, 3, 4],
        objid=[1] * 4,
    )

    cleaned = clean_batch(rows, rules("ra", "dec", "release", "brickid", "objid", key="legacy"))

    assert cleaned.galaxies["photsys"].to_pylist() == ["S", "N", "N", None]


def test_missing_values_become_null():
    rows = batch(
        ra=[1.0, 2.0],
        dec=[1.0, 2.0],
        z_spec=[-99.0, 0.25],
        z_phot=[-1.0, 0.5],
        psf_size_r=[0.0, 1.5],
        maskbits=[-1, 512],
    )
    names = ("ra", "dec", "z_spec", "z_phot", "psf_size_r", "maskbits")

    galaxies = clean_batch(rows, rules(*names)).galaxies

    assert [galaxies[name].to_pylist() for name in names[2:]] == [
        [None, 0.25],
        [None, 0.5],
        [None, 1.5],
        [None, 512],
    ]


@pytest.mark.parametrize("names", [(), ("ebv", "flux_g", "type", "release"), ("mag_h",)])
def test_the_columns_announced_are_those_that_come(names: tuple[str, ...]):
    values = {"type": ["EXP"], "release": [9010]}
    rows = batch(ra=[1.0], dec=[1.0], **{name: values.get(name, [0.5]) for name in names})
    these = rules("ra", "dec", *names)

    galaxies = clean_batch(rows, these).galaxies

    assert galaxies.column_names == ["object_id", "ra", "dec", "healpix29", *galaxy_columns(these)]


IMPOSSIBLE = [np.nan, np.inf, -np.inf, 1e39, -1e39, 1e308, -1e308, 1e-308, 0.0, -1e5, 1e5, 99.0]


@pytest.mark.parametrize("magnitudes", [None, "observed", "dereddened"])
def test_no_column_gets_a_value_that_is_not_finite(magnitudes: str | None):
    names = sorted(TARGETS - {"ra", "dec", "type", "photsys", "object_id"})
    n = 2000
    rng = np.random.default_rng(3)
    given = {name: rng.choice(IMPOSSIBLE, n) for name in names}
    rows = batch(ra=rng.choice([*IMPOSSIBLE, 10.0], n), dec=rng.choice([np.inf, 2.0], n), **given)
    options = CleaningRules(
        columns={name: name for name in ("ra", "dec", *names)}, magnitudes=magnitudes
    )

    cleaned = clean_batch(rows, options).galaxies

    reals = [name for name in cleaned.column_names if pa.types.is_floating(GALAXY_TYPES[name])]
    assert set(reals) == {name for name, kind in GALAXY_TYPES.items() if pa.types.is_floating(kind)}
    assert cleaned.num_rows > 100
    for name in reals:
        assert np.isfinite(cleaned[name].drop_null().to_numpy()).all(), name


def test_a_flux_too_large_for_a_real_has_no_magnitude():
    rows = batch(ra=[1.0], dec=[1.0], flux_g=[1e39])

    cleaned = clean_batch(rows, rules("ra", "dec", "flux_g"))

    assert cleaned.galaxies["flux_g"].null_count == cleaned.galaxies["mag_g"].null_count == 1


def test_text_loses_the_character_that_postgresql_cannot_hold():
    rows = batch(ra=[1.0], dec=[1.0], type=["E\0XP"])

    assert clean_batch(rows, rules("ra", "dec", "type")).galaxies["type"].to_pylist() == ["EXP"]

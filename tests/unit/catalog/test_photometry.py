import numpy as np
import pytest

from skylike.catalog.photometry import (
    band_columns,
    nanomaggies_in_unit,
    stored_magnitudes,
    without_sentinels,
)


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_a_flux_gives_a_dereddened_magnitude():
    columns = band_columns("r", {"flux": array(10.0), "mw_transmission": array(0.8)}, None, None)

    assert columns["mag_r"][0] == pytest.approx(22.5 - 2.5 * np.log10(10 / 0.8))
    assert columns["flux_r"][0] == 10.0


def test_a_flux_that_is_not_positive_has_no_magnitude():
    columns = band_columns("r", {"flux": array(0.0, -1.0, np.nan)}, None, None)

    assert np.isnan(columns["mag_r"]).all()
    assert columns["flux_r"].tolist()[:2] == [0.0, -1.0]


def test_the_error_of_a_magnitude_follows_from_the_inverse_variance():
    columns = band_columns("r", {"flux": array(10.0), "flux_ivar": array(4.0)}, None, None)

    step = 2.5 * np.log10((10 + 1e-6 * 0.5) / 10) / 1e-6
    assert columns["mag_err_r"][0] == pytest.approx(step, rel=1e-4)


def test_a_flux_without_an_exposure_is_missing():
    columns = band_columns("r", {"flux": array(0.0), "flux_ivar": array(0.0)}, None, None)

    assert np.isnan(columns["flux_r"][0])


def test_reddening_serves_where_the_transmission_is_unknown():
    columns = band_columns(
        "r", {"flux": array(10.0, 10.0), "mw_transmission": array(0.0, 0.5)}, array(0.1, 0.1), None
    )

    assert columns["mag_r"][0] == pytest.approx(20.0 - 2.165 * 0.1)
    assert columns["mag_r"][1] == pytest.approx(22.5 - 2.5 * np.log10(20))


def test_observed_magnitudes_are_corrected_where_the_reddening_is_known():
    columns = band_columns("g", {"mag": array(18.0, 18.0)}, array(0.1, np.nan), "observed")

    assert columns["mag_g"].tolist() == pytest.approx([18.0 - 0.3214, 18.0])


def test_dereddened_magnitudes_stay():
    columns = band_columns("g", {"mag": array(18.0)}, array(0.1), None)

    assert columns["mag_g"].tolist() == [18.0]


def test_dereddened_fluxes_are_reddened_for_the_flux_column():
    columns = band_columns(
        "g", {"flux": array(10.0), "mw_transmission": array(0.5)}, None, "dereddened"
    )

    assert columns["mag_g"][0] == 20.0
    assert columns["flux_g"][0] == 5.0


def test_sentinels_become_missing_and_real_values_stay():
    values = without_sentinels(array(-99, -9999, 99, 999, 18.5, 0, 98.9))

    assert np.isnan(values).tolist() == [True] * 4 + [False] * 3


def test_fluxes_in_microjansky_are_converted():
    assert nanomaggies_in_unit("uJy") == pytest.approx(1 / 3.631)


@pytest.mark.parametrize(
    ("names", "said", "stored"),
    [
        ({"ra"}, None, "none"),
        ({"mag_r"}, None, "dereddened"),
        ({"mag_r"}, "observed", "observed"),
        ({"mag_r", "ebv"}, "observed", "dereddened"),
        ({"mag_vis", "ebv"}, "observed", "observed"),
        ({"flux_r"}, None, "observed"),
        ({"flux_r", "mw_transmission_r"}, None, "dereddened"),
        ({"flux_r"}, "dereddened", "dereddened"),
    ],
)
def test_what_is_stored_is_said(names: set[str], said: str | None, stored: str):
    assert stored_magnitudes(dict.fromkeys(names, "x"), said) == stored

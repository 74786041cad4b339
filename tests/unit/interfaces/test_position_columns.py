"""Positions in a data frame or another table in memory, as of a file."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.table import QTable, Table

from skylike.errors import CoordinateError, SurveyFileError
from skylike.interfaces.sky_arguments import arcsec_of, position_table_of, positions_of

COLUMNS = {
    "galaxy_id": [7, 8],
    "name": ["M 51", "M 101"],
    "ra": [202.47, 210.8],
    "dec": [47.2, 54.3],
}


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(COLUMNS),
        Table(COLUMNS),
        QTable(
            {
                **COLUMNS,
                "ra": COLUMNS["ra"] * u.deg,
                "dec": np.multiply(54, COLUMNS["dec"]) / 54 * u.deg,
            }
        ),
        pa.table(COLUMNS),
        Table(COLUMNS).as_array(),
        COLUMNS,
    ],
    ids=["pandas", "astropy", "quantities", "arrow", "structured", "mapping"],
)
def test_position_table_when_given_a_table_then_finds_its_columns(table: object):
    found = position_table_of(table)

    assert found is not None
    assert found.ra.tolist() == COLUMNS["ra"]
    assert np.allclose(found.dec, COLUMNS["dec"], rtol=0, atol=1e-12)
    assert found.rows.tolist() == [1, 2]
    assert found.names == ("M 51", "M 101")


def test_position_table_when_a_position_is_missing_then_names_its_row():
    frame = pd.DataFrame({"RA": [1.0, np.nan, 3.0], "DEC": [1.0, 2.0, 3.0]})

    found = position_table_of(frame)

    assert found is not None
    assert found.rows.tolist() == [1, 3]
    assert found.unusable_rows == (2,)


def test_position_table_when_there_are_no_such_columns_then_names_those_there_are():
    with pytest.raises(SurveyFileError, match=r"^positions: no columns of right .* x, y; name"):
        position_table_of(pd.DataFrame({"x": [1.0], "y": [2.0]}))


def test_positions_when_something_long_is_none_then_quotes_its_begin_in_one_line():
    with pytest.raises(CoordinateError) as refused:
        positions_of(Table({"a": np.arange(1000)}))

    assert len(str(refused.value)) < 200
    assert "\n" not in str(refused.value)


def test_arcsec_when_given_as_text_then_keeps_the_last_digit_and_takes_a_unit():
    assert arcsec_of("25.152") == 25.152
    assert arcsec_of("20 arcsec") == pytest.approx(20)
    assert arcsec_of("0.5 arcmin") == pytest.approx(30)

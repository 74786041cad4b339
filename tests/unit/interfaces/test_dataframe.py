"""Results in memory: types, NULLs, units."""

import numpy as np
import pandas as pd

from search_results import search_result
from skylike.interfaces.dataframe import to_pandas, to_table


def test_to_pandas_when_there_are_nulls_then_integers_stay_whole():
    frame = to_pandas(search_result())

    assert frame["object_id"].dtype == np.int64
    assert frame["object_id"].tolist()[1] == 9222213454291370001
    assert frame["maskbits"].dtype == pd.Int32Dtype()
    assert frame["maskbits"].isna().tolist() == [False, False, True]
    assert frame["mag_r"].dtype == np.float32
    assert np.isnan(frame["mag_r"].iloc[2])
    assert frame.attrs["units"]["ra"] == "deg"
    assert frame.attrs["matched"] == 1234


def test_to_table_when_made_then_has_units_descriptions_and_masks():
    table = to_table(search_result())

    assert str(table["flux_r"].unit) == "nmgy"
    assert table["ra"].description == "Right ascension, ICRS"
    assert table["ra"].meta["ucd"] == "pos.eq.ra;meta.main"
    assert table["type"].mask.tolist() == [False, False, True]
    assert table.meta["encoder"] == "demo"
    assert "stale" not in table.meta

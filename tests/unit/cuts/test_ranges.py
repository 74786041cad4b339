"""The interval that a cut confines a column to."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skylike.cuts import GALAXY_KINDS, parse_cut, to_mask
from skylike.cuts.ranges import column_range

INF = math.inf


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("mag_r < 18", -INF, 18),
        ("18 >= mag_r", -INF, 18),
        ("mag_r BETWEEN 16 AND 18", 16, 18),
        ("mag_r > 16 AND mag_g < 2 AND mag_r <= 18", 16, 18),
        ("mag_r = 17.5", 17.5, 17.5),
        ("mag_r IN (19, 17, 18)", 17, 19),
        ("mag_r < 16 OR mag_r < 18", -INF, 18),
        ("mag_r BETWEEN 14 AND 15 OR mag_r BETWEEN 17 AND 18", 14, 18),
        ("mag_r < 18 OR mag_g < 18", -INF, INF),
        ("mag_r > 18 AND mag_r < 17 OR mag_r = 3", 3, 3),
        ("mag_r > 18 AND mag_r < 17", INF, -INF),
        ("FALSE", INF, -INF),
        ("mag_r < 18 OR FALSE", -INF, 18),
        ("mag_r < 18 OR TRUE", -INF, INF),
        ("NOT mag_r > 18", -INF, 18),
        ("NOT (mag_r > 18 OR mag_r < 16)", 16, 18),
        ("NOT (mag_r > 18 AND mag_g > 18)", -INF, INF),
        ("mag_r NOT BETWEEN 16 AND 18", -INF, INF),
        ("NOT mag_r <> 17", 17, 17),
        ("mag_r <> 17", -INF, INF),
        ("(mag_r < 18) IS TRUE", -INF, 18),
        ("(mag_r < 18) IS FALSE", 18, INF),
        ("(mag_r < 18) IS NOT TRUE", -INF, INF),
        ("mag_r IS NULL", -INF, INF),
        ("mag_r + 0 < 18", -INF, INF),
        ("coalesce(mag_r, 0) < 18", -INF, INF),
        ("mag_r < mag_g", -INF, INF),
        ("mag_r < -18", -INF, -18),
    ],
)
def test_column_range_when_asked_then_is_what_the_cut_proves(text: str, low: float, high: float):
    assert column_range(parse_cut(text, GALAXY_KINDS), "mag_r") == (low, high)


def test_column_range_when_no_double_is_the_bound_then_holds_it():
    low, high = column_range(parse_cut("object_id = 9007199254740993", GALAXY_KINDS), "object_id")

    assert low <= 9007199254740993 <= high
    assert high - low <= 4


_SIMPLE = st.sampled_from(
    [
        "mag_r < 2",
        "mag_r >= 1",
        "mag_r = 3",
        "mag_r <> 2",
        "mag_r IN (1, 4)",
        "mag_g > mag_r",
        "mag_r IS NULL",
        "mag_r BETWEEN 1 AND 3",
        "mag_g < 2",
        "TRUE",
        "FALSE",
        "3 > mag_r",
    ]
)
_CUTS = st.recursive(
    _SIMPLE,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda x: f"({' '.join(x)})"),
        inner.map(lambda x: f"NOT ({x})"),
        st.tuples(inner, st.sampled_from(["TRUE", "NOT TRUE", "FALSE", "NOT FALSE"])).map(
            lambda x: f"({x[0]}) IS {x[1]}"
        ),
    ),
    max_leaves=6,
)
_GRID = [math.nan, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
_COLUMNS = {
    "mag_r": np.repeat(_GRID, len(_GRID)),
    "mag_g": np.tile(_GRID, len(_GRID)),
}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(_CUTS)
def test_column_range_when_any_cut_is_given_then_holds_every_row_that_it_takes(text: str):
    cut = parse_cut(text, GALAXY_KINDS)

    low, high = column_range(cut, "mag_r")

    taken = _COLUMNS["mag_r"][to_mask(cut, _COLUMNS)]
    assert np.all((taken >= low) & (taken <= high) | ((low, high) == (-INF, INF)))

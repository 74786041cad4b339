import numpy as np
import pyarrow as pa
import pytest

from skylike.search.arrow_arrays import arrow_array, arrow_numbers


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([], pa.string()),
        ([1, None, -3], pa.int32()),
        ((9222213454291370001, None), pa.int64()),
        ([1.5, None, float("nan")], pa.float32()),
        ([True, None, False] * 5, pa.bool_()),
        (["", None, "Kuz\u2019min", "a"], pa.string()),
        ([None] * 9, pa.float64()),
    ],
)
def test_array_when_made_of_buffers_then_is_as_pyarrow_makes_it(values, type_):
    made = arrow_array(values, type_)

    made.validate(full=True)
    assert made.type == type_
    assert str(made) == str(pa.array(values, type_))
    assert made.null_count == sum(value is None for value in values)


def test_numbers_when_some_are_missing_then_those_are_null():
    made = arrow_numbers(np.array([1.0, np.nan]), pa.float64(), missing=np.array([False, True]))

    assert made.to_pylist() == [1.0, None]
    assert arrow_numbers(np.arange(3, 5), pa.int32()).to_pylist() == [3, 4]

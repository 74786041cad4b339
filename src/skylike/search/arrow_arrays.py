"""Arrow arrays from plain buffers: ``pyarrow.array`` imports pandas, half a second of a search."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def arrow_array(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    """Make what ``pyarrow.array(values, type_)`` makes.

    Parameters
    ----------
    values
        Python values as the database driver gives them; None is null.
    type_
        Numbers, bool or string.
    """
    missing = np.fromiter((value is None for value in values), bool, len(values))
    if pa.types.is_string(type_):
        words = [b"" if value is None else value.encode() for value in values]
        ends = np.fromiter(accumulate(map(len, words), initial=0), np.int32, len(words) + 1)
        return _array(type_, missing, ends, b"".join(words))
    if pa.types.is_boolean(type_):
        return _array(type_, missing, _bits(np.fromiter(map(bool, values), bool, len(values))))
    dtype = np.dtype(type_.to_pandas_dtype())
    numbers = np.array([0 if value is None else value for value in values], dtype)
    return _array(type_, missing, numbers)


def arrow_numbers(
    values: npt.NDArray[Any], type_: pa.DataType, *, missing: npt.NDArray[np.bool_] | None = None
) -> pa.Array:
    """Make an array of numbers (n,), null where they are ``missing``."""
    numbers = np.ascontiguousarray(values, np.dtype(type_.to_pandas_dtype()))
    none = np.zeros(len(numbers), bool)
    return _array(type_, none if missing is None else missing, numbers)


def _array(
    type_: pa.DataType, missing: npt.NDArray[np.bool_], *buffers: npt.NDArray[Any] | bytes
) -> pa.Array:
    validity = pa.py_buffer(_bits(~missing)) if missing.any() else None
    held = [pa.py_buffer(buffer) for buffer in buffers]
    return pa.Array.from_buffers(type_, len(missing), [validity, *held])


def _bits(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    return np.packbits(flags, bitorder="little")

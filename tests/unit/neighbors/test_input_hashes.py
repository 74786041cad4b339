"""Hashes tell changed rows: every bit of a vector and of its magnitude counts."""

import numpy as np
import pytest

from skylike.neighbors.input_hashes import row_hashes


def random_rows(n: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(51)
    vectors = generator.standard_normal((n, dimension)).astype(np.float16)
    return vectors, generator.uniform(15, 21, n).astype(np.float32)


@pytest.mark.parametrize("dimension", [1, 4, 7, 64])
def test_row_hashes_differ_for_every_bit_of_a_vector(dimension: int):
    (row,), (magnitude,) = random_rows(1, dimension)
    bits = np.tile(row.view(np.uint16), (16 * dimension, 1))
    entry, bit = np.divmod(np.arange(16 * dimension), 16)
    bits[np.arange(16 * dimension), entry] ^= (1 << bit).astype(np.uint16)
    rows = np.concatenate([row[None], bits.view(np.float16)])

    hashes = row_hashes(rows, np.full(len(rows), magnitude))

    assert len(np.unique(hashes)) == len(rows)


def test_row_hashes_differ_for_every_pair_of_changed_signs():
    (row,), (magnitude,) = random_rows(1, 64)
    first, second = np.triu_indices(64, 1)
    rows = np.tile(row, (len(first), 1))
    rows[np.arange(len(first)), first] *= -1
    rows[np.arange(len(first)), second] *= -1
    rows = np.concatenate([row[None], -row[None], rows])

    hashes = row_hashes(rows, np.full(len(rows), magnitude))

    assert len(np.unique(hashes)) == len(rows)


def test_row_hashes_differ_for_every_bit_of_a_magnitude():
    vectors, magnitudes = random_rows(1, 8)
    flipped = magnitudes.view(np.uint32) ^ (np.uint32(1) << np.arange(32, dtype=np.uint32))
    values = np.concatenate([magnitudes, flipped.view(np.float32)])
    values = values[np.isfinite(values)]

    hashes = row_hashes(np.repeat(vectors, len(values), axis=0), values)

    assert len(values) >= 32
    assert len(np.unique(hashes)) == len(values)


def test_row_hashes_take_all_missing_magnitudes_as_one():
    vectors, _ = random_rows(1, 8)
    other_nan = np.array([0x7FC00123], np.uint32).view(np.float32)[0]
    missing = np.array([np.nan, other_nan, np.inf, -np.inf, 0.0], np.float32)

    hashes = row_hashes(np.repeat(vectors, 5, axis=0), missing)

    assert len(np.unique(hashes[:4])) == 1
    assert hashes[4] != hashes[0]


def test_row_hashes_of_a_row_do_not_depend_on_the_others():
    vectors, magnitudes = random_rows(150, 10)

    together = row_hashes(vectors, magnitudes)

    for row in (0, 63, 64, 149):
        alone = row_hashes(vectors[row : row + 1], magnitudes[row : row + 1])
        assert alone[0] == together[row]
    assert len(np.unique(together)) == 150


def test_row_hashes_are_those_of_every_release():
    vectors = np.array([[1.0, -0.5, 0.25, 0.125, 2.0]], np.float16)

    (hash_,) = row_hashes(vectors, np.array([17.5], np.float32))

    assert hash_ == -6546249875364104203

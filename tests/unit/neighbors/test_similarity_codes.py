"""Similarities in a byte each: never further off than said, never rising, whatever the list."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skylike.neighbors.similarity_codes import (
    ESCAPE,
    LARGEST_STEP,
    SMALLEST_STEP,
    UNCODED_ERROR,
    CodedSimilarities,
    decode,
    decode_list,
    decoding_error,
    encode,
    stored_error,
)

ALLOWED = 5e-4
"""Error of a stored similarity that the project promises."""


def coded(*lists: list[float] | np.ndarray) -> CodedSimilarities:
    lengths = np.array([len(one) for one in lists], np.int64)
    flat = np.concatenate([np.empty(0), *lists]).astype(np.float32)
    return encode(flat, lengths)


def rows(found: CodedSimilarities) -> list[bytes]:
    ends = np.cumsum(found.lengths)
    return [
        found.codes[end - n : end].tobytes() for end, n in zip(ends, found.lengths, strict=True)
    ]


def check(*lists: list[float] | np.ndarray) -> CodedSimilarities:
    """Code lists together and check what is promised of each."""
    found = coded(*lists)
    decoded = decode(found)
    assert decoded.dtype == np.float32
    lengths = [len(one) for one in lists]
    parts = np.split(decoded, np.cumsum(lengths)[:-1])
    for own, one, first, step, codes in zip(
        parts, lists, found.first, found.step, rows(found), strict=True
    ):
        truth = np.asarray(one, np.float32).astype(np.float64)
        assert len(own) == len(truth)
        assert SMALLEST_STEP <= step <= LARGEST_STEP
        assert np.abs(own - truth).max(initial=0) <= decoding_error(float(step))
        assert (np.diff(own) <= 0).all()
        assert (np.abs(own) <= 1).all()
        assert np.array_equal(decode_list(float(first) if len(one) else None, step, codes), own)
        if len(one):
            assert own[0] == np.float32(one[0])
    return found


def test_error_when_the_step_is_largest_then_is_what_is_promised():
    assert stored_error(float(LARGEST_STEP)) < ALLOWED
    assert decoding_error(float(LARGEST_STEP)) + UNCODED_ERROR < ALLOWED


@given(
    st.lists(
        st.lists(st.floats(-1, 1, width=32), max_size=40).map(lambda some: sorted(some)[::-1]),
        min_size=1,
        max_size=6,
    )
)
def test_lists_when_coded_and_decoded_then_are_as_close_as_said_and_never_rise(lists):
    check(*lists)


@given(
    first=st.floats(-1, 1, width=32),
    falls=st.lists(st.sampled_from([0, 1e-9, 3e-8, 1e-6, 1e-4, 1e-3, 0.0313, 1.0]), max_size=60),
)
def test_lists_of_large_and_tiny_falls_then_are_as_close_as_said_and_never_rise(first, falls):
    check(np.maximum(first - np.cumsum([0.0, *falls]), -1).astype(np.float32))


def test_list_when_it_spans_all_there_is_then_takes_escapes():
    found = check([1.0, 0.9999, -1.0, -1.0])

    assert found.step[0] == LARGEST_STEP
    assert rows(found)[0].count(ESCAPE) == round(1.9999 / LARGEST_STEP) // ESCAPE == 8


@pytest.mark.parametrize("steps", [253, 254, 255, 256, 509, 510, 511, 765])
def test_fall_when_it_is_around_a_whole_number_of_escapes_then_is_read_back(steps: int):
    fall = steps * float(LARGEST_STEP)

    found = check([1.0, 1.0 - fall, 1.0 - fall, 1.0 - fall - 0.1], [0.5, 0.5 - fall])

    if steps >= ESCAPE:
        assert rows(found)[1] == bytes([ESCAPE] * (steps // ESCAPE) + [steps % ESCAPE])


def test_list_when_falls_are_small_then_has_a_fine_step_and_a_byte_each():
    generator = np.random.default_rng(1)
    lists = np.sort(generator.beta(4, 3, (50, 20_000)), axis=1)[:, :-1000:-1]

    found = check(*lists)

    assert (found.lengths == 998).all()
    assert np.allclose(found.step, -np.diff(lists, axis=1).min(axis=1) / 253, rtol=1e-4)
    assert np.median(found.step) < 1e-4
    assert (found.codes != ESCAPE).all()


def test_list_when_all_are_ties_then_stays_so():
    found = check([0.25] * 30)

    assert (decode(found) == 0.25).all()
    assert not found.codes.any()


def test_list_when_it_falls_by_less_than_float32_shows_then_is_as_close_as_said():
    lowest = np.float32(0.1)
    for _ in range(200):
        lowest = np.nextafter(lowest, np.float32(1))
    fine = np.linspace(lowest, 0.1, 201).astype(np.float32)

    found = check(fine, fine - np.float32(0.1))

    assert (found.step == SMALLEST_STEP).all()


def test_lists_when_single_or_empty_then_take_no_bytes():
    found = check([], [0.5], [], [-1.0], [])

    assert found.lengths.tolist() == [0, 0, 0, 0, 0]
    assert np.isnan(found.first).tolist() == [True, False, True, False, True]
    assert decode(found).tolist() == [0.5, -1.0]


def test_lists_when_there_are_none_then_there_is_nothing():
    found = coded()

    assert len(decode(found)) == len(found.codes) == len(found.first) == 0


def test_similarity_when_it_rises_by_a_rounding_error_then_is_coded_like_the_one_before():
    found = coded([0.5, 0.4, np.nextafter(np.float32(0.4), np.float32(1)), 0.3])

    decoded = decode(found)
    assert decoded[1] == decoded[2]
    assert np.abs(decoded - np.float32([0.5, 0.4, 0.4, 0.3])).max() <= decoding_error(found.step[0])


def test_lists_when_coded_together_then_are_as_when_coded_alone():
    generator = np.random.default_rng(2)
    lists = [
        np.sort(generator.uniform(-1, 1, n))[::-1].astype(np.float32) for n in (5, 0, 1, 40, 40)
    ]

    together = coded(*lists)

    for one, first, step, codes in zip(
        lists, together.first, together.step, rows(together), strict=True
    ):
        alone = coded(one)
        assert np.array_equal([alone.first[0], alone.step[0]], [first, step], equal_nan=True)
        assert alone.codes.tobytes() == codes

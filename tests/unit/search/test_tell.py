import numpy as np
import pytest

from skylike.search.exact import Ranking
from skylike.search.examples import Example
from skylike.search.query import Query
from skylike.search.tell import (
    count_in_words,
    exactness_in_words,
    in_words,
    joined_notes,
    short_note,
)


def ranking(n, *, dropped=0):
    return Ranking(
        np.arange(n, dtype=np.int32),
        np.ones(n),
        np.zeros((n, 3)),
        np.arange(dropped, dtype=np.int32),
        n,
        exhausted=True,
    )


def galaxies(*ids):
    return [Example(f"galaxy {n}", np.ones(2)) for n in ids]


@pytest.mark.parametrize(
    ("examples", "rejects", "words"),
    [
        ((1,), (), "galaxy 1"),
        ((1, 2), (), "galaxy 1; galaxy 2 (combined)"),
        ((1,), (9, 8), "galaxy 1; unlike galaxy 9; galaxy 8"),
        (
            range(1, 8),
            (),
            "7 examples: galaxy 1; galaxy 2; galaxy 3; galaxy 4; galaxy 5; and 2 more (combined)",
        ),
    ],
)
def test_query_in_words_names_the_first_examples_and_rejects(examples, rejects, words):
    query = Query(galaxies=(1,))

    assert in_words(query, galaxies(*examples), galaxies(*rejects)) == words


@pytest.mark.parametrize(
    ("count", "is_bound", "words"),
    [
        (1, False, "1 embedded galaxy"),
        (1_234, False, "1,234 embedded galaxies"),
        (10_000, True, "more than 10,000 embedded galaxies"),
    ],
)
def test_count_in_words_says_where_counting_stopped(count, is_bound, words):
    assert count_in_words(count, is_bound=is_bound) == words


@pytest.mark.parametrize(
    ("exact", "recall", "words"),
    [
        (True, None, "exact"),
        (False, 0.9932, "approximate, 99.3 % of the exact answer expected"),
        (False, 0.99999, "approximate, 99.9 % of the exact answer expected"),
        (False, 1.0, "approximate, 100 % of the exact answer expected"),
        (False, None, "approximate, recall unknown; run `skylike db calibrate`"),
    ],
)
def test_exactness_in_words_promises_no_more_than_was_measured(exact, recall, words):
    assert exactness_in_words(exact=exact, expected_recall=recall) == words


@pytest.mark.parametrize(
    ("options", "ranked", "matched", "note"),
    [
        ({"k": 3}, ranking(3), 90, None),
        ({"k": 3, "offset": 5}, ranking(8), 90, None),
        ({"k": 3}, ranking(2), 2, "2 of 3 found: 2 embedded galaxies besides the query"),
        (
            {"k": 3, "offset": 5, "where": "mag_r < 1"},
            ranking(6, dropped=4),
            10,
            "1 of 3 found after the first 5: 10 embedded galaxies match the cut; "
            "4 within 25.152 arcsec of the query or of a better result "
            "(a minimum separation of 0 keeps them)",
        ),
        (
            {"k": 3, "offset": 5},
            ranking(2),
            2,
            "0 of 3 found after the first 5: 2 embedded galaxies besides the query",
        ),
        (
            {"k": 3, "where": "mag_r < 1", "fast": True},
            ranking(1),
            10_000,
            "1 of 3 found: more than 10,000 embedded galaxies match the cut",
        ),
    ],
)
def test_short_note_when_a_page_is_short_says_why(options, ranked, matched, note):
    query = Query(galaxies=(1,), **options)

    assert short_note(query, ranked, matched=matched, is_bound=matched >= 10_000) == note


def test_notes_when_joined_leave_out_what_is_not_there():
    assert joined_notes(None, "one", None, "two") == "one. two"
    assert joined_notes(None, None) is None

import numpy as np
import pytest

from skylike.evaluation.precision import (
    class_precision,
    most_similar,
    precision_at_k,
    summarize,
)


def test_precision_counts_results_of_the_querys_own_class():
    similar = np.array([["a", "b", "a", "a"], ["a", "a", "a", "a"], ["b", "b", "a", "b"]])

    assert precision_at_k(similar, np.array(["a", "b", "b"])).tolist() == [0.75, 0.0, 0.75]


def test_precision_of_a_short_list_counts_only_what_is_there():
    similar = np.array([["a", "b"], ["a", "a"]])
    valid = np.array([[True, False], [False, False]])

    precision = precision_at_k(similar, np.array(["a", "a"]), valid=valid)

    assert precision[0] == 1.0
    assert np.isnan(precision[1])


@pytest.mark.parametrize(
    ("similar", "queries", "valid"),
    [
        (np.zeros((3, 2)), np.zeros(2), None),
        (np.zeros(3), np.zeros(3), None),
        (np.zeros((3, 2)), np.zeros(3), np.ones((3, 3), dtype=bool)),
    ],
)
def test_precision_of_shapes_that_do_not_fit_is_refused(similar, queries, valid):
    with pytest.raises(ValueError, match="shape"):
        precision_at_k(similar, queries, valid=valid)


def test_most_similar_equals_a_full_sort_and_leaves_the_query_out():
    vectors = np.random.default_rng(3).normal(size=(300, 6))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)

    found = most_similar(vectors * 7.0, k=12)

    assert np.array_equal(found, np.argsort(-cosine, axis=1)[:, :12])


def test_most_similar_when_k_exceeds_the_others_returns_all_of_them():
    found = most_similar(np.eye(4) + 0.1, k=10)

    assert np.array_equal(np.sort(found, axis=1), [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


def test_chance_is_the_share_of_the_class_among_the_others():
    report = summarize(np.array([1.0, 0.5, 0.0, np.nan]), np.array(["a", "a", "a", "b"]))

    assert [(row.name, row.n) for row in report] == [("a", 3), ("b", 1)]
    assert report[0].precision == 0.5
    assert report[0].chance == pytest.approx(2 / 3)
    assert np.isnan(report[1].precision)
    assert report[1].chance == 0.0


def test_random_vectors_score_chance_and_separated_ones_score_one():
    rng = np.random.default_rng(5)
    labels = rng.choice(["a", "b", "c"], size=3000, p=[0.6, 0.3, 0.1])
    axes = np.eye(8)[[{"a": 0, "b": 1, "c": 2}[label] for label in labels]]

    random = class_precision(rng.normal(size=(3000, 8)), list(labels), k=10)
    separated = class_precision(axes + rng.normal(0, 0.05, size=(3000, 8)), list(labels), k=10)

    for row in random:
        assert row.precision == pytest.approx(row.chance, abs=0.03)
    assert [row.precision for row in separated] == [1.0, 1.0, 1.0]


def test_labels_that_are_fewer_than_vectors_are_refused():
    with pytest.raises(ValueError, match="2 labels for 3 vectors"):
        class_precision(np.ones((3, 2)), ["a", "b"])

import numpy as np
import pytest

from skylike.labels.metrics import average_precision, measure, precision_of_best, roc_auc


def test_metrics_when_all_members_are_above_all_others_then_are_one():
    found = measure(np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, True, False, False]))

    assert (found.average_precision, found.roc_auc, found.precision_top_n) == (1.0, 1.0, 1.0)
    assert (found.top_n, found.chance) == (2, 0.5)


def test_average_precision_when_computed_by_hand_then_agrees():
    is_member = np.array([True, False, True, False, False])

    assert average_precision(np.array([5.0, 4, 3, 2, 1]), is_member) == pytest.approx(
        (1 / 1 + 2 / 3) / 2
    )


def test_metrics_when_all_scores_are_equal_then_are_those_of_chance():
    scores, is_member = np.zeros(10), np.arange(10) < 3

    assert average_precision(scores, is_member) == pytest.approx(0.3)
    assert roc_auc(scores, is_member) == pytest.approx(0.5)
    assert precision_of_best(scores, is_member, n=3) == pytest.approx(0.3)


def test_roc_auc_when_pairs_are_counted_then_agrees():
    random = np.random.default_rng(3)
    scores = random.integers(0, 6, 40).astype(float)
    is_member = random.random(40) < 0.4
    above = scores[is_member][:, None] - scores[~is_member][None, :]
    pairs = np.where(above > 0, 1.0, np.where(above == 0, 0.5, 0.0))

    assert roc_auc(scores, is_member) == pytest.approx(pairs.mean())


def test_average_precision_when_rows_are_shuffled_then_stays():
    random = np.random.default_rng(4)
    scores = random.integers(0, 5, 60).astype(float)
    is_member = random.random(60) < 0.3
    order = random.permutation(60)

    assert average_precision(scores[order], is_member[order]) == pytest.approx(
        average_precision(scores, is_member)
    )

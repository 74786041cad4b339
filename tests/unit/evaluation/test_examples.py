import numpy as np
import pytest

from skylike.evaluation.examples import average_precision, judge_feedback


@pytest.mark.parametrize(
    ("ranking", "expected"),
    [
        ([True, True, False], 1.0),
        ([False, True], 0.5),
        ([True, False, True, False], (1 + 2 / 3) / 2),
    ],
)
def test_average_precision_is_the_mean_precision_at_what_is_wanted(ranking, expected):
    assert average_precision(np.array(ranking)) == pytest.approx(expected, abs=1e-15)


def test_average_precision_when_nothing_is_wanted_is_not_a_number():
    assert np.isnan(average_precision(np.zeros(3, dtype=bool)))


def circle(n=80):
    """Points on a circle, of which a quarter in a row are wanted."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1), np.arange(n) < n // 4


def test_feedback_rejects_are_what_comes_first_and_is_not_wanted():
    unit, is_wanted = circle()
    seen = []

    def scorer(examples, rejects):
        seen.append((examples, rejects))
        return unit @ examples.mean(axis=0)

    judge_feedback(
        {"mean": scorer}, unit, is_wanted, n_examples=2, n_rejects=3, trials=5, k=5, seed=1
    )

    assert len(seen) == 5
    for examples, rejects in seen:
        assert len(examples) == 2
        assert len(rejects) == 3
        assert not any((unit[is_wanted] == reject).all(axis=1).any() for reject in rejects)
        nearness = rejects @ examples.mean(axis=0)
        assert (np.diff(nearness) <= 1e-12).all()


def test_feedback_judges_all_ways_by_the_same_galaxies():
    unit, is_wanted = circle()
    truth = is_wanted.astype(float)

    found = judge_feedback(
        {"right": lambda _e, _r: truth, "wrong": lambda _e, _r: -truth},
        unit,
        is_wanted,
        n_examples=1,
        n_rejects=1,
        trials=4,
        k=5,
    )

    assert (found["right"].precision, found["right"].average_precision) == (1.0, 1.0)
    assert found["wrong"].precision == 0.0
    assert found["wrong"].average_precision < 0.3


def test_feedback_when_the_class_is_too_small_is_an_error():
    unit, is_wanted = circle()

    with pytest.raises(ValueError, match="too few"):
        judge_feedback({}, unit, is_wanted, n_examples=40, n_rejects=1, trials=1)

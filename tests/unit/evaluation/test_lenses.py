"""Known objects in each other's lists, on arrays."""

import numpy as np
import pytest

from skylike.errors import SettingsError
from skylike.evaluation.chance import median_first_rank, share_within
from skylike.evaluation.cosines import unit_rows
from skylike.evaluation.known_objects import read_values
from skylike.evaluation.leave_one_out import Known, draw_sets, judge_known
from skylike.progress import SILENT


def judge(known, others, *, ids=None, other_ids=None, batch=5, **options):
    """Judge rows of vectors; known objects are 1, 2, ... and others 1001, 1002, ..."""
    ids = np.arange(1, len(known) + 1) if ids is None else np.array(ids)
    other_ids = np.arange(1001, 1001 + len(others)) if other_ids is None else np.array(other_ids)
    batches = [
        (other_ids[i : i + batch].astype(np.int32), np.asarray(others)[i : i + batch])
        for i in range(0, len(others), batch)
    ]
    with SILENT.task("x") as task:
        return judge_known(
            Known(ids.astype(np.int32), unit_rows(np.asarray(known, float))),
            batches,
            len(others),
            task=task,
            **options,
        )


def at_angles(*degrees):
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def test_ranks_on_a_circle_are_those_counted_by_hand():
    # Known at 0, 10 and 90 degrees; others at 5, 50 and 80.
    single, group = judge(at_angles(0, 10, 90), at_angles(5, 50, 80), depths=[1, 2, 5])

    # From 0: 5, [10], 50, 80, [90]. From 10: 5, [0], 50, 80, [90]. From 90: 80, 50, [10], 5, [0].
    assert [recall.mean.value for recall in single.recalls] == [
        0.0,
        pytest.approx(1 / 3),
        1.0,
    ]
    assert [recall.best for recall in single.recalls] == [0.0, 0.5, 1.0]
    assert single.recalls[2].chance == 1.0
    assert (single.first_rank.value, single.first_rank_best) == (2.0, 2)
    # Means: of 10 and 90 at 50, 0 is behind all; of 0 and 90 at 45, 10 comes third (after 50, and
    # tied with 80, whose identifier is higher: second); of 0 and 10 at 5, 90 is last.
    assert group.way == "all but one, their mean"
    assert group.first_rank_best == 2
    assert [recall.mean.value for recall in group.recalls] == [0.0, pytest.approx(1 / 3), 1.0]


def test_ranks_equal_a_brute_force_in_numpy():
    random = np.random.default_rng(5)
    vectors = random.normal(size=(300, 6))
    units = unit_rows(vectors)
    cosines = units @ units.T
    np.fill_diagonal(cosines, np.inf)
    ranks = np.argsort(np.argsort(-cosines, axis=1), axis=1)[:20, :20]  # itself has rank 0
    of_others = ranks[~np.eye(20, dtype=bool)].reshape(20, 19)

    single, group = judge(vectors[:20], vectors[20:], depths=[10, 100], batch=64)

    assert single.recalls[0].mean.value == pytest.approx((of_others <= 10).mean())
    assert single.recalls[1].mean.value == pytest.approx((of_others <= 100).mean())
    assert single.recalls[1].median == pytest.approx(np.median((of_others <= 100).mean(axis=1)))
    assert single.first_rank.value == np.median(of_others.min(axis=1))
    mean = (units[:20].sum(axis=0) - units[:20]) @ units.T  # any length: the order is the same
    found = 1 + (mean[:, 20:] > np.diagonal(mean)[:, None]).sum(axis=1)
    assert group.first_rank.value == np.median(found)
    assert group.recalls[1].mean.value == pytest.approx((found <= 100).mean())


def test_ties_go_to_the_lower_identifier():
    same = np.ones((2, 3))

    (before, _) = judge(same, same, ids=[1, 2], other_ids=[3, 4], depths=[1])
    (behind, _) = judge(same, same, ids=[3, 4], other_ids=[1, 2], depths=[1])

    assert before.first_rank.value == 1.0
    assert behind.first_rank.value == 3.0


def test_others_without_a_direction_stand_before_nobody():
    single, _ = judge(at_angles(0, 90), np.zeros((4, 2)), depths=[1])

    assert single.recalls[0].mean.value == 1.0


def test_thinned_ranks_leave_the_known_objects_out_that_are_not_drawn():
    known, others = at_angles(0, 1, 2, 3), at_angles(10)

    single, group = judge(known, others, depths=[1, 2], draws=[np.array([0, 3]), np.array([1, 2])])

    assert (single.known, single.draws) == (2, 2)
    assert single.first_rank.value == 1.0  # 0 and 3 find each other first: 1 and 2 are not there
    assert [recall.chance for recall in single.recalls] == [0.5, 1.0]
    assert group.first_rank.value == 1.0


def test_thinned_recall_is_the_mean_over_draws_of_full_evaluations():
    random = np.random.default_rng(6)
    known, others = random.normal(size=(12, 4)), random.normal(size=(80, 4))
    draws = draw_sets(12, 80, rate=0.05, draws=30, seed=1)

    single, _ = judge(known, others, depths=[20], draws=draws)

    alone = [judge(known[d], others, ids=d + 1, depths=[20])[0] for d in draws]
    by_owner = {place: [] for place in range(12)}
    for drawn in draws:
        for place in drawn:
            units = unit_rows(np.concatenate([known[drawn], others]))
            own = unit_rows(known[[place]])[0]
            order = np.argsort(-(units @ own))[1:]
            by_owner[int(place)].append(np.mean([np.isin(order[:20], range(4)).sum() / 3]))
    assert len(draws[0]) == 4
    assert single.recalls[0].median == pytest.approx(np.mean([a.recalls[0].median for a in alone]))
    expected = np.mean([np.mean(each) for each in by_owner.values() if each])
    assert single.recalls[0].mean.value == pytest.approx(expected)


def test_random_vectors_score_chance():
    random = np.random.default_rng(7)

    single, group = judge(
        random.normal(size=(60, 24)), random.normal(size=(1500, 24)), depths=[150], batch=500
    )

    assert single.recalls[0].mean.value == pytest.approx(single.recalls[0].chance, abs=0.02)
    assert single.first_rank.value == pytest.approx(single.first_rank_chance, rel=0.5)
    assert group.first_rank_chance == 751.0


def test_sets_are_as_rare_as_asked_and_as_many():
    sets = draw_sets(50, 9990, rate=0.001, draws=7, seed=0)

    assert [len(chosen) for chosen in sets] == [10] * 7
    assert len({tuple(chosen) for chosen in sets}) > 1
    assert all(len(set(chosen.tolist())) == 10 for chosen in sets)


@pytest.mark.parametrize(
    ("known", "others", "rate", "said"),
    [
        (5, 100, 0.001, "leaves 0 known objects among 100 others"),
        (5, 100, 0.5, "rarer than that already"),
        (5, 100, 1.5, "not a share"),
    ],
)
def test_a_rate_that_cannot_be_drawn_is_refused(known, others, rate, said):
    with pytest.raises(SettingsError, match=said):
        draw_sets(known, others, rate=rate, draws=3, seed=0)


def test_one_known_object_is_refused():
    with pytest.raises(SettingsError, match="has no other to find"):
        judge(at_angles(0), at_angles(5), depths=[1])


def test_chance_of_the_first_of_several_equals_a_simulation():
    random = np.random.default_rng(8)
    firsts = np.array([random.permutation(50)[:4].min() + 1 for _ in range(20_000)])

    assert share_within(50, 4, 6) == pytest.approx((firsts <= 6).mean(), abs=0.01)
    assert median_first_rank(50, 4) == pytest.approx(np.median(firsts), abs=1)
    assert median_first_rank(10, 1) == 5.5


def test_values_of_a_column_are_read_as_text_whole_numbers_without_a_point(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("ra,dec,Class,grade\n1,2, lens ,1\n3,4,,2\n")

    assert read_values(path, "class").tolist() == ["lens", ""]
    assert read_values(path, "grade").tolist() == ["1", "2"]

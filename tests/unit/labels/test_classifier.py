import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit

from label_factory import clustered_vectors
from skylike.labels.classifier import (
    PENALTIES,
    Examples,
    LinearModel,
    assign_folds,
    cross_validate,
    example_weights,
    fit,
)
from skylike.labels.metrics import average_precision


def drawn(
    vectors: npt.NDArray[np.float16],
    is_member: npt.NDArray[np.bool_],
    *,
    members: int,
    random: int,
    seed: int = 1,
) -> tuple[Examples, npt.NDArray[np.int64]]:
    """Some members and random galaxies, and their places."""
    generator = np.random.default_rng(seed)
    places = np.concatenate(
        [
            generator.permutation(np.flatnonzero(is_member))[:members],
            generator.permutation(np.flatnonzero(~is_member))[:random],
        ]
    )
    first = np.arange(len(places)) < members
    return Examples(vectors[places], first, ~first), places


def test_training_when_given_20_members_then_finds_most_of_the_others():
    vectors, is_member = clustered_vectors()
    examples, places = drawn(vectors, is_member, members=20, random=700)
    folds = assign_folds(
        np.arange(len(places)), examples.is_member, np.random.default_rng(0).random(len(places))
    )

    model, metrics, _ = cross_validate(examples, folds)

    unseen = np.ones(len(vectors), dtype=bool)
    unseen[places] = False
    scores = model.scores(vectors)
    best = np.argsort(-scores[unseen])[: 2 * int(is_member[unseen].sum())]
    assert is_member[unseen][best].sum() / is_member[unseen].sum() > 0.8
    assert metrics.roc_auc > 0.95
    assert metrics.average_precision > 10 * metrics.chance


def test_fit_when_compared_with_the_gradient_then_is_the_minimum():
    vectors, is_member = clustered_vectors(300, 16, rare=0.1)
    examples, _ = drawn(vectors, is_member, members=20, random=60)
    penalty = 0.1

    model = fit(examples, penalty=penalty)

    units = examples.vectors.astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    scale = np.sqrt(((units - units.mean(axis=0)) ** 2).sum(axis=1).mean())
    weights = example_weights(examples.is_member, examples.is_random)
    miss = weights * (expit(units @ model.weights + model.intercept) - examples.is_member)
    # The penalty acts on the weights of the scaled vectors; their center drops out.
    gradient = units.T @ miss / scale + penalty * model.weights * scale
    assert miss.sum() == pytest.approx(0, abs=1e-6)
    assert np.abs(gradient).max() < 1e-5


def test_fit_when_there_are_more_dimensions_than_examples_then_is_as_with_all_of_them():
    vectors, is_member = clustered_vectors(400, 64, rare=0.1)
    examples, _ = drawn(vectors, is_member, members=20, random=80)
    wide = np.hstack([examples.vectors, np.zeros((100, 200), np.float16)])

    narrow = fit(examples, penalty=0.01)
    reduced = fit(Examples(wide, examples.is_member, examples.is_random), penalty=0.01)

    assert np.allclose(reduced.weights[:64], narrow.weights, rtol=1e-2, atol=1e-2)
    assert np.allclose(reduced.weights[64:], 0, atol=1e-9)


def test_scores_when_vectors_are_longer_then_stay():
    model = LinearModel(np.array([1.0, -1.0]), 0.5, 1.0)
    vectors = np.array([[0.6, 0.8], [1.2, 1.6]], np.float16)

    assert model.scores(vectors)[0] == pytest.approx(model.scores(vectors)[1], abs=1e-3)
    assert model.scores(vectors)[0] == pytest.approx(expit(0.3), abs=1e-3)


def test_score_when_a_vector_is_zero_then_is_none():
    model = LinearModel(np.array([1.0, 1.0]), 0.5, 1.0)

    assert np.isnan(model.scores(np.zeros((1, 2), np.float16))[0])


def test_weights_when_classes_differ_in_size_then_balance_them():
    is_member = np.array([True, False, False, False, False])
    is_random = np.array([False, False, True, True, True])

    weights = example_weights(is_member, is_random)

    assert weights.tolist() == pytest.approx([0.5, 0.25, 1 / 12, 1 / 12, 1 / 12])


def test_penalty_when_labels_are_noise_then_is_the_strongest():
    random = np.random.default_rng(2)
    vectors = random.normal(size=(120, 40)).astype(np.float16)
    is_member = random.random(120) < 0.5
    examples = Examples(vectors, is_member, np.zeros(120, dtype=bool))

    model, metrics, _ = cross_validate(examples, np.arange(120) % 5)

    assert model.penalty == PENALTIES[0]
    assert metrics.roc_auc < 0.7


def test_metrics_when_cross_validated_then_are_of_galaxies_not_learned_from():
    # 40 examples in 200 dimensions are separated perfectly, whatever they are.
    random = np.random.default_rng(1)
    vectors = random.normal(size=(40, 200)).astype(np.float16)
    examples = Examples(vectors, np.arange(40) < 20, np.zeros(40, dtype=bool))

    model, metrics, _ = cross_validate(examples, np.arange(40) % 5)

    learned = average_precision(model.margins(vectors), examples.is_member)
    assert learned > 0.95
    assert metrics.average_precision < 0.8


def test_folds_when_galaxies_show_one_patch_of_sky_then_they_share_one():
    groups = np.repeat(np.arange(30), 2)
    is_member = np.arange(60) < 20

    folds = assign_folds(groups, is_member, np.random.default_rng(0).random(60))

    assert (folds[::2] == folds[1::2]).all()
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3, 4]
    assert [int(is_member[folds == fold].sum()) for fold in range(5)] == [4, 4, 4, 4, 4]

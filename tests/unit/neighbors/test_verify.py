"""The verification notices every kind of wrong list."""

import numpy as np
import pytest

from neighbor_factory import brute_force, random_magnitudes, unit_float16
from skylike.neighbors.verify import Rules, Verification, verify_lists
from skylike.progress import SILENT

WIDTH, K = 0.5, 20


class Truth:
    def __init__(self) -> None:
        generator = np.random.default_rng(21)
        self.ids = np.arange(1, 301, dtype=np.int32)
        self.vectors = unit_float16(generator.standard_normal((300, 16)))
        self.magnitudes = random_magnitudes(generator, 300, missing=20)
        true = brute_force(self.ids, self.vectors, self.magnitudes, k=K, width=WIDTH)
        self.lists = {
            key: (ids, cosines.astype(np.float32)) for key, (ids, cosines) in true.items()
        }
        self.long = next(key for key, (ids, _) in self.lists.items() if len(ids) == K)

    def verify(self) -> Verification:
        halves = [slice(0, 150), slice(150, 300)]
        batches = [(self.ids[half], self.vectors[half]) for half in halves]
        rules = Rules(self.ids, self.magnitudes, WIDTH, K)
        with SILENT.task("test") as task:
            return verify_lists(self.lists, (self.ids, self.vectors), batches, rules, task)


@pytest.fixture
def truth() -> Truth:
    return Truth()


def test_verify_lists_finds_true_lists_perfect(truth: Truth):
    result = truth.verify()

    assert result.is_perfect
    assert result.recall == 1
    assert result.galaxies == 300


def test_verify_lists_counts_a_missing_neighbor(truth: Truth):
    ids, similarities = truth.lists[truth.long]
    truth.lists[truth.long] = (ids[:-1], similarities[:-1])

    result = truth.verify()

    assert result.recall < 1
    assert result.order_errors == 1
    assert not result.is_perfect


def test_verify_lists_counts_swapped_neighbors(truth: Truth):
    ids, similarities = truth.lists[truth.long]
    truth.lists[truth.long] = (ids[[1, 0, *range(2, K)]], similarities)

    result = truth.verify()

    assert result.recall == 1
    assert result.order_errors == 2
    assert not result.is_perfect


def test_verify_lists_counts_a_galaxy_outside_the_window_and_the_galaxy_itself(truth: Truth):
    place = truth.long - 1
    far = int(truth.ids[np.nanargmax(np.abs(truth.magnitudes - truth.magnitudes[place]))])
    ids, similarities = truth.lists[truth.long]
    truth.lists[truth.long] = (np.array([truth.long, far, *ids[2:]], np.int32), similarities)

    assert truth.verify().window_violations == 2


def test_verify_lists_notices_a_wrong_similarity(truth: Truth):
    ids, similarities = truth.lists[truth.long]
    truth.lists[truth.long] = (ids, similarities + np.float32(1e-3))

    result = truth.verify()

    assert result.similarity_error == pytest.approx(1e-3, rel=0.01)
    assert not result.is_perfect


def test_verify_lists_counts_a_galaxy_without_list(truth: Truth):
    del truth.lists[truth.long]

    assert truth.verify().recall < 1

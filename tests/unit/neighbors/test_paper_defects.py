"""The known defects of the paper's own similarity script: none of them is here.

Each test shows first that the paper's procedure goes wrong on the case, then that ours does not.
What the paper's script does not do at all (provenance, duplicates, hubs, updates) is tested with
the database.
"""

import numpy as np
import pytest

from neighbor_factory import brute_force, search, stage_in_memory, unit_float16
from paper_procedure import chunks_in_window, paper_job, paper_lists, paper_size, search_chunk
from skylike.errors import SettingsError
from skylike.neighbors.build import NeighborSettings
from skylike.neighbors.engine.search_plan import SearchPlan
from skylike.neighbors.engine.windows import cut_shards, magnitude_windows
from skylike.neighbors.stage import StageInput, open_staged, stage_vectors
from skylike.progress import SILENT

D = 32


def random_sky(n: int, *, brightest: float = 16.0, faintest: float = 19.0, seed: int = 61):
    """Vectors (n, D) float16 and rising magnitudes."""
    generator = np.random.default_rng(seed)
    magnitudes = np.linspace(brightest, faintest, n, dtype=np.float32)
    return unit_float16(generator.standard_normal((n, D))), magnitudes


def ours(vectors, magnitudes, *, k: int, width: float | None = 0.5) -> list[np.ndarray]:
    """Search rows: neighbors of each as rows, like the paper's."""
    found = search(stage_in_memory(vectors, magnitudes), width=width, k=k)
    return [found[row + 1][0] - 1 for row in range(len(vectors))]


def true_lists(vectors, magnitudes, *, k: int, width: float | None = 0.5) -> list[np.ndarray]:
    ids = np.arange(1, len(vectors) + 1)
    truth = brute_force(ids, vectors, magnitudes, k=k, width=width)
    return [truth[row + 1][0] - 1 for row in range(len(vectors))]


def are_equal(lists: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(lists, others, strict=True))


# 1


def test_window_is_each_galaxys_own_and_not_its_chunks():
    vectors, magnitudes = random_sky(240)
    paper, _ = paper_lists(vectors, magnitudes, k=41, chunk=80)

    found = ours(vectors, magnitudes, k=40)

    assert np.abs(magnitudes[paper] - magnitudes[:, None]).max() > 1.0
    assert max(np.abs(magnitudes[own] - magnitudes[row]).max() for row, own in enumerate(found)) < (
        0.5 + 1e-6
    )
    assert are_equal(found, true_lists(vectors, magnitudes, k=40))


def test_window_is_in_r_by_default_as_the_paper_says_and_its_script_does_not():
    settings = NeighborSettings()

    assert (settings.band, settings.width, settings.k) == ("r", 0.5, 999)


# 2


def test_last_galaxies_of_a_window_are_candidates_where_it_ends_on_a_chunks_edge():
    # The nearest magnitude to 17 + 0.5 is that of row 100, the first one of the second chunk.
    vectors, _ = random_sky(200)
    magnitudes = np.concatenate([np.full(100, 17.0), [17.5], np.full(99, 19.0)]).astype(np.float32)
    vectors[100] = vectors[0]  # the most similar one of all
    paper, _ = paper_lists(vectors, magnitudes, k=5, chunk=100)

    found = ours(vectors, magnitudes, k=4)

    assert chunks_in_window(magnitudes, 0, 100, chunk=100, width=0.5) == range(1)
    assert 100 not in paper[0]
    assert found[0][0] == 100


def test_galaxies_at_the_very_beginning_have_candidates():
    vectors, _ = random_sky(60)
    magnitudes = np.full(60, 18.0, np.float32)  # the nearest to 18.5 is row 0
    paper, similarities = paper_lists(vectors, magnitudes, k=5, chunk=60)

    found = ours(vectors, magnitudes, k=4)

    assert chunks_in_window(magnitudes, 0, 60, chunk=60, width=0.5) == range(0)
    assert not paper.any()
    assert not similarities.any()
    assert are_equal(found, true_lists(vectors, magnitudes, k=4))


# 3


def test_neighbors_of_negative_cosine_are_found():
    generator = np.random.default_rng(62)
    vectors = unit_float16(generator.standard_normal((150, D)))
    magnitudes = np.full(150, 18.0, np.float32)
    paper, similarities = paper_lists(vectors, magnitudes, k=121, chunk=150, width=0.5)

    found = ours(vectors, magnitudes, k=120)

    assert (similarities == 0).any()  # the zeros that it begins with
    assert max(np.bincount(row).max() for row in paper) > 10
    assert are_equal(found, true_lists(vectors, magnitudes, k=120))
    assert all(len(np.unique(own)) == 120 for own in found)


# 4


def test_fewer_candidates_than_k_give_a_shorter_list_and_no_invented_galaxy():
    vectors, _ = random_sky(40)
    vectors = np.abs(vectors)  # as after a ReLU: no cosine is negative
    magnitudes = np.concatenate([np.linspace(15, 15.1, 20), np.linspace(18, 18.1, 20)])
    magnitudes = magnitudes.astype(np.float32)
    paper, _ = paper_lists(vectors, magnitudes, k=31, chunk=20)
    from_faiss = search_chunk(vectors[20:].astype(np.float32), offset=20, k=31)[1]

    found = ours(vectors, magnitudes, k=30)

    assert (from_faiss == 19).any()  # -1 + 20: a galaxy of magnitude 15
    assert (paper[20:] < 20).any()  # and so is what fills the lists in the end
    assert all(len(own) == 19 for own in found)
    assert all((own >= 20).all() for own in found[20:])
    assert are_equal(found, true_lists(vectors, magnitudes, k=30))


# 5


def staged_from(folder, vectors, magnitudes, batch: int = 7):
    ids = np.arange(1, len(vectors) + 1, dtype=np.int32)
    given = StageInput("once", ids, magnitudes, vectors.shape[1])
    starts = range(0, len(vectors), batch)
    batches = [(ids[s : s + batch], vectors[s : s + batch]) for s in starts]
    with SILENT.task("test") as task:
        return stage_vectors(folder, given, batches, task)


def test_zero_and_nan_embeddings_are_left_out_and_counted(tmp_path):
    vectors, magnitudes = random_sky(60)
    vectors[7], vectors[30], vectors[31, 3] = 0, np.nan, np.inf
    paper, _ = paper_lists(vectors, magnitudes, k=5, chunk=60)

    staged = staged_from(tmp_path, vectors, magnitudes)
    found = search(staged, width=0.5, k=59)

    assert (paper[[7, 30, 31]] == 0).all()  # five times the first galaxy
    assert staged.n_excluded == 3
    assert found.keys() == set(range(1, 61)) - {8, 31, 32}
    assert not any(np.isin(ids, [8, 31, 32]).any() for ids, _ in found.values())
    assert np.isfinite(np.concatenate([own for _, own in found.values()])).all()


def test_galaxies_without_magnitude_do_not_move_the_windows_of_others():
    vectors, magnitudes = random_sky(120)
    spoiled = magnitudes.copy()
    spoiled[[90, 110]] = np.nan

    found = ours(vectors, spoiled, k=100)

    assert chunks_in_window(magnitudes, 60, 80, chunk=20, width=0.5) == range(2, 5)
    assert chunks_in_window(spoiled, 60, 80, chunk=20, width=0.5) == range(4, 5)
    assert found[90].tolist() == [110]
    assert found[110].tolist() == [90]
    assert are_equal(found, true_lists(vectors, spoiled, k=100))


# 6: the largest identifier goes through the database in test_paper_defects of integration


def test_identifiers_up_to_the_largest_integer_stay_what_they_are():
    vectors, magnitudes = random_sky(30)
    ids = np.arange(2**31 - 30, 2**31)

    found = search(stage_in_memory(vectors, magnitudes, ids), width=None, k=29)

    assert set(found) == set(ids.tolist())
    assert all(set(own.tolist()) == set(found) - {key} for key, (own, _) in found.items())


# 7


def test_last_partial_part_is_not_left_out(tmp_path):
    vectors, magnitudes = random_sky(223)
    for start in range(0, 223, 100):
        name = f"representations_{start:09d}_{min(start + 100, 223):09d}.npy"
        np.save(tmp_path / name, vectors[start : start + 100])

    staged = staged_from(tmp_path / "ours", vectors, magnitudes, batch=100)
    windows = magnitude_windows(staged.magnitudes, 0.5)
    bounds = cut_shards(windows, galaxies=100, pairs=10**9)

    assert paper_size(tmp_path, 100) == 200
    assert len(staged) == 223
    assert (bounds[0], bounds[-1]) == (0, 223)


# 8


def test_empty_parts_do_no_harm(tmp_path):
    ids, magnitudes = np.arange(1, 4, dtype=np.int32), np.full(3, 18, np.float32)
    vectors, _ = random_sky(3)
    nothing = (np.empty(0, np.int32), np.empty((0, D), np.float16))
    batches = [nothing, (ids, vectors), nothing]
    with SILENT.task("test") as task:
        staged = stage_vectors(tmp_path, StageInput("once", ids, magnitudes, D), batches, task)

    assert len(search(staged, width=0.5, k=2)) == 3
    empty = magnitude_windows(np.empty(0, np.float32), 0.5)
    assert cut_shards(empty, galaxies=10, pairs=10).tolist() == [0]


class Killed(BaseException):
    """Stands for a signal: nothing in between catches it."""


def test_a_crash_leaves_nothing_that_looks_finished(tmp_path):
    vectors, magnitudes = random_sky(50)
    ids = np.arange(1, 51, dtype=np.int32)

    def crash(*_):
        raise Killed

    def batches():
        yield ids[:20], vectors[:20]
        raise Killed

    with pytest.raises(Killed):
        paper_job(tmp_path, 2, crash)
    given = StageInput("once", ids, magnitudes, D)
    with pytest.raises(Killed), SILENT.task("test") as task:
        stage_vectors(tmp_path / "ours", given, batches(), task)

    assert paper_job(tmp_path, 2, lambda _: vectors) == [1]  # the crashed part is never done
    assert open_staged(tmp_path / "ours", "once") is None


# 9


def test_ties_stand_by_identifier_and_the_galaxy_itself_is_left_out_though_copies_tie_with_it():
    vectors, _ = random_sky(80)
    vectors[:30] = vectors[0]
    magnitudes = np.full(80, 18.0, np.float32)
    paper, _ = paper_lists(vectors, magnitudes, k=20, chunk=80)

    found = ours(vectors, magnitudes, k=20)

    assert (paper[:30, 0] != np.arange(30)).any()  # rank 0 is not the galaxy itself
    assert not all((np.diff(row) > 0).all() for row in paper[:30])
    for row in range(30):
        assert found[row].tolist() == [other for other in range(21) if other != row][:20]


# 10 is of the database


# 11


@pytest.mark.parametrize("k", [2001, 2048, 2049, 5000])
def test_k_beyond_what_faiss_selects_on_a_gpu_is_refused_in_words(k: int):
    with pytest.raises(SettingsError, match=f"k = {k}: use 1 to 2000 neighbors"):
        SearchPlan(k=k)

"""Changed lists, in arrays: equal to a search of everything, and no others."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from neighbor_factory import brute_force, random_magnitudes, stage_in_memory, unit_float16
from skylike.neighbors.engine.rescore import Lists
from skylike.neighbors.engine.search import NeighborSearch, SearchPlan
from skylike.neighbors.engine.windows import magnitude_windows
from skylike.neighbors.updates import changed_lists as module
from skylike.neighbors.updates.changed_lists import UpdateWork, changed_lists
from skylike.neighbors.updates.changes import BaseInput, PlaceIndex, find_changes

K = 12
FLOOR_ERROR = 5e-4


class Galaxies:
    """Identifiers, vectors and magnitudes that a test changes."""

    def __init__(self, seed: int, n: int = 240, *, collapsed: bool = False):
        generator = np.random.default_rng(seed)
        vectors = generator.standard_normal((n, 24))
        if collapsed:
            vectors = 30 + vectors
        self.ids = np.arange(1, n + 1, dtype=np.int32) * 7
        self.vectors = unit_float16(vectors)
        self.magnitudes = random_magnitudes(generator, n, missing=n // 20)
        self.magnitudes = np.round(self.magnitudes * 8) / np.float32(8)  # edges exactly at 0.5

    def copy(self) -> "Galaxies":
        other = object.__new__(Galaxies)
        other.ids = self.ids.copy()
        other.vectors = self.vectors.copy()
        other.magnitudes = self.magnitudes.copy()
        return other

    def without(self, rows) -> "Galaxies":
        kept = np.setdiff1d(np.arange(len(self.ids)), rows)
        other = self.copy()
        other.ids, other.vectors = self.ids[kept], self.vectors[kept]
        other.magnitudes = self.magnitudes[kept]
        return other

    def lists(self, width: float | None) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        return brute_force(self.ids, self.vectors, self.magnitudes, k=K, width=width)

    def staged(self):
        return stage_in_memory(self.vectors, self.magnitudes, self.ids)


def update(
    before: Galaxies, after: Galaxies, *, width: float | None = 0.5
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return the lists that an update would write; the old ones are known to FLOOR_ERROR."""
    generator = np.random.default_rng(9)
    old, base, staged = before.lists(width), before.staged(), after.staged()
    by_id = np.argsort(base.galaxy_ids)
    changes = find_changes(BaseInput(base.galaxy_ids[by_id], base.hashes[by_id]), staged)
    index = PlaceIndex(staged)
    added = np.sort(index.places(np.concatenate([changes.new, changes.changed])))
    missed = np.concatenate([changes.changed, changes.gone])
    is_lost = np.zeros(len(staged), np.bool_)
    floors = np.full(len(staged), -np.inf)
    for row, galaxy_id in enumerate(staged.galaxy_ids.tolist()):
        ids, similarities = old.get(galaxy_id, ([], []))
        is_lost[row] = np.isin(ids, missed).any()
        if len(ids) == K:
            stored = similarities[-1] + generator.uniform(-FLOOR_ERROR, FLOOR_ERROR)
            floors[row] = stored - FLOOR_ERROR
    is_lost[added] = True
    windows = magnitude_windows(staged.magnitudes, width)
    work = UpdateWork(staged, windows, K, added, is_lost, floors)

    def fetch(rows: np.ndarray) -> Lists:
        parts = [index.places(old[int(galaxy_id)][0]) for galaxy_id in staged.galaxy_ids[rows]]
        lengths = np.array([len(part) for part in parts])
        positions = np.concatenate(parts)
        return Lists(rows, lengths, positions, np.zeros(len(positions), np.float32))

    written = {}
    bounds = work.cut_shards(galaxies=50, pairs=20_000)
    with NeighborSearch(staged, windows, SearchPlan(k=K)) as search, ThreadPoolExecutor(2) as pool:
        for shard in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            for lists in changed_lists(work, search, shard, fetch=fetch, pool=pool):
                ends = np.cumsum(lists.lengths)
                for row, end, length in zip(lists.rows, ends, lists.lengths, strict=True):
                    galaxy_id = int(staged.galaxy_ids[row])
                    assert galaxy_id not in written
                    own = slice(end - length, end)
                    ids = staged.galaxy_ids[lists.positions[own]]
                    written[galaxy_id] = (ids, lists.similarities[own])
    return written


def changed_ids(before: Galaxies, after: Galaxies) -> list[int]:
    was = {
        galaxy_id: (vector.tobytes(), magnitude.tobytes())
        for galaxy_id, vector, magnitude in zip(
            before.ids.tolist(), before.vectors, before.magnitudes, strict=True
        )
    }
    return [
        galaxy_id
        for galaxy_id, vector, magnitude in zip(
            after.ids.tolist(), after.vectors, after.magnitudes, strict=True
        )
        if was.get(galaxy_id) not in {None, (vector.tobytes(), magnitude.tobytes())}
    ]


def assert_exactly_the_changed(
    before: Galaxies, after: Galaxies, *, width: float | None = 0.5
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    written = update(before, after, width=width)
    old, truth = before.lists(width), after.lists(width)
    for galaxy_id, (ids, similarities) in truth.items():
        if galaxy_id in written:
            assert written[galaxy_id][0].tolist() == ids.tolist(), galaxy_id
            assert written[galaxy_id][1] == pytest.approx(similarities, abs=5e-6)
        else:
            assert old[galaxy_id][0].tolist() == ids.tolist(), galaxy_id
            assert old[galaxy_id][1].tolist() == similarities.tolist()
    for galaxy_id in written.keys() & old.keys():
        # Of a list that names a changed galaxy the similarity may be another.
        names_changed = np.isin([galaxy_id, *old[galaxy_id][0]], changed_ids(before, after)).any()
        assert names_changed or old[galaxy_id][0].tolist() != written[galaxy_id][0].tolist()
    return written


@pytest.fixture(params=["merged", "searched"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Both ways to a changed list: windows of these tests are narrow."""
    monkeypatch.setattr(module, "_NARROW", 0 if request.param == "merged" else 40)


@pytest.mark.parametrize("width", [0.5, 0.0, None])
@pytest.mark.parametrize("collapsed", [False, True])
def test_changed_lists_when_galaxies_are_added(width: float | None, collapsed: bool):
    after = Galaxies(61, collapsed=collapsed)
    before = after.without([0, 3, 50, 51, 52, 239])

    written = assert_exactly_the_changed(before, after, width=width)

    assert set(after.ids[[0, 3, 50, 51, 52, 239]].tolist()) <= set(written)
    if width == 0.5:
        assert 6 < len(written) < 240


def test_changed_lists_when_vectors_change():
    before = Galaxies(62)
    after = before.copy()
    after.vectors[10:14] = unit_float16(np.random.default_rng(1).standard_normal((4, 24)))

    written = assert_exactly_the_changed(before, after)

    assert 4 < len(written) < 240


def test_changed_lists_when_galaxies_are_gone():
    before = Galaxies(63)

    assert_exactly_the_changed(before, before.without([7, 8, 100]))


@pytest.mark.parametrize("to", [np.nan, -0.5, 0.125, 2.0])
def test_changed_lists_when_magnitudes_change(to: float):
    before = Galaxies(64)
    after = before.copy()
    after.magnitudes[20:26] += np.float32(to)
    after.magnitudes[np.flatnonzero(np.isnan(before.magnitudes))[:2]] = 19.0

    assert_exactly_the_changed(before, after)


def test_changed_lists_when_duplicates_are_added_ties_go_by_identifier():
    after = Galaxies(65, n=120)
    for copied in (3, 60, 61, 62):
        after.vectors[copied] = after.vectors[40]
        after.magnitudes[copied] = after.magnitudes[40] = 19.0
    after.vectors[90:110] = after.vectors[30]
    after.magnitudes[90:110] = after.magnitudes[30] = 18.5

    assert_exactly_the_changed(after.without([3, 61, *range(95, 110, 3)]), after)
    assert_exactly_the_changed(after, after.without([3, 61, *range(95, 110, 3)]))


def test_changed_lists_when_more_than_k_could_enter():
    after = Galaxies(66)

    assert_exactly_the_changed(after.without(np.arange(0, 240, 2)), after)


def test_changed_lists_when_all_at_once():
    before = Galaxies(67)
    after = before.copy()
    after.vectors[5] = after.vectors[6]
    after.magnitudes[70:75] += np.float32(0.25)
    after = after.without([30, 31])
    before = before.without([100, 101])

    assert_exactly_the_changed(before, after)


def test_changed_lists_when_nothing_changed_then_none():
    galaxies = Galaxies(68)

    assert update(galaxies, galaxies) == {}

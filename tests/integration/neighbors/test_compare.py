"""``neighbors compare`` on a real server: runs of other settings, encoders and galaxies."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from neighbor_factory import insert_encoder, insert_sky, random_magnitudes, unit_float16
from skylike.errors import NeighborRunNotFoundError, SettingsError
from skylike.neighbors import store_compare
from skylike.neighbors.build import NeighborSettings, build_neighbors
from skylike.neighbors.compare import compare_runs
from skylike.neighbors.compare_report import comparison_lines

N = 300


@dataclass
class Runs:
    """Builds runs on one sky of two encoders; "other" has seen half of the galaxies."""

    engine: Engine
    folder: Path

    def build(self, encoder: str = "test", *, publish: bool = False, **settings) -> int:
        wanted = NeighborSettings(**({"k": 40} | settings))
        report = build_neighbors(
            self.engine, encoder, settings=wanted, work_folder=self.folder, publish=publish
        )
        return report.run.run_id


@pytest.fixture
def runs(engine: Engine, connection: Connection, tmp_path: Path) -> Runs:
    generator = np.random.default_rng(91)
    vectors = unit_float16(generator.standard_normal((N, 16)))
    sky = insert_sky(connection, vectors, random_magnitudes(generator, N, missing=20))
    insert_encoder(
        connection,
        unit_float16(generator.standard_normal((N // 2, 24))),
        sky.magnitudes[: N // 2],
        ids=sky.galaxy_ids[: N // 2],
        encoder="other",
        active=False,
        dimension=24,
    )
    return Runs(engine, tmp_path)


def test_compare_runs_finds_equal_runs_identical(engine: Engine, runs: Runs):
    first, second = runs.build(), runs.build(publish=True)

    found = compare_runs(engine, first, sample=None)

    assert found.second.run_id == second
    assert (found.common, found.compared, found.only_first, found.only_second) == (N, N, 0, 0)
    assert found.identical == 1
    assert [(each.depth, each.mean, each.standard_error) for each in found.overlaps] == [
        (10, 1.0, 0.0),
        (40, 1.0, 0.0),
    ]
    assert found.settings == ()
    assert comparison_lines(found)[-1] == "Settings, software and input are the same."


def test_compare_runs_compares_down_to_the_smaller_k(engine: Engine, runs: Runs):
    long, short = runs.build(k=120), runs.build(k=12)

    found = compare_runs(engine, long, short, sample=None)

    assert [each.depth for each in found.overlaps] == [10, 12]
    assert found.identical == 1
    assert [(each.name, each.first, each.second) for each in found.settings] == [("k", 120, 12)]


def test_compare_runs_tells_a_window_from_none(engine: Engine, runs: Runs):
    window, everything = runs.build(), runs.build(band=None, width=None)

    found = compare_runs(engine, window, everything, sample=None)

    assert 0 < found.overlaps[0].mean < 1
    assert found.identical is not None
    assert found.identical < 1
    assert [each.name for each in found.settings] == ["band", "width"]
    assert "  band: r / none" in comparison_lines(found)


def test_compare_runs_tells_other_input_of_the_same_encoder(
    engine: Engine, connection: Connection, runs: Runs
):
    first = runs.build()
    connection.execute(sa.text("DELETE FROM embedding WHERE galaxy_id = 3"))
    connection.commit()

    found = compare_runs(engine, first, runs.build())

    assert [each.name for each in found.settings] == ["input"]
    assert (found.common, found.only_first) == (N - 1, 1)
    assert comparison_lines(found)[-1] == "  input: other embeddings, magnitudes or galaxies"


def test_compare_runs_of_two_encoders_compares_the_galaxies_in_both(engine: Engine, runs: Runs):
    first, second = runs.build(), runs.build("other")

    found = compare_runs(engine, first, second)

    assert (found.common, found.only_first, found.only_second) == (N // 2, N - N // 2, 0)
    assert found.overlaps[0].mean < 0.5
    assert found.settings[0].name == "encoder"


def test_compare_runs_of_a_sample_estimates_what_all_lists_say(
    engine: Engine, runs: Runs, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_compare, "_PAGE_GALAXIES", 37)
    first, second = runs.build(), runs.build(band=None, width=None)
    everything = compare_runs(engine, first, second, sample=None)

    found = compare_runs(engine, first, second, sample=120, seed=5)
    again = compare_runs(engine, first, second, sample=120, seed=5)

    assert (found.common, found.compared) == (N, 120)
    for estimate, true in zip(found.overlaps, everything.overlaps, strict=True):
        assert 0 < estimate.standard_error < 0.1
        assert abs(estimate.mean - true.mean) < 5 * estimate.standard_error
    assert again == found
    assert everything.compared == N


def test_compare_runs_where_no_galaxy_is_in_both_says_so(
    engine: Engine, connection: Connection, runs: Runs
):
    first, second = runs.build(), runs.build("other")
    connection.execute(
        sa.text("DELETE FROM neighbor_list WHERE run_id = :run AND galaxy_id <= :last"),
        {"run": first, "last": 3 * N // 2},
    )
    connection.commit()

    found = compare_runs(engine, first, second)

    assert (found.common, found.compared, found.identical, found.overlaps) == (0, 0, None, ())
    assert "0 galaxies in both" in comparison_lines(found)[0]


def test_compare_runs_prefers_the_published_run_of_the_same_encoder(engine: Engine, runs: Runs):
    runs.build(publish=True)
    other_published, other = runs.build("other", publish=True), runs.build("other", k=5)

    assert compare_runs(engine, other).second.run_id == other_published


def test_compare_runs_takes_the_active_encoders_run_where_the_run_is_its_encoders_published_one(
    engine: Engine, runs: Runs
):
    active, other = runs.build(publish=True), runs.build("other", publish=True)

    assert compare_runs(engine, other).second.run_id == active
    with pytest.raises(NeighborRunNotFoundError, match=f"compare {active} RUN"):
        compare_runs(engine, active)


def test_compare_runs_refuses_what_makes_no_sense(engine: Engine, runs: Runs):
    first = runs.build(k=5)

    with pytest.raises(SettingsError, match=f"run {first} is given twice"):
        compare_runs(engine, first, first)
    with pytest.raises(NeighborRunNotFoundError, match="no neighbor run 77"):
        compare_runs(engine, first, 77)
    with pytest.raises(SettingsError, match="a sample of 0"):
        compare_runs(engine, first, sample=0)
    with pytest.raises(SettingsError, match="seed -2"):
        compare_runs(engine, first, seed=-2)

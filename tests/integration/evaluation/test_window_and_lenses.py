"""``evaluate window`` and ``evaluate lenses`` on a real server, beside a brute force in numpy."""

import json
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from neighbor_factory import Sky, brute_force, insert_sky, random_magnitudes, unit_float16
from skylike.errors import (
    EmptyStageError,
    EncoderNotFoundError,
    GalaxyNotFoundError,
    NeighborRunNotFoundError,
    SettingsError,
    SurveyFileError,
)
from skylike.evaluation.known_objects import KnownList
from skylike.evaluation.lenses import AS_SEARCH, LensOptions, evaluate_lenses
from skylike.evaluation.reports import report_json, report_lines, write_report
from skylike.evaluation.window import WindowOptions, evaluate_window
from skylike.neighbors.build import NeighborSettings, build_neighbors

N = 300
RARE = 12


@pytest.fixture
def sky(connection: Connection) -> Sky:
    """300 galaxies; the first 12 are alike, one embedding is zero."""
    generator = np.random.default_rng(17)
    vectors = generator.standard_normal((N, 16))
    vectors[:RARE] += 1.5
    stored = unit_float16(vectors)
    stored[N - 1] = 0.0
    return insert_sky(connection, stored, random_magnitudes(generator, N, missing=20))


def usable(sky: Sky) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return sky.galaxy_ids[:-1], sky.vectors[:-1], sky.magnitudes[:-1]


def true_overlaps(sky: Sky, k: int) -> dict[int, float]:
    ids, vectors, magnitudes = usable(sky)
    full = brute_force(ids, vectors, magnitudes, k=k, width=None)
    within = brute_force(ids, vectors, magnitudes, k=k, width=0.5)
    return {i: len(np.intersect1d(full[i][0], within[i][0])) / k for i in ids.tolist()}


def test_window_of_all_galaxies_equals_a_brute_force(engine: Engine, sky: Sky):
    report = evaluate_window(engine, options=WindowOptions(depths=(10, 50), sample=N))

    assert (report.galaxies, report.embedded, report.sample) == (N, N, N - 1)
    assert report.without_direction == 1
    assert report.encoder.name == "test"
    assert report.encoder.sha256 == "test" * 4
    for found in report.overlaps:
        truth = true_overlaps(sky, found.k)
        assert found.overlap.value == pytest.approx(np.mean(list(truth.values())))
        assert found.overlap.low < found.overlap.value < found.overlap.high
        assert found.run_overlap is None
    assert sum(each.n for each in report.bins) == report.sample
    assert report.bins[-1].low is None


def test_window_compares_the_stored_lists_of_a_run(engine: Engine, sky: Sky, tmp_path: Path):
    run = build_neighbors(
        engine, settings=NeighborSettings(k=40, band="r", width=0.3), work_folder=tmp_path
    ).run

    report = evaluate_window(
        engine, options=WindowOptions(depths=(10, 100), sample=100), run_id=run.run_id
    )

    assert (report.run, report.width, report.without_list) == (run.run_id, 0.3, 0)
    assert [found.k for found in report.overlaps] == [10]  # the run keeps 40
    found = report.overlaps[0]
    assert found.run_overlap is not None
    assert found.run_overlap.value == pytest.approx(found.overlap.value)


def test_window_among_a_part_is_repeated_by_its_seed(engine: Engine, sky: Sky):
    options = WindowOptions(depths=(5,), sample=40, among=100, seed=3)

    first, again = (evaluate_window(engine, options=options) for _ in range(2))

    assert first == again
    assert (first.galaxies, first.embedded) == (100, N)


def test_window_refuses_what_does_not_go_together(engine: Engine, sky: Sky, tmp_path: Path):
    windowless = build_neighbors(
        engine, settings=NeighborSettings(k=5, band=None, width=None), work_folder=tmp_path
    ).run.run_id

    with pytest.raises(SettingsError, match="has no window"):
        evaluate_window(engine, run_id=windowless)
    with pytest.raises(SettingsError, match="--among and --run exclude each other"):
        evaluate_window(engine, options=WindowOptions(among=2000), run_id=windowless)
    with pytest.raises(NeighborRunNotFoundError, match="is of encoder 'test'"):
        evaluate_window(engine, "other", run_id=windowless)
    with pytest.raises(EncoderNotFoundError):
        evaluate_window(engine, "other")


def write_list(folder: Path, text: str) -> Path:
    path = folder / "known.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_lenses_named_by_galaxy_id_equal_a_brute_force(engine: Engine, sky: Sky, tmp_path: Path):
    rows = [f"{i},lens" for i in sky.galaxy_ids[:RARE]] + [f"{sky.galaxy_ids[50]},ring"]
    path = write_list(tmp_path, "\n".join(["galaxy_id,class", *rows, f"{rows[0]}", "9999,lens"]))

    report = evaluate_lenses(
        engine, KnownList(path, "class", "lens"), options=LensOptions(depths=(10, 50))
    )

    assert (report.rows, report.matched, report.known) == (RARE + 3, RARE, RARE)
    assert report.others == N - RARE
    assert report.left_out == {
        "whose class is not lens": 1,
        "of a galaxy that an earlier row names": 1,
        "whose galaxy_id is not in the catalog": 1,
    }
    ids, vectors, magnitudes = usable(sky)
    lists = brute_force(ids, vectors, magnitudes, k=N, width=None)
    known = ids[:RARE]
    for place, k in enumerate((10, 50)):
        shares = [np.isin(lists[i][0][:k], known).sum() / (RARE - 1) for i in known.tolist()]
        found = report.retrievals[0].recalls[place]
        assert found.mean.value == pytest.approx(np.mean(shares))
        assert (found.median, found.best) == (np.median(shares), max(shares))
        assert found.mean.value > found.chance
    # No principal axes are stored here: search would take the mean alone.
    assert AS_SEARCH not in [retrieval.way for retrieval in report.retrievals]


def test_lenses_named_by_position_are_matched_and_missed(
    engine: Engine, connection: Connection, sky: Sky, tmp_path: Path
):
    chosen = sa.text('SELECT ra, "dec" FROM skylike.galaxy WHERE galaxy_id = ANY (:ids)')
    positions = connection.execute(chosen, {"ids": sky.galaxy_ids[:3].tolist()}).all()
    rows = [f"{ra!r},{dec - 0.5 / 3600!r}" for ra, dec in positions]
    path = write_list(tmp_path, "\n".join(["ra,dec", *rows, rows[1], "nan,3"]))

    report = evaluate_lenses(engine, KnownList(path), options=LensOptions(among=100))

    assert (report.matched, report.known, report.others) == (3, 3, 100)
    assert report.largest_separation_arcsec == pytest.approx(0.5, abs=0.01)
    assert sum(report.left_out.values()) == 2
    with pytest.raises(GalaxyNotFoundError, match="none of its 5 rows can be used"):
        evaluate_lenses(engine, KnownList(path, radius_arcsec=0.1))


def test_lenses_are_thinned_to_a_rate(engine: Engine, sky: Sky, tmp_path: Path):
    path = write_list(tmp_path, "galaxy_id\n" + "\n".join(map(str, sky.galaxy_ids[:RARE])))

    report = evaluate_lenses(
        engine, KnownList(path), options=LensOptions(depths=(20,), thin=0.01, draws=25)
    )

    single = report.retrievals[0]
    assert (single.known, single.draws, single.others) == (3, 25, N - RARE)
    assert report.known == RARE
    assert json.loads(report_json(report))["thin"] == 0.01
    assert any("thinned to 0.01: mean of 25 draws" in line for line in report_lines(report))


def test_lenses_that_cannot_be_judged_are_refused(engine: Engine, sky: Sky, tmp_path: Path):
    own = sky.galaxy_ids
    path = write_list(tmp_path, f"galaxy_id,class\n{own[0]},lens\n{own[N - 1]},lens\n{own[5]},x\n")

    with pytest.raises(EmptyStageError, match="1 of the 2 galaxies that it names"):
        evaluate_lenses(engine, KnownList(path, "class", "lens"))
    with pytest.raises(SettingsError, match=r"no class is 'ring'; it has lens \(2\), x \(1\)"):
        evaluate_lenses(engine, KnownList(path, "class", "ring"))
    with pytest.raises(SurveyFileError, match="has no column 'kind'"):
        evaluate_lenses(engine, KnownList(path, "kind", "lens"))
    everything = write_list(tmp_path, "galaxy_id\n" + "\n".join(map(str, own)))
    with pytest.raises(EmptyStageError, match="every galaxy with an embedding is a known object"):
        evaluate_lenses(engine, KnownList(everything))


def test_a_report_is_written_whole(engine: Engine, sky: Sky, tmp_path: Path):
    report = evaluate_window(engine, options=WindowOptions(depths=(5,), sample=20))

    write_report(report, tmp_path / "window.json")

    read = json.loads((tmp_path / "window.json").read_text(encoding="utf-8"))
    assert read["schema"] == "skylike-evaluate-window-1"
    assert read["overlaps"][0]["k"] == 5
    assert read["encoder"]["layer"] == "features"
    assert [path.name for path in tmp_path.iterdir()] == ["window.json"]

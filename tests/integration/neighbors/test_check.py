"""``neighbors verify`` on a real server: lists tampered with, and lists that are stale."""

import json
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from typer.testing import CliRunner

from neighbor_factory import Sky, insert_sky, random_magnitudes, unit_float16
from skylike.errors import NeighborRunNotFoundError, SettingsError
from skylike.neighbors import store
from skylike.neighbors.build import NeighborSettings, build_neighbors
from skylike.neighbors.check import CheckedRun, check_json, check_lines, check_run, recall_line
from skylike_cli import session
from skylike_cli.main import app

N, K = 150, 20
EVERY = 10**6


@pytest.fixture
def sky(engine: Engine, connection: Connection, tmp_path: Path) -> Sky:
    """150 galaxies with their true lists, published; the last embedding is zero."""
    generator = np.random.default_rng(71)
    vectors = unit_float16(generator.standard_normal((N, 16)))
    vectors[-1] = 0
    made = insert_sky(connection, vectors, random_magnitudes(generator, N, missing=10))
    build_neighbors(engine, settings=NeighborSettings(k=K), work_folder=tmp_path)
    return made


def long_list(connection: Connection) -> int:
    """A galaxy with k neighbors."""
    query = "SELECT min(galaxy_id) FROM neighbor_list WHERE cardinality(neighbor_ids) = :k"
    return connection.scalar(sa.text(query), {"k": K})


def run_sql(connection: Connection, *statements: str, **parameters) -> None:
    for statement in statements:
        connection.execute(sa.text(statement), parameters)
    connection.commit()


def problems(checked: CheckedRun) -> dict[str, int]:
    result = checked.verification
    found = {
        "missing": result.missing,
        "order": result.order_errors,
        "window": result.window_violations,
        "missing lists": checked.missing_lists,
        "extra lists": checked.extra_lists,
    }
    return {name: number for name, number in found.items() if number}


def test_check_run_finds_a_good_run_right(engine: Engine, sky: Sky):
    checked = check_run(engine, sample=EVERY)

    assert checked.is_right
    assert problems(checked) == {}
    assert checked.verification.galaxies == N - 1
    assert not checked.staleness
    assert checked.least_right == 1.0
    assert "Stale" not in "\n".join(check_lines(checked))


def test_check_run_of_a_sample_says_what_it_proves(engine: Engine, sky: Sky):
    checked = check_run(engine, sample=50)

    assert checked.verification.galaxies == 50
    assert checked.least_right == pytest.approx(0.05 ** (1 / 50))
    assert "All are right: with 95% confidence 94.184 %" in check_lines(checked)[1]


SET = "UPDATE neighbor_list SET neighbor_ids"
WHERE = "WHERE galaxy_id = :galaxy"
TAMPERED = {
    "two swapped": (
        [f"{SET} = ARRAY[neighbor_ids[2], neighbor_ids[1]] || neighbor_ids[3 :] {WHERE}"],
        {"order": 2},
    ),
    "one dropped": (
        [
            f"{SET} = trim_array(neighbor_ids, 1) {WHERE}",
            f"UPDATE neighbor_similarity SET codes = substr(codes, 1, 18) {WHERE}",
        ],
        {"missing": 1},
    ),
    "itself": ([f"{SET}[4] = :galaxy {WHERE}"], {"missing": 1, "window": 1}),
    "not there": ([f"{SET}[4] = 2000000000 {WHERE}"], {"missing": 1, "window": 1}),
    "embedding zero": ([f"{SET}[4] = :zero {WHERE}"], {"missing": 1, "window": 1}),
    "listed twice": ([f"{SET}[4] = neighbor_ids[1] {WHERE}"], {"missing": 1, "window": 1}),
    "outside the window": (
        [
            f"{SET}[4] = (SELECT galaxy_id FROM galaxy WHERE galaxy_id <> :zero"
            f" ORDER BY mag_r LIMIT 1) {WHERE}"
        ],
        {"missing": 1, "window": 1},
    ),
    "list without neighbors": (
        [
            f"{SET} = '{{}}' {WHERE}",
            f"UPDATE neighbor_similarity SET first = NULL, codes = '' {WHERE}",
        ],
        {"missing": K},
    ),
    "list gone": (
        [f"DELETE FROM neighbor_list {WHERE}", f"DELETE FROM neighbor_similarity {WHERE}"],
        {"missing": K, "missing lists": 1},
    ),
    "similarities gone": (
        [f"DELETE FROM neighbor_similarity {WHERE}"],
        {"missing": K, "missing lists": 1},
    ),
    "extra list": (
        [
            "INSERT INTO neighbor_list SELECT run_id, :zero, neighbor_ids"
            f" FROM neighbor_list {WHERE}",
            "INSERT INTO neighbor_similarity SELECT run_id, :zero, first, step, codes"
            f" FROM neighbor_similarity {WHERE}",
        ],
        {"extra lists": 1},
    ),
}


@pytest.mark.parametrize(("statements", "told"), TAMPERED.values(), ids=TAMPERED.keys())
def test_check_run_finds_what_was_tampered_with(
    engine: Engine, connection: Connection, sky: Sky, statements: list[str], told: dict
):
    galaxy = long_list(connection)
    zero = int(sky.galaxy_ids[-1])
    run_sql(connection, *statements, galaxy=galaxy, zero=zero)

    checked = check_run(engine, sample=EVERY)

    assert problems(checked) == told
    assert not checked.is_right
    assert checked.least_right is None
    assert "The lists are wrong" in "\n".join(check_lines(checked))


@pytest.mark.parametrize(
    "change", ["first = first + 0.002", "codes = set_byte(codes, 5, 90)", "codes = ''"]
)
def test_check_run_finds_wrong_similarities(
    engine: Engine, connection: Connection, sky: Sky, change: str
):
    statement = f"UPDATE neighbor_similarity SET {change} {WHERE}"
    run_sql(connection, statement, galaxy=long_list(connection))

    checked = check_run(engine, sample=EVERY)

    assert problems(checked) == {}
    assert checked.verification.wrong_lists == 1
    assert not checked.is_right
    json.loads(check_json(checked), parse_constant=pytest.fail)


def test_check_run_does_not_blame_a_run_for_galaxies_that_were_added(
    engine: Engine, connection: Connection, sky: Sky
):
    run_sql(
        connection,
        "INSERT INTO galaxy (galaxy_id, survey_id, object_id, ra, dec, healpix29, mag_r)"
        " SELECT galaxy_id + 1, survey_id, object_id + 1, ra, dec, healpix29, mag_r FROM galaxy"
        " WHERE galaxy_id <= 90",
        "INSERT INTO embedding SELECT encoder_id, galaxy_id + 1, embedding, cutout_id"
        " FROM embedding WHERE galaxy_id <= 90",
    )

    checked = check_run(engine, sample=EVERY)

    assert checked.is_right
    assert (checked.staleness.new, checked.staleness.changed) == (30, 0)
    assert checked.verification.current_recall < 1
    assert "Stale: galaxies 30 new since the run" in check_lines(checked)[-1]


def test_check_run_tells_changed_and_removed_galaxies_from_those_written_again(
    engine: Engine, connection: Connection, sky: Sky
):
    run_sql(
        connection,
        "UPDATE galaxy SET mag_r = 17, updated_at = now() WHERE galaxy_id IN (3, 6)",
        "UPDATE galaxy SET mag_g = 17, updated_at = now() WHERE galaxy_id > 200",
        "UPDATE embedding SET embedding = (SELECT embedding FROM embedding WHERE galaxy_id = 12)"
        " WHERE galaxy_id = 9",
        "UPDATE embedding SET embedded_at = now() WHERE galaxy_id > 200",
        "DELETE FROM embedding WHERE galaxy_id = 30",
    )

    checked = check_run(engine, sample=EVERY)

    stale = checked.staleness
    assert (stale.new, stale.changed, stale.gone) == (0, 3, 1)
    assert checked.is_right
    assert checked.verification.galaxies == N - 1 - 4


def test_check_run_finds_errors_in_a_stale_run(engine: Engine, connection: Connection, sky: Sky):
    run_sql(connection, "DELETE FROM embedding WHERE galaxy_id IN (30, 60)")
    statements = TAMPERED["two swapped"][0]
    run_sql(connection, *statements, galaxy=long_list(connection))

    checked = check_run(engine, sample=EVERY)

    assert problems(checked) == {"order": 2}


def test_check_run_where_everything_changed_proves_nothing(
    engine: Engine, connection: Connection, sky: Sky
):
    run_sql(connection, "UPDATE galaxy SET mag_r = coalesce(mag_r, 18) + 0.1")

    checked = check_run(engine)

    assert checked.verification.galaxies == 0
    assert not checked.is_right
    assert "nothing could be compared" in check_lines(checked)[1]


def forget_hashes(connection: Connection) -> None:
    run_id = connection.scalar(sa.text("SELECT max(run_id) FROM neighbor_run"))
    run_sql(connection, f"DROP TABLE neighbor_statistic_r{run_id}")


def test_check_run_without_hashes_goes_by_the_times_of_rows(
    engine: Engine, connection: Connection, sky: Sky
):
    forget_hashes(connection)
    fresh = check_run(engine, sample=EVERY)
    run_sql(
        connection,
        "UPDATE galaxy SET mag_r = 17, updated_at = now() WHERE galaxy_id = 3",
        "UPDATE embedding SET embedding = (SELECT embedding FROM embedding WHERE galaxy_id = 12),"
        " embedded_at = now() WHERE galaxy_id = 9",
    )

    stale = check_run(engine, sample=EVERY)

    assert fresh.is_right
    assert not fresh.staleness
    assert stale.is_right
    assert stale.staleness.changed == 2


@pytest.mark.parametrize("name", ["list gone", "extra list"])
def test_check_run_without_hashes_still_counts_lists(
    engine: Engine, connection: Connection, sky: Sky, name: str
):
    forget_hashes(connection)
    galaxy, zero = long_list(connection), int(sky.galaxy_ids[-1])
    run_sql(connection, *TAMPERED[name][0], galaxy=galaxy, zero=zero)

    checked = check_run(engine, sample=EVERY)

    counts = (checked.missing_lists, checked.extra_lists)
    assert counts == ((1, 0) if name == "list gone" else (0, 1))
    assert not checked.is_right


def test_check_json_holds_what_the_lines_say(engine: Engine, sky: Sky):
    checked = check_run(engine, sample=40)

    told = json.loads(check_json(checked))

    assert told["is_right"] is True
    assert told["sample"]["galaxies"] == 40
    assert told["sample"]["recall"] == 1.0
    assert told["stale"] == {"new": 0, "changed": 0, "gone": 0}
    assert told["least_fraction_right"] == pytest.approx(0.05 ** (1 / 40))


def test_recall_line_of_a_run_names_sample_and_confidence(connection: Connection, sky: Sky):
    (run,) = store.fetch_runs(connection)

    line = recall_line(run)

    assert line == (
        "recall 1.000000 in a sample of 149 lists: with 95% confidence 100 % of all lists or more"
    )


def test_check_run_refuses_a_run_that_is_not_complete(
    engine: Engine, connection: Connection, sky: Sky
):
    with engine.begin() as writer:
        run = store.create_run(
            writer,
            {"encoder_id": sky.encoder_id, "k": 3, "band": "r", "width": 0.5, "software": {}},
        )

    with pytest.raises(NeighborRunNotFoundError, match=f"run {run.run_id} is not complete"):
        check_run(engine, run.run_id)


@pytest.mark.parametrize("options", [{"sample": 0}, {"sample": -1}, {"seed": -1}])
def test_check_run_refuses_a_sample_or_seed_that_is_none(engine: Engine, options: dict):
    with pytest.raises(SettingsError):
        check_run(engine, **options)


@pytest.fixture
def command(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    """Runs ``skylike neighbors`` on this test's database."""
    monkeypatch.setattr(session, "engine", lambda: engine)
    return lambda *typed: CliRunner().invoke(app, ["neighbors", *typed])


def test_verify_exits_with_1_for_wrong_lists_and_with_0_for_stale_ones(
    connection: Connection, sky: Sky, command
):
    run_sql(connection, "DELETE FROM embedding WHERE galaxy_id = 30")
    stale = command("verify", "--format", "json")
    run_sql(connection, *TAMPERED["itself"][0], galaxy=long_list(connection))
    wrong = command("verify", "--sample", "150")

    assert stale.exit_code == 0
    assert json.loads(stale.stdout)["stale"] == {"new": 0, "changed": 0, "gone": 1}
    assert wrong.exit_code == 1
    assert "1 window violations" in wrong.stdout


def test_status_shows_the_measured_recall_and_its_sample(sky: Sky, command):
    shown = command("status").stdout

    assert "recall 1.000000 in a sample of 149 lists" in shown

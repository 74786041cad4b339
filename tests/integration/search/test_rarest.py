"""The rarest galaxies in a cut and a cone: ranked as the neighbor run has it, and said so."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import sqlalchemy as sa
from astropy import units as u
from PIL import Image
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from typer.testing import CliRunner

import skylike
from search_factory import Sky, fill, random_units, scattered_sky
from skylike.cuts.coordinates import Cone
from skylike.errors import EmptyStageError, NeighborRunNotFoundError, SettingsError
from skylike.interfaces.provenance import summary
from skylike.neighbors import store_statistics
from skylike.neighbors.build import NeighborSettings, build_neighbors
from skylike.search import rarest
from skylike.search.rarest import RarestQuery, find_rarest
from skylike_cli import session
from skylike_cli.main import app

N = 240


@pytest.fixture
def sky(engine: Engine, tmp_path: Path) -> Sky:
    """Galaxies of three kinds; five are like no others, and 11, 12 are 10 arcsec from 10."""
    generator = np.random.default_rng(6)
    vectors = random_units(3, 24, seed=6)[np.arange(N) % 3]
    vectors = vectors + generator.uniform(0.02, 0.12, (N, 1)) * generator.normal(size=(N, 24))
    odd = np.array([9, 10, 30, 100, 200])
    vectors[odd] = random_units(5, 24, seed=99)
    made = scattered_sky(
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        mag_r=generator.uniform(17.6, 18.0, N),
    )
    made.ra[9:12], made.dec[9:12] = 120.0, np.array([0.0, 10.0, -10.0]) / 3600
    fill(engine, made)
    return made


@pytest.fixture
def run_id(engine: Engine, sky: Sky, tmp_path: Path) -> int:
    """A published run on them."""
    settings = NeighborSettings(k=40)
    return build_neighbors(engine, settings=settings, work_folder=tmp_path / "jobs").run.run_id


def rarities(connection: Connection) -> dict[int, float]:
    rows = connection.execute(sa.text("SELECT galaxy_id, rarity FROM neighborhood"))
    return {row.galaxy_id: row.rarity for row in rows if row.rarity is not None}


def ids(found: rarest.Answer) -> list[int]:
    return found.result.rows["galaxy_id"].to_pylist()


def ranked(known: dict[int, float], *, among: np.ndarray | None = None) -> list[int]:
    chosen = known if among is None else {n: known[n] for n in known if among[n - 1]}
    return sorted(chosen, key=lambda n: (-chosen[n], n))


def test_rarest_are_ranked_by_rarity_and_say_how(
    engine: Engine, connection: Connection, sky: Sky, run_id: int
):
    found = find_rarest(engine, RarestQuery(k=30, min_separation=0))

    known = rarities(connection)
    assert ids(found) == ranked(known)[:30]
    assert set(ids(found)[:5]) == {10, 11, 31, 101, 201}
    rows = found.result.rows
    assert rows["rank"].to_pylist() == list(range(1, 31))
    assert rows["rarity"].to_pylist() == pytest.approx([known[n] for n in ids(found)], rel=1e-6)
    assert rows["mag_r"].to_pylist() == [sky.mag_r[n - 1] for n in ids(found)]
    assert rows.column_names[:4] == ["rank", "galaxy_id", "rarity", "distance"]
    assert set(found.result.meanings) == set(rows.column_names)
    told = found.result.provenance
    assert (told.route, told.encoder, told.run_id, told.stale) == ("rarest", "small", run_id, None)
    assert (told.matched, told.note) == (N, None)
    assert summary(told, found=30)[0] == "30 galaxies rarest for their magnitude in r"


def test_rarest_in_a_cut_and_a_cone_are_the_rarest_of_those_inside(
    engine: Engine, connection: Connection, sky: Sky, run_id: int
):
    query = RarestQuery(
        where="bright AND survey = 'test'",
        definitions=("bright = mag_r < 17.9",),
        cone=Cone(120.0, 0.0, 70.0),
        k=200,
        min_separation=0,
    )

    found = find_rarest(engine, query)

    inside = np.cos(np.radians(sky.dec)) * np.cos(np.radians(sky.ra - 120)) >= np.cos(
        np.radians(70)
    )
    among = inside & (sky.mag_r < np.float32(17.9))
    assert ids(found) == ranked(rarities(connection), among=among)
    assert 20 < len(ids(found)) < 100
    assert found.result.provenance.note == (
        f"{among.sum()} of 200 found: {among.sum()} embedded galaxies with a rarity match"
    )


def test_rarest_nearer_than_the_minimum_to_a_rarer_one_are_dropped(
    engine: Engine, connection: Connection, sky: Sky, run_id: int
):
    found = find_rarest(engine, RarestQuery(k=N))

    known = rarities(connection)
    (kept,) = [n for n in ids(found) if n in {10, 11, 12}]
    assert kept == ranked({n: known[n] for n in (10, 11, 12)})[0]
    assert len(ids(found)) == N - 2
    assert found.result.provenance.note == (
        f"{N - 2} of {N} found: {N} embedded galaxies with a rarity match; 2 within 25.152 arcsec "
        "of a rarer one (a minimum separation of 0 keeps them)"
    )


@pytest.mark.parametrize("count_limit", [10_000, 50, 3])
@pytest.mark.parametrize("min_separation", [0.0, 25.152])
def test_pages_put_together_are_the_whole_answer_however_many_match(
    engine: Engine,
    run_id: int,
    monkeypatch: pytest.MonkeyPatch,
    count_limit: int,
    min_separation: float,
):
    whole = find_rarest(engine, RarestQuery(k=60, min_separation=min_separation))
    monkeypatch.setattr(rarest, "COUNT_LIMIT", count_limit)

    pages = [
        find_rarest(engine, RarestQuery(k=20, offset=offset, min_separation=min_separation))
        for offset in (0, 20, 40)
    ]

    assert [n for page in pages for n in ids(page)] == ids(whole)
    assert pages[2].result.rows["rank"].to_pylist() == list(range(41, 61))
    told = pages[0].result.provenance
    assert (told.matched, told.matched_is_bound) == (min(N, count_limit), count_limit < N)


def test_ties_break_by_rising_identifier(engine: Engine, connection: Connection, run_id: int):
    connection.execute(sa.text("UPDATE neighbor_statistic SET rarity = 1"))
    connection.commit()

    found = find_rarest(engine, RarestQuery(k=10, min_separation=0))

    assert ids(found) == list(range(1, 11))


@pytest.mark.parametrize(
    "query",
    [
        RarestQuery(k=9),
        RarestQuery(where="mag_r < 17.9 AND survey = 'test'", k=5, offset=3),
        RarestQuery(cone=Cone(120.0, 0.0, 60.0), k=300),
    ],
)
def test_sql_that_is_shown_gives_the_same_galaxies(
    engine: Engine, connection: Connection, run_id: int, query: RarestQuery
):
    found = find_rarest(engine, query)

    rows = connection.execute(sa.text(found.result.provenance.sql.replace(":", "\\:"))).all()

    assert [row.galaxy_id for row in rows] == ids(found)
    assert len(rows) > 4


def test_explanation_shows_the_index_by_rarity(engine: Engine, run_id: int):
    explained = find_rarest(engine, RarestQuery(k=5), explain=True).explanation

    assert explained is not None
    assert "LIMIT 5;" in explained
    assert "Execution Time" in explained
    assert find_rarest(engine, RarestQuery(k=5)).explanation is None


def test_galaxies_without_a_rarity_are_not_ranked(
    engine: Engine, connection: Connection, run_id: int
):
    connection.execute(sa.text("UPDATE neighbor_statistic SET rarity = NULL WHERE galaxy_id = 101"))
    connection.commit()

    found = find_rarest(engine, RarestQuery(k=N, min_separation=0))

    assert len(ids(found)) == N - 1
    assert 101 not in ids(found)


def test_answer_of_a_run_that_is_out_of_date_says_so(
    engine: Engine, connection: Connection, run_id: int
):
    connection.execute(sa.text("UPDATE encoder SET embedded_at = now() + interval '1 minute'"))
    connection.commit()

    told = find_rarest(engine, RarestQuery(k=3)).result.provenance

    assert not told.exact
    assert told.stale is not None
    assert f"after neighbor run {run_id} began, of which this answer is made" in told.stale
    assert f"exact when neighbor run {run_id} began" in summary(told, found=3)[2]


def test_rarest_without_a_published_run_names_the_command(engine: Engine, sky: Sky):
    with pytest.raises(NeighborRunNotFoundError, match="run `skylike neighbors build --encoder"):
        find_rarest(engine, RarestQuery())


def test_rarest_of_a_run_without_statistics_names_the_command(engine: Engine, run_id: int):
    with engine.begin() as connection:
        store_statistics.drop_statistics(connection, run_id)

    with pytest.raises(EmptyStageError, match=f"neighbor run {run_id} comes from a version"):
        find_rarest(engine, RarestQuery())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k=0 is out of range"),
        ({"k": 9999, "offset": 2}, "offset=2 is out of range"),
        ({"min_separation": -1.0}, "min_separation=-1 is not an angle"),
    ],
)
def test_query_out_of_range_is_refused(options: dict[str, float], message: str):
    with pytest.raises(SettingsError, match=message):
        RarestQuery(**options)


@pytest.fixture
def pictured(engine: Engine, run_id: int, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "cutouts.h5", "w") as file:
        file["images"] = np.random.default_rng(1).uniform(0, 1, (N, 3, 152, 152)).astype("f4")
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE image_file SET path = :path"), {"path": str(tmp_path / "cutouts.h5")}
        )


@pytest.mark.usefixtures("pictured")
def test_command_ranks_in_a_cut_and_makes_a_sheet(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "engine", lambda: engine)
    typed = ["search", "--rarest", "--where", "mag_r < 17.9", "-k", "6", "--format", "csv"]
    typed += ["--sheet", str(tmp_path / "sheet.png")]

    done = CliRunner().invoke(app, typed)

    assert done.exit_code == 0, done.output
    found = find_rarest(engine, RarestQuery(where="mag_r < 17.9", k=6))
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert lines[0].replace('"', "").startswith("rank,galaxy_id,rarity,distance,hubness,n_mutual,")
    assert [int(line.split(",")[1]) for line in lines[1:]] == ids(found)
    assert "Contact sheet" in done.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 6 * 152 / 2


@pytest.mark.usefixtures("pictured")
def test_python_gives_the_same_galaxies_and_draws_them(
    engine: Engine, database_url: URL, tmp_path: Path
):
    with skylike.connect(database_url.render_as_string(hide_password=False)) as sky:
        found = sky.rarest(
            where="faint < 17.9",
            define={"faint": "mag_r"},
            cone=(120, 0, 90 * u.deg),
            k=5,
            offset=2,
            min_separation=0 * u.arcmin,
        )
        nothing = sky.rarest(where="mag_r < 3")

        query = RarestQuery(
            where="mag_r < 17.9", cone=Cone(120.0, 0.0, 90.0), k=5, offset=2, min_separation=0
        )
        assert found.galaxy_ids.tolist() == ids(find_rarest(engine, query))
        assert len(found) == 5
        assert (np.diff(found["rarity"]) <= 0).all()
        assert "galaxies rarest for their magnitude in r, after the first 2" in repr(found)
        assert found.sheet(tmp_path / "rare.png").width > 5 * 152
        assert "<img" in found._repr_html_()
        assert len(nothing) == 0
        with pytest.raises(SettingsError, match="no galaxy was found, so that there is nothing"):
            nothing.sheet()
        with pytest.raises(SettingsError, match="k='five' is not a whole number"):
            sky.rarest(k="five")


@pytest.mark.usefixtures("pictured")
def test_command_that_finds_nothing_makes_no_sheet_and_says_so(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "engine", lambda: engine)
    typed = ["search", "--rarest", "--where", "mag_r < 3", "--sheet", str(tmp_path / "sheet.png")]

    done = CliRunner().invoke(app, typed)

    assert done.exit_code == 0, done.output
    assert "0 of 10 found: 0 embedded galaxies with a rarity match" in done.stdout
    assert "No contact sheet is made: no galaxy was found." in done.stderr
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("form", ["table", "json", "html", "fits", "votable", "parquet"])
def test_command_writes_every_format(
    engine: Engine, run_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
):
    monkeypatch.setattr(session, "engine", lambda: engine)
    output = tmp_path / f"rarest.{'txt' if form == 'table' else form}"

    done = CliRunner().invoke(
        app, ["search", "--rarest", "--format", form, "--output", str(output)]
    )

    assert done.exit_code == 0, done.output
    assert b"rarity" in output.read_bytes()

"""Every block of ``docs/sql-cookbook.md`` runs as the reader, and its answer makes sense."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from reader_session import ReaderSession, reader_session
from search_factory import Sky, fill, random_units
from skylike.neighbors.build import NeighborSettings, build_neighbors

PAGE = (Path(__file__).parents[3] / "docs" / "sql-cookbook.md").read_text(encoding="utf-8")
KINDS = ("ring", "spiral", "smooth", "edge", "blend")
N = 900


def blocks(language: str, *, of: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", of, flags=re.MULTILINE | re.DOTALL)


def question(number: int) -> list[str]:
    """The blocks below a question's heading."""
    (section,) = re.findall(rf"^### {number}\. (.*?)(?=^##)", PAGE, flags=re.MULTILINE | re.DOTALL)
    return blocks("sql", of=section)


def kind_of(galaxy_id: int) -> str:
    """Galaxies 1 to 5 are one of each kind and so on; rings of the demo's survey are rings too."""
    return "ring" if galaxy_id in {103, 152, 177} else KINDS[galaxy_id % 5]


@pytest.fixture
def sky(engine: Engine, tmp_path: Path) -> Sky:
    """A field of 900 galaxies of five kinds, with colors, types, labels and neighbors."""
    random = np.random.default_rng(5)
    ids = np.arange(1, N + 1)
    number = np.array([KINDS.index(kind_of(n)) for n in ids])
    vectors = random_units(5, 24)[number] + 0.08 * random.normal(size=(N, 24))
    vectors[299] = random_units(1, 24, seed=77)  # like no other
    ra, dec = random.uniform(191, 203, N), random.uniform(22, 32, N)
    ra[102], dec[102] = 196.8766, 26.928
    ra[151], dec[151] = 196.159, 27.3221
    ra[46], dec[46] = ra[51] + 0.02, dec[51]  # 47 and 52, both smooth, 1 arcmin apart
    ra[65], dec[65], vectors[65] = ra[60], dec[60] + 1 / 3600, vectors[60]  # a piece of 61
    mag_r = random.uniform(16, 19, N)
    mag_r[[102, 151, 176]], mag_r[46], mag_r[51] = 17.5, 18.0, 18.1
    mag_r[60], mag_r[65] = 16.3, 17.9
    made = Sky(
        ra=ra,
        dec=dec,
        mag_r=mag_r.astype(np.float32),
        vectors=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16),
    )
    fill(engine, made)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "UPDATE galaxy SET mag_g = mag_r + 0.4 + galaxy_id % 11 * 0.1, maskbits = 0,"
                " type = (CAST(:kinds AS text[]))[galaxy_id]"
            ),
            {"kinds": [kind_of(n) for n in ids.tolist()]},
        )
        connection.execute(
            sa.text(
                "INSERT INTO label (name, galaxy_id, author, is_member)"
                " VALUES ('ring', 103, 'a', true), ('ring', 152, 'a', true),"
                " ('ring', 152, 'b', true),"
                " ('ring', 5, 'a', true), ('ring', 6, 'a', false), ('lens', 7, 'a', true)"
            )
        )
        connection.execute(
            sa.text(
                "INSERT INTO classifier_score (name, galaxy_id, score)"
                " SELECT 'ring', galaxy_id, CASE type WHEN 'ring' THEN 0.95 ELSE 0.2 END"
                " FROM galaxy WHERE galaxy_id <> 177"
            )
        )
    build_neighbors(
        engine, settings=NeighborSettings(k=50, band="r", width=0.5), work_folder=tmp_path
    )
    return made


@pytest.fixture
def reader(database_url: URL, sky: Sky) -> Iterator[ReaderSession]:
    with reader_session(database_url) as session:
        yield session


def test_cookbook_when_counted_then_has_ten_questions_and_no_block_that_is_not_run():
    numbers = [int(n) for n in re.findall(r"^### (\d+)\. ", PAGE, flags=re.MULTILINE)]

    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 10
    assert sum(len(question(n)) for n in numbers) == len(blocks("sql"))
    assert len(re.findall(r"^```\w", PAGE, flags=re.MULTILINE)) == len(blocks("sql")) + len(
        blocks("python")
    )


def test_cookbook_when_its_questions_are_asked_then_the_answers_make_sense(
    reader: ReaderSession, sky: Sky
):
    # One database for all: each needs it as it is, and none can change it.
    rings_in_field(reader, sky)
    at_a_position(reader, sky)
    my_list(reader, sky)
    my_positions(reader)
    several_examples(reader, sky)
    pairs_by_color(reader)
    pairs_on_the_sky(reader)
    outliers(reader)
    color_magnitude(reader)
    least_similar(reader, sky)
    classes(reader)
    labeled_rings(reader)
    scored_rings(reader, sky)
    rarest(reader)
    mutual_neighbors(reader)
    one_source(reader)


def rings_in_field(reader: ReaderSession, sky: Sky) -> None:
    (block,) = question(1)
    rows = reader.ask(block)

    assert len(rows) == 20
    assert {kind_of(row.galaxy_id) for row in rows} == {"ring"}
    assert all(row.mag_r < 18.5 and row.g_r < 0.9 for row in rows)
    distance = np.hypot(
        (np.array([r.ra for r in rows]) - 197) * np.cos(np.radians(27)), [r.dec - 27 for r in rows]
    )
    assert distance.max() < 6.1
    similarities = [row.similarity for row in rows]
    assert similarities == sorted(similarities, reverse=True)


def at_a_position(reader: ReaderSession, sky: Sky) -> None:
    like, there = question(2)
    rows = reader.ask(like)

    assert reader.told("NOTICE")[0].startswith("position 196.8766 26.928 stands for galaxy 103")
    assert [row.galaxy_id for row in rows] == [
        row.galaxy_id for row in reader.ask("SELECT * FROM similar_to(103, 20)")
    ]
    found = reader.ask(there)
    assert found[0].galaxy_id == 103
    assert found[0].arcsec < 1e-6


def my_list(reader: ReaderSession, sky: Sky) -> None:
    (block,) = question(3)
    rows = reader.ask(block)

    assert len(rows) == 6
    for row in rows:
        truth = sky.similarities(sky.vectors[row.galaxy_id - 1])[row.other_id - 1]
        assert row.similarity == pytest.approx(truth, abs=1e-14)
        assert row.similarity > 0.7


def my_positions(reader: ReaderSession) -> None:
    (block,) = question(4)
    rows = reader.ask(block)

    assert [row.name for row in rows] == ["A"] * 3 + ["B"] * 3 + ["C"]
    assert [row.galaxy_id for row in rows] == [103] * 3 + [152] * 3 + [None]
    assert rows[0].arcsec == pytest.approx(0.36)
    assert {kind_of(row.similar_id) for row in rows[:6]} == {"ring"}
    assert rows[6].similar_id is None


def several_examples(reader: ReaderSession, sky: Sky) -> None:
    (block,) = question(5)
    rows = reader.ask(block)

    wide = sky.vectors[[102, 151, 176]].astype(np.float64)
    mean = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).sum(axis=0)
    truth = [n for n in sky.ranked(mean) if n not in {103, 152, 177}][:20]
    assert [row.galaxy_id for row in rows] == truth
    assert {row.type for row in rows} == {"ring"}


def pairs_by_color(reader: ReaderSession) -> None:
    (block,) = question(6)
    rows = reader.ask(block)

    assert len(rows) == 20
    assert all(abs(row.g_r - row.neighbor_g_r) > 0.2 for row in rows)
    assert all(kind_of(row.galaxy_id) == kind_of(row.neighbor_id) for row in rows)


def pairs_on_the_sky(reader: ReaderSession) -> None:
    (block,) = question(7)
    rows = reader.ask(block)

    assert (rows[0].galaxy_id, rows[0].neighbor_id) == (47, 52)
    assert rows[0].arcmin == pytest.approx(1.2 * np.cos(np.radians(27)), rel=0.1)
    assert all(row.arcmin < 10 for row in rows)


def outliers(reader: ReaderSession) -> None:
    (block,) = question(8)
    rows = reader.ask(block)

    assert rows[0].galaxy_id == 300
    assert rows[1].to_the_most_similar > rows[0].to_the_most_similar + 0.1


def color_magnitude(reader: ReaderSession) -> None:
    (block,) = question(9)
    rows = reader.ask(block)

    assert sum(row.galaxies for row in rows) > 450  # few are dropped as close
    assert {float(row.r_from) for row in rows} == {16, 16.5, 17, 17.5, 18, 18.5}
    assert all(0.1 < row.g_r_from < 1.5 for row in rows)


def least_similar(reader: ReaderSession, sky: Sky) -> None:
    (block,) = question(10)
    rows = reader.ask(block)

    similarities = sky.similarities(sky.vectors[102])
    near = np.abs(sky.mag_r - sky.mag_r[102]) < 0.5
    truth = np.flatnonzero(near)[np.argsort(similarities[near])][:20] + 1
    assert set(truth[:5]) <= {row.galaxy_id for row in rows}
    assert rows[0].similarity < rows[-1].similarity < np.median(similarities)
    assert "ring" not in {row.type for row in rows}


def classes(reader: ReaderSession) -> None:
    (block,) = question(11)
    rows = reader.ask(block)

    assert {row.type for row in rows} == set(KINDS)
    assert (rows[0].type, rows[0].most_similar) == ("ring", 100)
    assert float(rows[0].enriched) == pytest.approx(N / rows[0].in_catalog)
    assert rows[1].most_similar is None


def labeled_rings(reader: ReaderSession) -> None:
    (block,) = question(12)
    rows = reader.ask(block)

    found = {row.galaxy_id for row in rows}
    assert len(found) == 50
    assert {kind_of(n) for n in found} == {"ring"}
    assert not found & {103, 152, 5, 6}


def scored_rings(reader: ReaderSession, sky: Sky) -> None:
    (block,) = question(13)
    rows = reader.ask(block)

    # 152 and 5 are labeled, 177 has no score.
    out = {103, 152, 5, 177}
    among = [kind_of(n) == "ring" and n not in out for n in range(1, N + 1)] & (sky.mag_r < 18.8)
    truth = sky.ranked(sky.vectors[102], among=among)
    assert [row.galaxy_id for row in rows] == truth[:20]
    assert {round(row.score_ring, 6) for row in rows} == {0.95}


def rarest(reader: ReaderSession) -> None:
    (block,) = question(14)
    rows = reader.ask(block)

    assert rows[0].galaxy_id == 300
    assert rows[0].rarity > rows[1].rarity + 0.2
    assert [row.rarity for row in rows] == sorted((row.rarity for row in rows), reverse=True)
    assert len(rows) == 20


def mutual_neighbors(reader: ReaderSession) -> None:
    (block,) = question(15)
    rows = reader.ask(block)

    assert 3 < len(rows) <= 20
    assert {kind_of(row.neighbor_id) for row in rows} == {"ring"}
    for row in rows:
        theirs = reader.ask(
            "SELECT rank FROM neighbor WHERE galaxy_id = %s AND neighbor_id = 103",
            (row.neighbor_id,),
        )
        assert [row.reverse_rank] == [found.rank for found in theirs]


def one_source(reader: ReaderSession) -> None:
    (block,) = question(16)
    rows = reader.ask(block)

    assert [(row.group_id, row.galaxy_id, row.n_members) for row in rows] == [
        (61, 61, 2),
        (61, 66, 2),
    ]
    assert [row.arcsec for row in rows] == pytest.approx([0, 1], abs=1e-6)
    assert rows[1].similarity == pytest.approx(1)


def test_python_when_typed_as_in_the_cookbook_then_gives_frames(
    database_url: URL, sky: Sky, capsys: pytest.CaptureFixture[str]
):
    url = database_url.set(
        drivername="postgresql+psycopg",
        query={"options": "-c search_path=skylike,public -c role=skylike_reader"},
    )
    typed = "postgresql+psycopg://..."
    first, second = blocks("python")
    assert typed in first
    names: dict[str, object] = {}

    exec(first.replace(typed, url.render_as_string(hide_password=False)), names)

    like = names["like"]
    assert isinstance(like, pd.DataFrame)
    assert len(like) == 100
    assert list(like["rank"]) == list(range(1, 101))
    assert {kind_of(int(n)) for n in like["galaxy_id"]} == {"ring"}
    assert (like["mag_r"] < 19).all()
    assert "similarity" in capsys.readouterr().out
    exec(second, names)
    frame = names["like"]
    assert isinstance(frame, pd.DataFrame)
    assert int(frame["galaxy_id"][0]) == 103
    engine = names["engine"]
    assert isinstance(engine, Engine)
    engine.dispose()

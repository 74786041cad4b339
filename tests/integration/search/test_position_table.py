"""Tables of positions as examples."""

import csv
import sys

import numpy as np
import pytest
import sqlalchemy as sa

from search_factory import Sky, fill, random_units, scattered_sky
from skylike.errors import GalaxyNotFoundError
from skylike.search.batch import answer_each
from skylike.search.position_table import read_position_table
from skylike.search.query import Query
from skylike.search.search import answer, search
from skylike.search.store_positions import fetch_nearest_of_many


def ids(result) -> list[int]:
    return result.rows["galaxy_id"].to_pylist()


@pytest.fixture
def sky(engine) -> Sky:
    made = scattered_sky(np.abs(random_units(200, 16, seed=9)))
    fill(engine, made)
    with engine.begin() as connection:
        # A galaxy that is not embedded, and a galaxy that is a little farther away.
        connection.execute(sa.text("DELETE FROM skylike.embedding WHERE galaxy_id IN (7, 8)"))
        connection.execute(
            sa.text("DELETE FROM skylike.embedding_compact WHERE galaxy_id IN (7, 8)")
        )
        connection.execute(
            sa.text('UPDATE skylike.galaxy SET ra = :ra, "dec" = :dec WHERE galaxy_id = 9'),
            {"ra": sky_ra(made, 8), "dec": float(made.dec[7]) + 3 / 3600},
        )
    return made


def sky_ra(sky, galaxy_id):
    return float(sky.ra[galaxy_id - 1])


@pytest.fixture
def hosts(sky, tmp_path):
    """Rows near galaxies 3 and 5, near nothing, near the unembedded 7, and at no position."""
    path = tmp_path / "hosts.csv"
    places = [
        (name, sky.ra[n - 1], sky.dec[n - 1] + 1 / 3600)
        for name, n in (("host A", 3), ("host B", 5))
    ]
    places += [("nothing", 12.5, 89.99), ("bare", sky.ra[6], sky.dec[6])]
    lines = [f"{name},{ra:.9f},{dec:.9f}" for name, ra, dec in places]
    path.write_text("\n".join(["name,RAJ2000,DEJ2000", *lines, "broken,x,y"]) + "\n")
    return path


def test_positions_when_many_are_matched_at_once(engine, sky):
    with engine.connect() as connection:
        found = fetch_nearest_of_many(
            connection, encoder_id=1, ra=sky.ra, dec=sky.dec, radius=5 / 3600
        )

    # Galaxy 9 has moved to where 8 is, which has no embedding.
    assert found.places.tolist() == [n for n in range(200) if n != 8]
    expected = [9 if n == 7 else n + 1 for n in found.places.tolist()]
    assert found.galaxy_ids.tolist() == expected
    assert found.galaxy_ids[~found.is_embedded].tolist() == [7]
    assert found.separations.max() == pytest.approx(3 / 3600, rel=1e-6)


def test_search_by_a_table_is_by_its_galaxies_and_names_the_other_rows(engine, hosts):
    table = read_position_table(hosts)

    found = answer(engine, Query(position_table=table, k=20))

    assert ids(found.result) == ids(search(engine, Query(galaxies=(3, 5), k=20)))
    assert [example.label for example in found.examples] == [
        "row 1 of hosts.csv, host A (galaxy 3, 1.00 arcsec away)",
        "row 2 of hosts.csv, host B (galaxy 5, 1.00 arcsec away)",
    ]
    assert found.result.provenance.note == (
        "2 of 5 rows of hosts.csv have a galaxy (no galaxy within 5 arcsec: row 3; "
        "a galaxy that small has not embedded: row 4; no position that can be read: row 5)"
    )


def test_search_by_a_table_when_no_row_has_a_galaxy_is_an_error(engine, sky, tmp_path):
    path = tmp_path / "nowhere.csv"
    path.write_text("ra,dec\n12.5,89.99\n")

    with pytest.raises(GalaxyNotFoundError, match=r"0 of 1 rows of nowhere\.csv.*position limit"):
        search(engine, Query(position_table=read_position_table(path)))


def test_each_row_of_a_table_has_the_answer_of_its_galaxy(engine, hosts):
    found = answer_each(engine, Query(position_table=read_position_table(hosts), k=7)).result

    rows = found.rows
    assert rows["query"].to_pylist() == [1] * 7 + [2] * 7
    assert rows["rank"].to_pylist() == [*range(1, 8)] * 2
    assert set(rows["query_label"].to_pylist()[7:]) == {
        "row 2 of hosts.csv, host B (galaxy 5, 1.00 arcsec away)"
    }
    for number, galaxy_id in ((1, 3), (2, 5)):
        alone = search(engine, Query(galaxies=(galaxy_id,), k=7))
        mine = [
            n for n, q in zip(ids(found), rows["query"].to_pylist(), strict=True) if q == number
        ]
        assert mine == ids(alone)
    assert set(found.meanings) >= set(rows.column_names)
    assert found.provenance.note.startswith("2 of 5 rows of hosts.csv have a galaxy")
    assert found.provenance.query.endswith("(an answer for each)")


def test_each_when_an_answer_is_short_says_which(engine, sky):
    query = Query(galaxies=(3, 5), k=5, where="galaxy_id < 5", min_separation=0.0)

    found = answer_each(engine, query).result

    assert found.rows.num_rows == 7
    assert found.provenance.note.startswith("2 of 2 queries have a note. Query 1: 3 of 5 found")
    assert "Query 2: 4 of 5 found" in found.provenance.note


def test_each_takes_every_kind_of_example(engine, sky):
    from skylike.cuts.coordinates import Position

    query = Query(
        galaxies=(3,),
        positions=(Position(float(sky.ra[4]), float(sky.dec[4])),),
        vectors=(sky.vectors[10].astype(float), sky.vectors[11].astype(float)),
        k=2,
    )

    found = answer_each(engine, query)

    labels = [answer.examples[0].label for answer in found.answers]
    assert labels[0] == "galaxy 3"
    assert labels[1].startswith("position ")
    assert labels[2:] == ["vector 1", "vector 2"]
    assert found.result.rows["query"].to_pylist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert ids(found.result)[4] == 11


def test_command_when_rows_match_nothing_tells_them_beside_the_answer(
    engine, hosts, tmp_path, monkeypatch, capsys
):
    from skylike_cli import main, session

    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", url)
    monkeypatch.setenv("SKYLIKE_HOME", str(tmp_path))
    session.settings.cache_clear()
    output = tmp_path / "answer.csv"
    arguments = f"--positions {hosts} --each -k 3 --position-limit 5arcsec --output {output}"
    monkeypatch.setattr(sys, "argv", ["skylike", "search", *arguments.split()])

    with pytest.raises(SystemExit) as exit_info:
        main.run()

    session.settings.cache_clear()
    assert exit_info.value.code == 0
    assert capsys.readouterr().err.count("2 of 5 rows of hosts.csv have a galaxy") == 1
    with output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["query"] for row in rows] == ["1"] * 3 + ["2"] * 3
    assert rows[0]["query_label"] == "row 1 of hosts.csv, host A (galaxy 3, 1.00 arcsec away)"

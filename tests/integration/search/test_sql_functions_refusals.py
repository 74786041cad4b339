"""What the functions in SQL say when they cannot answer, or not in full."""

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from reader_session import ReaderSession, reader_session
from search_factory import (
    Sky,
    fill,
    insert_embeddings,
    insert_encoder,
    insert_galaxies,
    random_units,
    scattered_sky,
)


@pytest.fixture
def reader(database_url: URL) -> Iterator[ReaderSession]:
    with reader_session(database_url) as session:
        yield session


@pytest.fixture
def sky(engine: Engine) -> Sky:
    """40 galaxies; 39 has no embedding, that of 40 is zero."""
    vectors = random_units(40, 16)
    vectors[39] = 0
    made = scattered_sky(vectors)
    insert_galaxies(engine, made)
    embedded = np.delete(np.arange(40), 38)
    encoder_id = insert_encoder(engine, dimension=16)
    insert_embeddings(engine, encoder_id, made.vectors[embedded], galaxy_ids=embedded + 1)
    return made


REFUSED = {
    "similar_to(41)": ("galaxy 41 is not in the database", "skylike.galaxy"),
    "similar_to(39)": ("galaxy 39 has no embedding by encoder small", "skylike embed"),
    "similar_to(40)": ("the embedding of galaxy 40 is zero", "image may be empty"),
    "similar_to(1, 0)": ("k is 0; ask for 1 to 10000", None),
    "similar_to(1, 10001)": ("k is 10001; ask for 1 to 10000", None),
    "similar_to(1, NULL)": ("k is NULL; ask for 1 to 10000", None),
    "similar_to(1, min_separation => -1)": ("min_separation is -1; it is an angle", "0 keeps"),
    "similar_to(1, min_separation => 'NaN')": ("min_separation is NaN; it is", "0 keeps"),
    "similar_to(1, min_separation => NULL)": ("min_separation is NULL; it is", "0 keeps"),
    "similar_to(embedding_of(41))": ("the vector to compare with is NULL", "embedding_of"),
    "similar_to('[1,2,3]'::vector)": ("has 3 entries, embeddings by the active encoder", None),
    "similar_to(array_fill(0, '{16}')::halfvec)": ("the vector is zero", None),
    "similar_to_position(360, 10)": ("ra 360, dec 10 is no position", "ICRS degrees"),
    "similar_to_position(10, -90.5)": ("ra 10, dec -90.5 is no position", "ICRS degrees"),
    "similar_to_position('NaN', 1)": ("ra NaN, dec 1 is no position", "ICRS degrees"),
    "similar_to_position(NULL, 1)": ("is no position", "ICRS degrees"),
    "similar_to_position(1, 1, max_separation => 0)": ("max_separation is 0; it is", None),
    "similar_to_position(1, 1, max_separation => 'NaN')": ("max_separation is NaN; it is", None),
}


def test_function_when_it_cannot_answer_then_says_why_and_what_to_do(
    reader: ReaderSession, sky: Sky
):
    for call, (message, hint) in REFUSED.items():
        with pytest.raises(psycopg.Error) as refusal:
            reader.ask(f"SELECT * FROM {call}")

        told = refusal.value.diag
        assert message in str(told.message_primary), call
        assert hint is None or hint in str(told.message_hint), call


def test_similar_to_when_the_galaxy_is_null_then_gives_no_rows(reader: ReaderSession, sky: Sky):
    rows = reader.ask(
        "SELECT mine.n, s.rank FROM unnest('{3, NULL}'::integer[]) AS mine (n)"
        " LEFT JOIN LATERAL similar_to(mine.n, 2) AS s ON true ORDER BY mine.n, s.rank"
    )

    assert rows == [(3, 1), (3, 2), (None, None)]


def test_functions_when_no_encoder_is_ready_then_say_what_to_do(
    reader: ReaderSession, engine: Engine
):
    with pytest.raises(psycopg.Error, match="no encoder is active") as refusal:
        reader.ask("SELECT * FROM similar_to(1)")
    assert "skylike encoder activate" in refusal.value.diag.message_hint

    insert_encoder(engine, dimension=16)
    with pytest.raises(psycopg.Error, match="encoder small has embedded no galaxy yet") as refusal:
        reader.ask("SELECT * FROM similar_to_position(1, 1)")
    assert "skylike embed --encoder small" in refusal.value.diag.message_hint
    assert reader.ask("SELECT embedding_of(1) AS e, similarity(1, 2) AS s") == [(None, None)]


def test_similar_to_when_fewer_galaxies_match_then_gives_those_and_tells(
    reader: ReaderSession, sky: Sky
):
    few = f"mag_r < {np.sort(sky.mag_r[:38])[4]}"

    rows = reader.ask("SELECT * FROM similar_to(1, 100, %s)", (few,))

    assert reader.told("NOTICE") == [
        f"{len(rows)} of 100 rows: only {len(rows)} galaxies have an embedding"
        f" and meet the cut '{few}'"
    ]
    assert reader.ask("SELECT * FROM similar_to(1, 100, 'mag_r < 0')") == []
    assert "0 of 100 rows: only 0 galaxies" in reader.told("NOTICE")[0]
    assert len(reader.ask("SELECT * FROM similar_to(1, 100)")) == 37
    assert reader.told("NOTICE") == ["37 of 100 rows: only 37 galaxies have an embedding"]


def test_similar_to_when_results_are_dropped_as_close_then_tells(reader: ReaderSession, sky: Sky):
    rows = reader.ask("SELECT * FROM similar_to(1, 100, min_separation => 360000)")

    assert 0 < len(rows) < 10
    (told,) = reader.told("NOTICE")
    assert f"{len(rows)} of 100 rows: only 37 galaxies" in told
    assert "results closer than 360000 arcsec to the query or to a better one are left out" in told


def test_similar_to_when_all_are_found_then_tells_nothing(reader: ReaderSession, sky: Sky):
    assert len(reader.ask("SELECT * FROM similar_to(1, 37)")) == 37
    assert reader.told("NOTICE") == []


def test_similar_to_position_when_a_galaxy_is_there_then_answers_for_it(
    reader: ReaderSession, sky: Sky
):
    ra, dec = float(sky.ra[6]), float(sky.dec[6]) + 3 / 3600

    rows = reader.ask("SELECT * FROM similar_to_position(%s, %s, 5)", (ra, dec))

    assert rows == reader.ask("SELECT * FROM similar_to(7, 5)")
    assert all(row.separation > 0.01 for row in rows)
    reader.ask("SELECT * FROM similar_to_position(%s, %s)", (ra, dec))
    assert reader.told("NOTICE") == [f"position {ra} {dec} stands for galaxy 7, 3.00 arcsec away"]


@pytest.mark.parametrize(
    ("offset", "said"), [(6 / 3600, "6.00 arcsec"), (3 / 60, "3.00 arcmin"), (0.5, "30.00 arcmin")]
)
def test_similar_to_position_when_the_nearest_is_too_far_then_says_how_far(
    reader: ReaderSession, sky: Sky, offset: float, said: str
):
    ra, dec = float(sky.ra[6]), float(sky.dec[6]) + offset

    with pytest.raises(psycopg.Error) as refusal:
        reader.ask("SELECT * FROM similar_to_position(%s, %s)", (ra, dec))

    told = refusal.value.diag
    assert told.message_primary.endswith(f"the nearest is galaxy 7, {said} away")
    assert "similar_to(7)" in told.message_hint
    wide = reader.ask(
        "SELECT * FROM similar_to_position(%s, %s, 1, max_separation => 2000)", (ra, dec)
    )
    assert len(wide) == 1


def test_similar_to_position_when_the_galaxy_there_has_no_embedding_then_says_so(
    reader: ReaderSession, sky: Sky
):
    with pytest.raises(psycopg.Error, match="no embedded galaxy lies within 5 arcsec") as refusal:
        reader.ask(
            "SELECT * FROM similar_to_position(%s, %s)", (float(sky.ra[38]), float(sky.dec[38]))
        )

    assert refusal.value.diag.message_hint == "Galaxy 39 is there, but has no embedding."


def test_similarity_when_asked_of_two_galaxies_then_is_the_float64_cosine(
    reader: ReaderSession, sky: Sky
):
    rows = reader.ask(
        "SELECT n, similarity(3, n) AS s, similarity(n, 3) AS t FROM unnest(%s) n", ([1, 3, 38],)
    )

    truth = sky.similarities(sky.vectors[2])
    assert np.allclose([row.s for row in rows], truth[[0, 2, 37]], rtol=0, atol=1e-15)
    assert [row.s for row in rows] == [row.t for row in rows]
    assert rows[1].s == 1
    assert reader.ask(
        "SELECT similarity(3, 39) AS a, similarity(3, 40) AS b, similarity(3, 41) AS c"
    ) == [(None,) * 3]


def test_embedding_of_when_another_encoder_is_active_then_is_its_own(
    reader: ReaderSession, engine: Engine
):
    first = scattered_sky(random_units(30, 16))
    fill(engine, first)
    second = random_units(30, 8, seed=2).astype(np.float16)
    encoder_id = insert_encoder(engine, dimension=8, name="other", is_active=False)
    insert_embeddings(engine, encoder_id, second)

    def asked() -> list[float]:
        return reader.ask("SELECT embedding_of(5)::real[]::float8[] AS e")[0].e

    assert asked() == first.vectors[4].astype(float).tolist()
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE encoder SET is_active = false"))
        connection.execute(sa.text("UPDATE encoder SET is_active = true WHERE name = 'other'"))
    assert asked() == second[4].astype(float).tolist()
    rows = reader.ask("SELECT * FROM similar_to(5, 29, min_separation => 0)")
    other = Sky(first.ra, first.dec, first.mag_r, second)
    assert [row.galaxy_id for row in rows] == other.ranked(second[4])[1:]

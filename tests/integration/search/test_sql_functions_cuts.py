"""Cuts of the functions in SQL: what they may say, what is refused and in which words."""

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from psycopg import errors
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from reader_session import ReaderSession, reader_session
from search_factory import Sky, fill, random_units, scattered_sky

MATCHING = "SELECT galaxy_id FROM similar_to(1, 10000, %s, 0)"


@pytest.fixture
def sky(engine: Engine) -> Sky:
    made = scattered_sky(random_units(300, 16))
    fill(engine, made)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "UPDATE skylike.galaxy SET mag_g = mag_r + galaxy_id % 7 * 0.1,"
                " flux_r = 10 ^ (0.4 * (22.5 - mag_r)), maskbits = galaxy_id % 4,"
                " type = CASE galaxy_id % 3 WHEN 0 THEN 'SER' WHEN 1 THEN 'it''s; odd (--' END"
            )
        )
    return made


@pytest.fixture
def reader(database_url: URL, sky: Sky) -> Iterator[ReaderSession]:
    with reader_session(database_url) as session:
        yield session


def ids(sky: Sky) -> np.ndarray:
    return np.arange(1, len(sky.ra) + 1)


CUTS = {
    "mag_r < 17": lambda sky: sky.mag_r < 17,
    "galaxy.mag_r < 17 OR mag_r > 19": lambda sky: (sky.mag_r < 17) | (sky.mag_r > 19),
    "mag_g - mag_r > 0.35": lambda sky: ids(sky) % 7 > 3,
    "type = 'SER'": lambda sky: ids(sky) % 3 == 0,
    "type IS NULL": lambda sky: ids(sky) % 3 == 2,
    "NOT type = 'SER'": lambda sky: ids(sky) % 3 == 1,
    "type = 'it''s; odd (--'": lambda sky: ids(sky) % 3 == 1,
    "type = E'it\\'s; odd (--'": lambda sky: ids(sky) % 3 == 1,
    'maskbits & 1 = 0 AND "dec" > 0': lambda sky: (ids(sky) % 2 == 0) & (sky.dec > 0),
    "in_cone(ra, dec, 100, 10, 40)": lambda sky: separation(sky, 100, 10) <= 40,
    "survey = 'test'": lambda sky: ids(sky) > 0,
    "survey = 'other'": lambda sky: ids(sky) < 0,
    # Not copied beside the compact vectors: galaxy is joined.
    "flux_r > 100": lambda sky: 10 ** (0.4 * (22.5 - sky.mag_r.astype(float))) > 100,
    "galaxy.flux_r > 100 AND survey = 'test'": lambda sky: (
        10 ** (0.4 * (22.5 - sky.mag_r.astype(float))) > 100
    ),
    "object_id - (1::bigint << 53) <= 50": lambda sky: ids(sky) <= 50,
    # Brighter than galaxy 9; what the caller may read, the cut may read.
    "mag_r < (SELECT mag_r FROM skylike.galaxy WHERE galaxy_id = 9)": lambda sky: (
        sky.mag_r < sky.mag_r[8]
    ),
    "galaxy_id IN (SELECT neighbor_id FROM neighbor)": lambda sky: ids(sky) < 0,
    "galaxy_id IN (VALUES (5), (6), (7))": lambda sky: (ids(sky) > 4) & (ids(sky) < 8),
    "\n  mag_r < 17\n  AND mag_r > 15\n": lambda sky: (sky.mag_r < 17) & (sky.mag_r > 15),
}


def separation(sky: Sky, ra: float, dec: float) -> np.ndarray:
    a, d = np.radians(sky.ra - ra), np.radians(sky.dec)
    center = np.radians(dec)
    cosine = np.sin(d) * np.sin(center) + np.cos(d) * np.cos(center) * np.cos(a)
    return np.degrees(np.arccos(cosine))


def test_cut_when_it_is_a_condition_then_chooses_as_numpy_does(reader: ReaderSession, sky: Sky):
    for cut, mask in CUTS.items():
        rows = reader.ask(MATCHING, (cut,))

        among = mask(sky) & (ids(sky) != 1)  # galaxy 1 is the query
        truth = [n for n in sky.ranked(sky.vectors[0]) if among[n - 1]]
        assert [row.galaxy_id for row in rows] == truth, cut
        assert reader.work()[0] == len(truth), cut


def test_cut_when_columns_are_copied_then_galaxy_is_not_read(reader: ReaderSession):
    def plan(cut: str) -> str:
        (row,) = reader.ask("SELECT rows_of_cut(1, %s) AS rows", (cut,))
        return "\n".join(
            line for (line,) in reader.ask(f"EXPLAIN SELECT galaxy_id, compact FROM {row.rows}")
        )

    assert "galaxy" in plan("flux_r > 1").replace("galaxy_id", "").replace("compact_e1 galaxy", "")
    copied = plan("mag_r < 18 AND type = 'SER' AND z_phot IS NULL")
    assert "embedding_compact_e1" in copied
    assert "Join" not in copied
    assert "Loop" not in copied


def test_cut_when_it_is_a_range_then_is_answered_from_the_covering_index(
    reader: ReaderSession, engine: Engine
):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM skylike.embedding_compact"))
    for cheaper in ("enable_seqscan", "enable_bitmapscan"):  # as if it were large
        reader.connection.execute(f"SET {cheaper} = off")

    for column in ("mag_g", "mag_r", "mag_z", "z_phot"):
        (row,) = reader.ask("SELECT rows_of_cut(1, %s) AS rows", (f"{column} < 17",))
        plan = reader.ask(
            "EXPLAIN SELECT galaxy.galaxy_id, compact <-> compact, galaxy.ra, galaxy.dec"
            f" FROM {row.rows}"
        )

        assert f"Index Only Scan using embedding_compact_e1_{column}" in plan[0][0]


REFUSED = {
    "mag_rr < 18": ("column \"mag_rr\" does not exist (in the cut 'mag_rr < 18')", "mag_r"),
    "nonsense < 18": ('column "nonsense" does not exist', "columns are those of skylike.galaxy"),
    "g.mag_r < 18": ('missing FROM-clause entry for table "g"', "one condition"),
    "mag_r <": ("syntax error", "one condition"),
    "mag_r < 18 AND": ("syntax error", "one condition"),
    "mag_r": ("must be type boolean, not type real", "one condition"),
    "mag_r < 18, mag_g < 18": ("must be type boolean", "one condition"),
    "mag_r < 'bright'": ("invalid input syntax for type", None),
    "cone(1, 2)": ("function cone(integer, integer) does not exist", "argument types"),
    "": ("the cut '' is empty", "one condition"),
    "  \n": ("is empty", "one condition"),
    "type = 'SER": ("has a quote that is not closed", "one condition"),
    "(mag_r < 18": ("does not close a parenthesis", "one condition"),
    "mag_r < 18 -- bright": ("has a comment", "one condition"),
    "mag_r < 18 /* bright */": ("has a comment", "one condition"),
    "mag_r < $1": ("has a dollar sign", "one condition"),
    "mag_r < 18; DROP TABLE galaxy": ("has a semicolon", "one condition"),
    "true) UNION SELECT 1, 2, 3, 4 FROM galaxy WHERE (true": ("closes a parenthesis", "condition"),
    "mag_r < 18) OR (true": ("closes a parenthesis", "one condition"),
    "true ORDER BY mag_r": ("syntax error", "one condition"),
    "true UNION SELECT true": ("syntax error", "one condition"),
    "type = 'a' 'b') OR ('": ("not closed", "one condition"),
    "type = E'\\' AND true) OR (''": ("not closed", "one condition"),
}


def test_cut_when_it_is_no_condition_then_is_refused_in_its_own_words(reader: ReaderSession):
    for cut, (message, hint) in REFUSED.items():
        with pytest.raises(psycopg.Error) as refusal:
            reader.ask(MATCHING, (cut,))

        told = refusal.value.diag
        assert message in str(told.message_primary), cut
        assert hint is None or hint in str(told.message_hint), cut


FORBIDDEN = {
    "pg_read_file('/etc/hostname') IS NOT NULL": errors.InsufficientPrivilege,
    "lo_import('/etc/hostname') > 0": errors.InsufficientPrivilege,
    "(SELECT rolpassword FROM pg_authid LIMIT 1) IS NULL": errors.InsufficientPrivilege,
    "EXISTS (WITH gone AS (DELETE FROM skylike.label RETURNING 1) SELECT FROM gone)": (
        errors.FeatureNotSupported
    ),
    "written()": errors.InsufficientPrivilege,
    "written_by_owner()": errors.ReadOnlySqlTransaction,
    "nextval('skylike.survey_survey_id_seq') > 0": errors.InsufficientPrivilege,
    "set_config('role', 'postgres', false) = 'postgres'": errors.InsufficientPrivilege,
    "pg_sleep(30) IS NOT NULL": errors.QueryCanceled,
}


def test_cut_when_it_tries_more_than_the_caller_may_then_fails(
    reader: ReaderSession, engine: Engine
):
    body = "AS $$BEGIN DELETE FROM skylike.label; RETURN true; END$$"
    with engine.begin() as connection:
        for name, rights in [("written", ""), ("written_by_owner", "SECURITY DEFINER")]:
            connection.execute(
                sa.text(
                    f"CREATE FUNCTION skylike.{name}() RETURNS boolean"
                    f" LANGUAGE plpgsql {rights} {body}"
                )
            )
        connection.execute(
            sa.text("INSERT INTO label (name, galaxy_id, author) VALUES ('ring', 3, 'me')")
        )
    reader.connection.execute("SET statement_timeout = '300ms'")
    for cut, error in FORBIDDEN.items():
        # The rights alone must suffice, but for what the owner allows everybody.
        only = "on" if "owner" in cut else "off"
        reader.connection.execute(f"SET default_transaction_read_only = {only}")

        with pytest.raises(error):
            reader.ask(MATCHING, (cut,))

        (who,) = reader.ask("SELECT current_user AS name")
        assert who.name == "skylike_reader", cut
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM label")) == 1


def test_cut_when_strings_are_not_standard_then_is_read_as_standard(reader: ReaderSession):
    reader.connection.execute("SET standard_conforming_strings = off")
    reader.connection.execute("SET escape_string_warning = off")

    # With backslash escapes, the text would go on to the end.
    with pytest.raises(errors.SyntaxError, match="closes a parenthesis"):
        reader.connection.execute(
            "SELECT * FROM similar_to(1, 5, $cut$type = '\\' ) OR ( true OR type = '\\'$cut$)"
        )


def test_functions_when_the_search_path_is_another_then_work(database_url: URL, sky: Sky):
    with reader_session(database_url, search_path="pg_catalog") as reader:
        rows = reader.ask(
            "SELECT s.galaxy_id, skylike.similarity(1, s.galaxy_id) AS again, s.similarity"
            " FROM skylike.similar_to(1, 20, 'in_cone(ra, dec, 0, 0, 90)') AS s"
            " JOIN skylike.galaxy AS g USING (galaxy_id) ORDER BY s.rank"
        )

    assert len(rows) == 20
    assert [row.again for row in rows] == [row.similarity for row in rows]

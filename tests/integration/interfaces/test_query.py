"""``Sky.query``: any SELECT, with the right types, units and errors."""

import numpy as np
import pytest
from astropy import units as u

from skylike.errors import DatabaseError

N = 60


def test_query_when_columns_come_from_a_table_then_keep_unit_and_description(sky):
    rows = sky.query('SELECT galaxy_id, ra, "dec", mag_r + 0 AS m FROM galaxy ORDER BY galaxy_id')

    table = rows.to_table()
    assert len(rows) == N
    assert table["ra"].unit == u.deg
    assert table["dec"].meta["ucd"] == "pos.eq.dec;meta.main"
    assert table["m"].unit is None
    assert rows.to_pandas().attrs["sql"].startswith("SELECT galaxy_id")


def test_query_when_columns_come_from_a_view_then_keep_their_comments(sky):
    rows = sky.query("SELECT rank, similarity FROM neighbor")

    assert rows.meanings["similarity"].ucd == "stat.correlation"
    assert len(rows) == 0
    assert rows.to_pandas()["rank"].dtype == np.int32


TYPES = {
    "true": "bool",
    "1::smallint": "int16",
    "1": "int32",
    "1::bigint << 60": "int64",
    "1.5::real": "float32",
    "1.5::float8": "float64",
    "1.5::numeric": "float64",
    "NULL::numeric": "float64",
    "NULL::integer": "Int32",
    "NULL::bigint": "Int64",
    "NULL::boolean": "boolean",
    "now()": "datetime64[us, UTC]",
    "localtimestamp": "datetime64[us]",
    "'x'": "str",
    "'{\"a\": 1}'::jsonb": "str",
    "interval '1 day'": "str",
}


@pytest.mark.parametrize("expression", TYPES)
def test_query_when_given_a_type_then_pandas_has_the_fitting_one(sky, expression):
    frame = sky.query(f"SELECT {expression} AS x").to_pandas()

    assert str(frame["x"].dtype) == TYPES[expression]


def test_query_when_values_are_lists_or_vectors_then_are_arrays(sky):
    rows = sky.query(
        "SELECT ARRAY[1, 2] AS a, ARRAY[0.5::real] AS b, '[1,2,3]'::halfvec AS h,"
        " '[1,2]'::vector AS v"
    )

    assert rows["a"][0].tolist() == [1, 2]
    assert rows["b"][0].dtype == np.float64 or rows["b"][0].tolist() == [0.5]
    assert rows["h"].tolist() == [[1.0, 2.0, 3.0]]
    assert rows["h"].dtype == np.float16
    assert rows["v"].dtype == np.float32


def test_query_when_vectors_are_missing_or_of_many_lengths_then_are_objects(sky):
    rows = sky.query(
        "SELECT CASE WHEN n > 20000 THEN ('[' || n || ']')::halfvec END AS h"
        " FROM generate_series(1, 40001) AS n ORDER BY n"
    )
    mixed = sky.query("SELECT v::vector AS v FROM (VALUES ('[1]'), ('[1,2]')) AS t (v)")

    assert rows["h"][0] is None
    assert rows["h"][20000].tolist() == [20000.0]
    assert [len(v) for v in mixed["v"]] == [1, 2]


def test_query_when_given_parameters_then_binds_them(sky):
    named = sky.query("SELECT galaxy_id FROM galaxy WHERE galaxy_id < %(n)s", {"n": 3})
    listed = sky.query("SELECT galaxy_id FROM galaxy WHERE galaxy_id = ANY(%s)", [[4, 5]])
    text = sky.query("SELECT %(text)s AS x", {"text": "'; DROP TABLE galaxy; --"})

    assert sorted(named["galaxy_id"]) == [1, 2]
    assert sorted(listed["galaxy_id"]) == [4, 5]
    assert text["x"].tolist() == ["'; DROP TABLE galaxy; --"]


def test_query_when_there_are_no_parameters_then_percent_is_itself(sky):
    assert sky.query("SELECT 7 % 4 AS rest, 'a%' AS x")["rest"].tolist() == [3]


def test_query_when_names_repeat_then_are_told_apart(sky):
    rows = sky.query("SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS a")

    assert rows.columns == ["a", "a_2", "a_2_2", "a_3"]
    assert next(iter(rows)) == {"a": 1, "a_2": 2, "a_2_2": 3, "a_3": 4}


def test_query_when_many_rows_then_all_arrive_in_order(sky):
    rows = sky.query("SELECT n, n::text AS t FROM generate_series(1, 45000) AS n")

    assert np.array_equal(rows["n"], np.arange(1, 45001))
    assert rows["t"][44999] == "45000"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT mag_q FROM galaxy", r'"mag_q" does not exist \(character 8 of the statement\)'),
        ("SELEC 1", "syntax error"),
        ("SELECT 1; SELECT 2", "multiple commands"),
        ("DELETE FROM galaxy", "read-only transaction"),
        ("SET work_mem = '1MB'", "gives no rows"),
        ("", "gives no rows"),
        ("SELECT 1/0", "division by zero"),
        ("SELECT pg_sleep(5)", "timeout"),
        ("SELECT %(x)s", "query parameter missing|placeholder|at or near"),
    ],
)
def test_query_when_the_server_refuses_then_says_it_in_a_sentence(sky, statement, said):
    with pytest.raises(DatabaseError, match=said) as caught:
        sky.query(statement, timeout=0.5)

    assert "\n" not in str(caught.value)
    assert sky.query("SELECT count(*) FROM galaxy")["count"].tolist() == [N]

import numpy as np
import pytest
from sqlalchemy.dialects.postgresql import psycopg

from skylike.cuts import GALAXY_KINDS, parse_cut
from skylike.cuts.coordinates import Cone
from skylike.search.store_statements import (
    G,
    Scope,
    compact_table,
    cut_columns,
    nearest_statement,
    typed_sql,
)


def typed(where=None, **options):
    cut = None if where is None else parse_cut(where, GALAXY_KINDS)
    scope = Scope(3, cut, options.pop("cone", None), (7,))
    return typed_sql(scope, **({"example": 7, "least_similar": False, "limit": 5} | options))


@pytest.mark.parametrize("source", [G, compact_table(1)])
def test_a_cut_may_name_every_column_that_its_parser_knows(source):
    assert set(cut_columns(source, frozenset({"ring"}))) == {*GALAXY_KINDS, "score_ring"}


def test_typed_sql_has_its_values_in_place():
    sql = typed("mag_r < 18 AND type = 'SER'", cone=Cone(10.0, -5.5, 0.5))

    assert "g.mag_r < 18" in sql
    assert "g.type = 'SER'" in sql
    assert "skylike.in_cone(g.ra, g.dec, 10, (-5.5), 0.5)" in sql
    assert "encoder_id = 3 AND galaxy_id = 7" in sql
    assert sql.endswith("LIMIT 5;")


@pytest.mark.parametrize(
    ("where", "plain"),
    [
        ("mag_g - mag_r < 0.6 AND mag_r < 18", "g.mag_g::float8 - g.mag_r < 0.6 AND g.mag_r < 18"),
        ("maskbits & 4096 = 0", "g.maskbits & 4096 = 0"),
        ("flux_g / 2 > 1 OR z_spec IS NOT NULL", "(g.flux_g / 2 > 1 OR g.z_spec IS NOT NULL)"),
    ],
)
def test_typed_sql_has_no_casts_but_those_that_change_something(where, plain):
    assert f"\n  AND {plain}\n  AND e.galaxy_id != 7\n" in typed(where)


@pytest.mark.parametrize(
    "where", ["mag_r > - -1", "mag_r - -1 > 0", "-(-mag_r) > -1", "ebv > -1e-9"]
)
def test_typed_sql_never_writes_two_minus_signs_together(where):
    assert "--" not in typed(where)


@pytest.mark.parametrize(
    ("text", "written"),
    [("it''s", "'it''s'"), ("100%", "'100%'"), (":name", "':name'"), ("a\\b", "'a\\b'")],
)
def test_typed_sql_quotes_texts(text, written):
    assert written in typed(f"type = '{text}'")


def test_typed_sql_by_a_vector_keeps_the_precision_of_float32():
    vector = np.array([0.6, 0.8]) + 1e-7

    sql = typed(example=vector)

    numbers = sql.split("'[")[1].split("]'")[0].split(",")
    assert [np.float32(n) for n in numbers] == vector.astype(np.float32).tolist()


@pytest.mark.parametrize("farthest", [False, True])
def test_scan_never_orders_by_the_bare_operator(farthest):
    statement = nearest_statement(Scope(1), np.zeros(3, np.float16), limit=5, farthest=farthest)

    text = str(statement.compile(dialect=psycopg.dialect()))
    assert "ORDER BY (c.compact <-> " in text
    assert ") + " in text.split("ORDER BY")[1]


def test_scan_joins_the_catalog_only_for_columns_that_are_not_copied():
    def sql(where):
        scope = Scope(1, parse_cut(where, GALAXY_KINDS))
        statement = nearest_statement(scope, np.zeros(3, np.float16), limit=5, farthest=False)
        return str(statement.compile(dialect=psycopg.dialect()))

    assert "galaxy AS g" not in sql("mag_r < 18 AND type = 'SER' AND z_phot > 0.1")
    assert "survey AS s ON s.survey_id = c.survey_id" in sql("survey = 'sdss'")
    assert "galaxy AS g ON g.galaxy_id = c.galaxy_id" in sql("flux_r > 3")

"""Whatever is typed: a refusal with a place, or SQL that can only read the columns it may."""

import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
import sqlglot
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql
from sqlglot import exp

from skylike.cuts import GALAXY_KINDS, Derived, parse_cut, parse_definition, to_expression
from skylike.cuts.written import written
from skylike.database.engine import make_engine
from skylike.database.tables import galaxy, survey
from skylike.errors import CutError

G = galaxy.alias("g")
S = survey.alias("s")
COLUMNS = {name: S.c.name if name == "survey" else G.c[name] for name in GALAXY_KINDS}

EXPRESSIONS = {
    *(exp.Add, exp.And, exp.Between, exp.BitwiseAnd, exp.Boolean, exp.Column, exp.Div, exp.EQ),
    *(exp.GT, exp.GTE, exp.Identifier, exp.ILike, exp.In, exp.Is, exp.LT, exp.LTE, exp.Like),
    *(exp.Mul, exp.NEQ, exp.Neg, exp.Not, exp.Null, exp.Or, exp.Paren, exp.Placeholder, exp.Sub),
    *(exp.Cast, exp.DataType, exp.Case, exp.If, exp.Collate, exp.Dot, exp.Var, exp.Tuple),
}
"""What the condition may be made of; its constants are parameters."""

FUNCTIONS = (
    {"ABS", "SQRT", "LN", "EXP", "FLOOR", "CEIL", "ROUND", "SIND", "COSD", "LOG", "LOG10", "POWER"}
    | {"LEAST", "GREATEST", "COALESCE", "NULLIF", "POW"}
    | {"IN_CONE", "IN_BOX", "IN_POLYGON"}
)
TYPES = {"DOUBLE", "BIGINT", "TEXT", "VARCHAR", "ARRAY", "TIMESTAMPTZ", "BOOLEAN", "DECIMAL"}
LABELS = (
    r"SELECT l\.galaxy_id FROM skylike\.label AS l"
    r" WHERE l\.name = CAST\(\$\d+ AS VARCHAR\) AND l\.is_member"
)

_WORDS = (
    *("mag_r", "mag_g", "type", "survey", "maskbits", "object_id", "updated_at", "g_r", "is_red"),
    *("1", "18.5", "-2", "1e-3", "'SER'", "'a%'", "'2026-01-01'", "'150 2'", "'1 deg'", "NULL"),
    *("(", ")", ",", "=", "<", ">=", "<>", "+", "-", "*", "/", "^", "&", "AND", "OR", "NOT"),
    *("IN", "IS", "BETWEEN", "LIKE", "ILIKE", "TRUE", "abs(", "sqrt(", "power(", "coalesce("),
    *("in_cone(", "in_box(", "in_polygon(", "has_label(", "ra", "dec", "'x' )", "SELECT", ";"),
    *("--", "/*", "$1", ":x", "::", "pg_sleep(", "E'a'", '"', "'", "\\", "FROM", "galaxy", "\x00"),
)


def _derived() -> dict[str, Derived]:
    made: dict[str, Derived] = {}
    for text in ("g_r = mag_g - mag_r", "is_red = g_r > 0.8 OR has_label('red')"):
        one = parse_definition(text, GALAXY_KINDS, made)
        made[one.name] = one
    return made


DERIVED = _derived()

_number = st.recursive(
    st.sampled_from(
        ["mag_r", "mag_g", "maskbits", "object_id", "g_r", "ra", "dec", "0", "18.5", "-2", "1e100"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda x: f"({' '.join(x)})"),
        st.tuples(st.sampled_from(["abs", "sqrt", "ln", "exp", "round", "sind", "-"]), inner).map(
            lambda x: f"{x[0]}({x[1]})"
        ),
        st.tuples(inner, st.sampled_from(["2", "-1", "0.5"])).map(lambda x: f"({x[0]} ^ {x[1]})"),
        st.tuples(st.sampled_from(["least", "coalesce"]), inner, inner).map(
            lambda x: f"{x[0]}({x[1]}, {x[2]})"
        ),
        st.just("(maskbits & 4096)"),
    ),
    max_leaves=5,
)
_quoted = st.text(st.characters(codec="utf-8", categories=("L", "P", "S", "Zs")), max_size=8).map(
    lambda text: "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
)
_ra = st.floats(0, 360).map(lambda angle: f"{angle:.6f}")
_dec = st.floats(-92, 92).map(lambda angle: f"{angle:.6f}")
_vertex = st.tuples(_ra, _dec).map(", ".join)
_simple = st.one_of(
    st.tuples(_number, st.sampled_from(["=", "<", ">=", "<>"]), _number).map(" ".join),
    st.tuples(_number, st.sampled_from(["IS NULL", "IS NOT NULL", "IN (1, 2.5)"])).map(" ".join),
    st.tuples(
        st.sampled_from(["type", "survey"]), st.sampled_from(["=", "LIKE", "ILIKE", "<"]), _quoted
    ).map(" ".join),
    st.sampled_from(["'ring'", "'a_1'", "'Ring'", "''"]).map(lambda text: f"has_label({text})"),
    st.lists(_vertex, min_size=2, max_size=5).map(lambda x: f"in_polygon({', '.join(x)})"),
    st.tuples(_ra, _ra, _dec, _dec).map(lambda x: f"in_box(ra, dec, {', '.join(x)})"),
    st.tuples(_vertex, _ra).map(lambda x: f"in_cone(ra, dec, {', '.join(x)})"),
    st.sampled_from(["is_red", "updated_at > '2026-01-01'", "TRUE", "in_cone('150 2', '1 deg')"]),
)
_conditions = st.recursive(
    _simple,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda x: f"({' '.join(x)})"),
        inner.map(lambda x: f"NOT ({x})"),
        inner.map(lambda x: f"({x}) IS NOT TRUE"),
    ),
    max_leaves=4,
)
_anything = st.one_of(
    st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join),
    st.tuples(_conditions, st.sampled_from(_WORDS), st.integers(0, 80)).map(
        lambda x: x[0][: x[2]] + x[1] + x[0][x[2] :]
    ),
    st.text(max_size=40),
)


@pytest.fixture(scope="module")
def galaxies(template_url: sa.URL) -> Iterator[Connection]:
    """Ordinary galaxies, and some with the numbers that go wrong; never committed."""
    engine = make_engine(template_url)
    columns = 'galaxy_id, survey_id, object_id, ra, "dec", healpix29, mag_g, mag_r, maskbits, type'
    with engine.connect() as connection:
        connection.execute(sa.text("INSERT INTO survey (survey_id, name) VALUES (1, 'test')"))
        connection.execute(
            sa.text(
                f"INSERT INTO galaxy ({columns}) SELECT i, 1, i, (i * 137.508) % 360,"
                " degrees(asin(2 * (i / 40.0) - 1)), i, 15 + i % 7, 15 + i % 5, i * 100, 'SER'"
                " FROM generate_series(1, 39) AS i"
            )
        )
        connection.execute(
            sa.text(
                f"INSERT INTO galaxy ({columns}) VALUES"
                " (101, 1, 9223372036854775807, 0, 0, 1, NULL, NULL, 0, NULL),"
                " (102, 1, -9223372036854775808, 5e-324, -5e-324, 2, 3e38, -3e38, -2147483648, ''),"
                " (103, 1, 0, 359.99999999999994, 90, 3, 1e-45, -1e-45, 2147483647, 'a%'),"
                " (104, 1, 77, 1e-310, -90, 4, 0, 0, NULL, 'E')"
            )
        )
        yield connection
        connection.rollback()
    engine.dispose()


def read(text: str) -> sa.ColumnElement[bool] | CutError:
    try:
        return to_expression(parse_cut(text, GALAXY_KINDS, DERIVED), COLUMNS)
    except CutError as error:
        return error


def foreign_parts(condition: sa.ColumnElement[bool]) -> list[str]:
    """What a compiled condition holds that no cut may hold."""
    compiled = str(condition.compile(dialect=postgresql.dialect(paramstyle="numeric_dollar")))
    tree = sqlglot.parse_one(f"SELECT 1 WHERE {compiled}", dialect="postgres").args["where"].this
    found = []
    for subquery in list(tree.find_all(exp.Subquery)):
        if not re.fullmatch(LABELS, subquery.this.sql("postgres")):
            found.append(subquery.sql())
        subquery.replace(exp.Null())
    for parameter in list(tree.find_all(exp.Parameter)):
        parameter.replace(exp.Placeholder())
    for node in tree.walk():
        if isinstance(node, exp.Anonymous | exp.Func) and type(node) not in EXPRESSIONS:
            name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
            if name.upper() not in FUNCTIONS:
                found.append(f"function {name}")
        elif type(node) not in EXPRESSIONS:
            found.append(f"{type(node).__name__} {node.sql()}")
        if isinstance(node, exp.Column) and not is_known(node):
            found.append(f"column {node.sql()}")
        if isinstance(node, exp.DataType) and getattr(node.this, "name", "") not in TYPES:
            found.append(f"type {node.sql()}")
    return found


def is_known(column: exp.Column) -> bool:
    if column.table == "s":
        return column.name == "name"
    return column.table == "g" and column.name in galaxy.c


_FUZZED = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def check(connection: Connection, text: str) -> None:
    condition = read(text)
    if isinstance(condition, CutError):
        assert condition.position is None or 0 <= condition.position < len(text)
        return
    assert foreign_parts(condition) == []
    tables = G.join(S, S.c.survey_id == G.c.survey_id)
    statement = sa.select(G.c.galaxy_id).select_from(tables).where(condition)
    typed = written(condition).replace("%", "%%")
    with connection.begin_nested() as savepoint:
        connection.execute(sa.text("SET TRANSACTION READ ONLY"))
        rows = connection.scalars(statement).all()
        rows_as_typed = connection.exec_driver_sql(
            f"SELECT g.galaxy_id FROM galaxy AS g JOIN survey AS s USING (survey_id) WHERE {typed}"
        ).scalars()
        assert sorted(rows_as_typed) == sorted(rows)
        savepoint.rollback()


@_FUZZED
@example("survey = 'ring' OR type IN ('a'') OR TRUE --') AND type = 'x'")
@example("is_red AND NOT is_red")
@example("in_cone(ra, dec, 0, 0, 180) OR in_cone(ra, dec, 0, 1e-150, 1e-150)")
@example("in_box(ra, dec, 0, 360, -90, 90) AND in_polygon(0, 0, 1, 0, 0, 1)")
@example("in_polygon(359, -1, 1, -1, 1, 1, 359, 1) OR in_polygon(0, 89, 120, 89, 240, 89)")
@example("mag_g * mag_r > 1 OR object_id + 1 > 2 OR exp(mag_g) < 1")
@example("type LIKE '%\\\\%' OR type = ':x $1 %s ? %(a)s'")
@given(_conditions)
def test_any_cut_reads_what_it_may_and_no_row_makes_it_fail(galaxies: Connection, text: str):
    check(galaxies, text)


@_FUZZED
@given(_anything)
def test_any_text_is_refused_with_a_place_or_reads_what_it_may(galaxies: Connection, text: str):
    check(galaxies, text)


def test_the_check_runs_in_a_transaction_that_cannot_write(galaxies: Connection):
    with galaxies.begin_nested() as savepoint:
        galaxies.execute(sa.text("SET TRANSACTION READ ONLY"))
        with pytest.raises(sa.exc.DBAPIError, match="read-only transaction"):
            galaxies.execute(sa.text("DELETE FROM galaxy"))
        savepoint.rollback()


@pytest.mark.parametrize(
    "sql",
    [
        "pg_sleep(1) IS NULL",
        "g.mag_r < 18",
        "x.mag_r < ?",
        "g.ctid = ?",
        "g.mag_r < (SELECT 1)",
        "EXISTS (SELECT 1 FROM skylike.survey)",
        "CAST(g.type AS regclass) = ?",
    ],
)
def test_the_check_sees_what_no_cut_may_hold(sql: str):
    assert foreign_parts(sa.text(sql)) != []


def test_the_check_lets_an_ordinary_cut_pass():
    text = "mag_r < 18 AND type IN ('SER', 'DEV') OR NOT has_label('ring') AND is_red"
    condition = to_expression(parse_cut(text, GALAXY_KINDS, DERIVED), COLUMNS)

    assert foreign_parts(condition) == []
    assert not re.search(r"18|SER|ring", str(condition))

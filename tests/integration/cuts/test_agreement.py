"""Any cut chooses the same rows in PostgreSQL as in numpy, and none raises an error there."""

from collections.abc import Iterator

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, REAL

from skylike.cuts import (
    Derived,
    parse_cut,
    parse_definition,
    to_expression,
    to_mask,
    value_expression,
)
from skylike.cuts.kinds import kind_of_type
from skylike.cuts.written import written

TABLE = sa.Table(
    "cut_trial",
    sa.MetaData(),
    sa.Column("n", sa.Integer),
    sa.Column("a", REAL),
    sa.Column("b", REAL),
    sa.Column("d", DOUBLE_PRECISION),
    sa.Column("i", sa.Integer),
    sa.Column("big", sa.BigInteger),
    sa.Column("t", sa.Text),
    sa.Column("s", sa.Text),
    sa.Column("p", sa.Boolean),
    sa.Column("q", sa.Boolean),
    sa.Column("w", sa.DateTime(timezone=True)),
    sa.Column("ra", DOUBLE_PRECISION),
    sa.Column("dec", DOUBLE_PRECISION),
    prefixes=["TEMPORARY"],
)
KINDS = {column.name: kind_of_type(column.type) for column in TABLE.columns}
COLUMNS = {column.name: column for column in TABLE.columns}
ROWS = 60


def _derived() -> dict[str, Derived]:
    made: dict[str, Derived] = {}
    for text in (
        "sum = a + b",
        "bits = big & 4097",
        "bright = sum < 18.1 OR p",
        "word = coalesce(t, s)",
    ):
        one = parse_definition(text, KINDS, made)
        made[one.name] = one
    return made


DERIVED = _derived()


def _with_nulls(values: list[object], rng: np.random.Generator) -> list[object]:
    drawn = [values[k] for k in rng.integers(len(values), size=ROWS)]
    return [None if rng.random() < 0.15 else value for value in drawn]


def _values() -> dict[str, list[object]]:
    rng = np.random.default_rng(20)
    reals: list[object] = [
        float(np.float32(x)) for x in (0, 1, -1, 0.5, 18.1, 17.5, 22.5, -99, 1e38, 3e-39, -3.3e38)
    ]
    doubles: list[object] = [
        0.0,
        -1e-310,
        1.0,
        -2.5,
        18.1,
        1e-300,
        1e300,
        -1.7e308,
        5e-324,
        90.0,
        30.0,
    ]
    times: list[object] = [f"2026-0{month}-01T00:00:00+00:00" for month in range(1, 6)]
    texts: list[object] = ["SER", "ser", "DEV", "", "a%b", "a_b", "\u00c9t\u00e9", "a\\b", "zz\nz"]
    return {
        "n": list(range(ROWS)),
        "a": _with_nulls(reals, rng),
        "b": _with_nulls(reals, rng),
        "d": _with_nulls(doubles, rng),
        "i": _with_nulls([0, 1, -1, 4096, 5, 2**31 - 1], rng),
        "big": _with_nulls([0, 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)], rng),
        "t": _with_nulls(texts, rng),
        "s": _with_nulls(texts, rng),
        "p": _with_nulls([True, False], rng),
        "q": _with_nulls([True, False], rng),
        "w": _with_nulls(times, rng),
        "ra": rng.uniform(0, 360, ROWS).tolist(),
        "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, ROWS))).tolist(),
    }


def _masked(name: str, values: list[object]) -> np.ma.MaskedArray:
    null = [value is None for value in values]
    if name in {"t", "s"}:
        return np.ma.masked_array(np.array(["" if v is None else v for v in values]), null)
    if name in {"p", "q"}:
        return np.ma.masked_array(np.array([bool(v) for v in values]), null)
    if name == "w":
        plain = ["NaT" if v is None else str(v).removesuffix("+00:00") for v in values]
        return np.ma.masked_array(np.array(plain, dtype="datetime64[us]"), null)
    dtype = {"a": "f4", "b": "f4", "i": "i4", "n": "i4", "big": "i8"}.get(name, "f8")
    return np.ma.masked_array(np.array([0 if v is None else v for v in values], dtype), null)


VALUES = _values()
ARRAYS = {name: _masked(name, values) for name, values in VALUES.items()}


@pytest.fixture(scope="module")
def trial(template_url: sa.URL) -> Iterator[Connection]:
    from skylike.database.engine import make_engine

    engine: Engine = make_engine(template_url)
    with engine.connect() as connection:
        TABLE.create(connection)
        rows = [dict(zip(VALUES, row, strict=True)) for row in zip(*VALUES.values(), strict=True)]
        connection.execute(TABLE.insert(), rows)
        yield connection
        connection.rollback()
    engine.dispose()


def rows_in_sql(trial: Connection, text: str) -> list[int]:
    where = to_expression(parse_cut(text, KINDS, DERIVED), COLUMNS)
    return list(trial.scalars(sa.select(TABLE.c.n).where(where).order_by(TABLE.c.n)))


def rows_in_numpy(text: str) -> list[int]:
    return np.flatnonzero(to_mask(parse_cut(text, KINDS, DERIVED), ARRAYS)).tolist()


def rows_as_written(trial: Connection, text: str) -> list[int]:
    where = written(to_expression(parse_cut(text, KINDS, DERIVED), COLUMNS)).replace("%", "%%")
    return list(
        trial.exec_driver_sql(f"SELECT n FROM cut_trial WHERE {where} ORDER BY n").scalars()
    )


_CONSTANTS = ["0", "1", "2", "0.5", "18.1", "1e100", "1e-100", "30", "4096", "9007199254740993"]
_COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]
_TEXTS = [
    "'SER'",
    "'a%'",
    "''",
    "'%e_'",
    "'\u00e9T%'",
    r"'a\%b'",
    r"'%\\%'",
    "'%'",
    "'z%z'",
    "'se%'",
]
_leaves = st.sampled_from(["a", "b", "d", "i", "big", "dec", *_CONSTANTS, "-1", "-2.5"])


def _number_forms(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda x: f"({x[0]} {x[1]} {x[2]})"
    )
    chain = st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda x: f"{x[0]} {x[1]} {x[2]}")
    unary = st.tuples(
        st.sampled_from(
            ["-", "abs", "sqrt", "floor", "ceil", "round", "exp", "ln", "log10", "sind"]
        ),
        inner,
    ).map(lambda x: f"{x[0]}({x[1]})")
    power = st.tuples(inner, st.sampled_from(["2", "3", "0", "-1", "0.5", "-0.5", "40"])).map(
        lambda x: f"({x[0]}) ^ {x[1]}"
    )
    many = st.tuples(st.sampled_from(["least", "greatest", "coalesce"]), inner, inner).map(
        lambda x: f"{x[0]}({x[1]}, {x[2]})"
    )
    raised = inner.map(lambda x: f"power(10, {x})")
    bits = st.tuples(st.sampled_from(["i", "big", "a", "d"]), st.sampled_from(["1", "4097"])).map(
        lambda x: f"({x[0]} & {x[1]})"
    )
    return st.one_of(binary, chain, unary, power, many, raised, bits)


_numbers = st.recursive(_leaves, _number_forms, max_leaves=5)
_constants = st.lists(st.sampled_from(_CONSTANTS), min_size=1, max_size=4).map(", ".join)
_texts = st.sampled_from(["t", "s", "'SER'", "coalesce(t, s)", "coalesce(s, 'none')"])
_simple = st.one_of(
    st.tuples(_numbers, st.sampled_from(_COMPARISONS), _numbers).map(" ".join),
    st.tuples(_numbers, _numbers, _numbers).map(lambda x: f"{x[0]} BETWEEN {x[1]} AND {x[2]}"),
    st.tuples(_numbers, st.sampled_from(["IN", "NOT IN"]), _constants).map(
        lambda x: f"{x[0]} {x[1]} ({x[2]})"
    ),
    st.tuples(_numbers, st.sampled_from(["IS NULL", "IS NOT NULL"])).map(" ".join),
    st.tuples(_texts, st.sampled_from(_COMPARISONS), _texts).map(" ".join),
    st.tuples(
        _texts, st.sampled_from(["LIKE", "ILIKE", "NOT LIKE", "NOT ILIKE"]), st.sampled_from(_TEXTS)
    ).map(" ".join),
    st.tuples(_texts, st.lists(st.sampled_from(_TEXTS), min_size=1, max_size=3).map(", ".join)).map(
        lambda x: f"{x[0]} IN ({x[1]})"
    ),
    st.sampled_from(
        ["p", "q", "TRUE", "FALSE", "p IS TRUE", "q IS NOT FALSE", "p = q", "t IS NULL"]
    ),
    st.sampled_from(["w >= '2026-03-01'", "w IN ('2026-02-01')", "w = w", "w IS NULL"]),
    st.sampled_from(
        ["in_cone(ra, dec, 10, 20, 60)", "in_cone('0 -90', 45)", "in_cone('1 2', '99 deg')"]
    ),
    st.sampled_from(
        [
            "in_box(ra, dec, 300, 40, -60, 30)",
            "in_box('90 -5', '360 90')",
            "in_box(d, a, 0, 9, 0, 9)",
        ]
    ),
    st.sampled_from(
        [
            "in_polygon('310 -50', '60 -40', '40 60', '10 0', '330 50')",
            "in_polygon(ra, dec, 0, 40, 120, 45, 240, 50)",
            "in_polygon(d, i, 20, -1, 40, -2, 40, 20, 20, 19)",
        ]
    ),
    st.sampled_from(["bright", "sum > 2", "word = 'SER'", "sum = sum + bits"]),
)


def _condition_forms(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(" ".join)
    grouped = joined.map(lambda x: f"({x})")
    opposite = inner.map(lambda x: f"NOT ({x})")
    tested = st.tuples(inner, st.sampled_from(["IS NULL", "IS NOT TRUE", "IS FALSE", "= p"])).map(
        lambda x: f"({x[0]}) {x[1]}"
    )
    return st.one_of(joined, grouped, opposite, tested)


_conditions = st.recursive(_simple, _condition_forms, max_leaves=4)


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example("1 / (a - a) IS NULL")
@example("d * d * d > 0 OR d / 1e-100 > 1")
@example("exp(exp(exp(a))) > 1 OR exp(-d) = 0")
@example("big > 9007199254740992 AND big <> 9223372036854775807")
@example("big < 9223372036854775808")
@example("a + (b + d) = a + b + d")
@example("a - (b - i) > -(a - b)")
@example("t > s")
@example("a < 18.1 AND b >= 18.1")
@example("(p = q) IS NULL OR NOT (p AND q)")
@example("a IN (18.1, 17.5)")
@example("d > 0.1 + 0.2 OR d >= 1 / 3")
@example("round(2.5) = 2 AND power(2, 0.5) * sqrt(2) < d")
@example("i / 2 = 2.5 AND 5 / 2 - i < d")
@example("big & -9223372036854775808 <> 0")
@example("big & 9223372036854775807 = 9007199254740993")
@example("NOT in_box(d, a, 0, 9, 0, 9) OR in_cone(d, a, 0, 0, 9)")
@example("NOT in_cone(b, d, 1e-150, 0, 1e-150) AND NOT in_cone(d, d, 0, 0, 180)")
@example("NOT in_polygon(d, d, 358.5, -2, 1.5, -2, 1.5, 2, 358.5, 2)")
@example("in_box(ra, dec, 360, 360, -90, 90) OR in_box(ra, dec, 0, 360, 10, 90)")
@example("a - b < 1.2 AND -a - -2.5 > 3 - d")
@given(_conditions)
def test_a_cut_chooses_the_same_rows_in_postgresql_and_numpy(trial: Connection, text: str):
    rows = rows_in_numpy(text)
    assert rows_in_sql(trial, text) == rows
    assert rows_as_written(trial, text) == rows


_PLAIN = st.recursive(
    st.sampled_from(
        ["a < 18", "p", "q", "a = b", "i IN (0, 1)", "t LIKE 'a%'", "NOT q", "a IS NULL"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(" ".join),
        st.tuples(st.just("NOT"), inner).map(" ".join),
        inner.map(lambda x: f"({x})"),
    ),
    max_leaves=6,
)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example("-i ^ 2 > 0")
@example("2 ^ 3 ^ 2 = 64")
@example("1 + 2 * 3 - 4 = 3 AND 8 - 4 - 2 = 2")
@example("i & 4096 = 0")
@example("(NOT p) IS NULL")
@example("p = q IS NOT NULL")
@example("NOT a IS NULL")
@example("NOT a BETWEEN 1 AND 20 AND q")
@example("a NOT BETWEEN 1 AND 2 OR t NOT LIKE 'S%' AND p")
@given(_PLAIN)
def test_a_cut_means_what_postgresql_takes_its_text_for(trial: Connection, text: str):
    as_typed = trial.exec_driver_sql(
        f"SELECT n FROM cut_trial WHERE {text.replace('%', '%%')} ORDER BY n"
    )

    assert rows_in_sql(trial, text) == list(as_typed.scalars())


def test_a_cut_on_one_column_is_compared_so_that_its_index_serves(trial: Connection):
    trial.exec_driver_sql("CREATE INDEX cut_trial_a_idx ON cut_trial (a)")
    trial.exec_driver_sql("SET LOCAL enable_seqscan = off")
    where = to_expression(parse_cut("a < 18.1 AND a >= 17.5", KINDS), COLUMNS)
    compiled = (
        sa.select(TABLE.c.n)
        .where(where)
        .compile(trial.engine, compile_kwargs={"literal_binds": True})
    )

    plan = "\n".join(trial.exec_driver_sql(f"EXPLAIN {compiled}").scalars())

    trial.exec_driver_sql("SET LOCAL enable_seqscan = on")
    assert "Index Cond" in plan


def test_derived_columns_can_be_shown_beside_others(trial: Connection):
    shown = [value_expression(one.value, COLUMNS).label(one.name) for one in DERIVED.values()]
    shown += [value_expression(parse_definition("c = 18.1", KINDS).value, COLUMNS).label("c")]

    rows = trial.execute(sa.select(TABLE.c.a, TABLE.c.b, TABLE.c.big, *shown)).mappings().all()

    assert len(rows) == ROWS
    for row in rows:
        known = row["a"] is not None and row["b"] is not None
        assert (row["sum"] is not None) == known
        assert not known or row["sum"] == pytest.approx(row["a"] + row["b"])
        assert row["bits"] == (None if row["big"] is None else row["big"] & 4097)
        assert row["bright"] in {True, False, None}
        assert row["word"] is None or isinstance(row["word"], str)
        assert row["c"] == 18.1

"""ADQL against PostgreSQL: the rows that come back, and the plans that find them."""

from collections.abc import Callable
from threading import Timer

import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from sqlalchemy import Engine

from adql_factory import UPLOADS
from search_factory import Sky as Truth
from skylike.errors import AdqlError, DatabaseError
from skylike.interfaces.vo.adql import AdqlSchema, execute, translate

Ask = Callable[..., pa.Table]
Explain = Callable[[str], str]


def ids(rows: pa.Table, column: str = "galaxy_id") -> list[int]:
    return rows[column].to_pylist()


def positions(truth: Truth) -> SkyCoord:
    return SkyCoord(truth.ra, truth.dec, unit="deg")


def within(truth: Truth, ra: float, dec: float, radius: float) -> list[int]:
    apart = positions(truth).separation(SkyCoord(ra, dec, unit="deg")).deg
    return (np.flatnonzero(apart <= radius) + 1).tolist()


def test_schema_when_read_has_columns_with_units_and_no_other_encoder(schema: AdqlSchema):
    tables = {table.full_name: table for table in schema.tables}
    galaxy = {column.name: column for column in tables["skylike.galaxy"].columns}
    assert galaxy["ra"].unit == "deg"
    assert galaxy["ra"].ucd == "pos.eq.ra;meta.main"
    assert galaxy["ra"].is_indexed
    embedding = {column.name: column for column in tables["skylike.embedding"].columns}
    assert embedding["embedding"].datatype.arraysize == "24"
    assert "encoder_id" not in embedding


@pytest.mark.parametrize("center", [(10.0, 20.0, 8.0), (0.5, -3.0, 15.0), (200.0, 88.0, 12.0)])
@pytest.mark.parametrize(
    "condition",
    [
        "1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {}, {}, {}))",
        "CONTAINS(POINT(ra, dec), CIRCLE(POINT({}, {}), {})) > 0",
        "DISTANCE(ra, dec, {}, {}) <= {}",
        "INTERSECTS(CIRCLE({}, {}, {}), POINT(ra, dec)) = 1",
    ],
)
def test_circle_when_asked_in_any_way_gives_what_is_in_it(
    ask: Ask, truth: Truth, condition: str, center: tuple[float, float, float]
):
    rows = ask(f"SELECT galaxy_id FROM galaxy WHERE {condition.format(*center)} ORDER BY 1")
    assert ids(rows) == within(truth, *center)
    assert len(rows) > 5


def test_circle_when_negated_gives_all_others(ask: Ask, truth: Truth):
    rows = ask(
        "SELECT galaxy_id FROM galaxy WHERE 0 = CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 30))"
    )
    assert len(rows) == len(truth.ra) - len(within(truth, 10, 20, 30))


def test_box_when_asked_has_great_circles_for_sides(ask: Ask, truth: Truth):
    rows = ask(
        "SELECT galaxy_id FROM galaxy"
        " WHERE 1 = CONTAINS(POINT(ra, dec), BOX(0, 40, 30, 20)) ORDER BY galaxy_id"
    )
    frame = SkyCoord(0, 40, unit="deg").skyoffset_frame()
    local = positions(truth).transform_to(frame).cartesian
    x, y, z = local.x.value, local.y.value, local.z.value
    inside = (
        (x > 0)
        & (np.abs(y / x) <= np.tan(np.radians(15)))
        & (np.abs(z / x) <= np.tan(np.radians(10)))
    )
    assert ids(rows) == (np.flatnonzero(inside) + 1).tolist()
    assert len(rows) > 10


def test_circles_when_they_touch_a_polygon_intersect_it(ask: Ask, truth: Truth):
    rows = ask(
        "SELECT galaxy_id FROM galaxy WHERE"
        " 1 = INTERSECTS(CIRCLE(ra, dec, 3), POLYGON(10, -10, 40, -10, 40, 10, 10, 10))"
        " ORDER BY galaxy_id"
    )
    corners = [(10, -10), (40, -10), (40, 10), (10, 10)]
    edge = []
    for (ra, dec), (ra2, dec2) in zip(corners, corners[1:] + corners[:1], strict=True):
        one, other = SkyCoord(ra, dec, unit="deg"), SkyCoord(ra2, dec2, unit="deg")
        steps = np.linspace(0, 1, 2001) * one.separation(other)
        edge.append(one.directional_offset_by(one.position_angle(other), steps))
    places = positions(truth)
    nearest = np.min([places[:, None].separation(line).deg.min(axis=1) for line in edge], axis=0)
    inner = set(
        ids(
            ask(
                "SELECT galaxy_id FROM galaxy WHERE 1 = CONTAINS(POINT(ra, dec),"
                " POLYGON(10, -10, 40, -10, 40, 10, 10, 10))"
            )
        )
    )
    expected = {n + 1 for n in np.flatnonzero(nearest <= 3).tolist()} | inner
    assert ids(rows) == sorted(expected)
    assert len(expected) > len(inner) > 10


def test_tables_when_joined_by_a_circle_match_each_row(ask: Ask):
    rows = ask(
        "SELECT m.id, g.galaxy_id, DISTANCE(m.ra, m.DE, g.ra, g.dec) * 3600 AS sep"
        " FROM TAP_UPLOAD.mine AS m JOIN galaxy AS g"
        " ON 1 = CONTAINS(POINT(m.ra, m.DE), CIRCLE(g.ra, g.dec, 2./3600)) ORDER BY id"
    )
    assert ids(rows, "id") == ids(rows) == list(range(1, 51))
    assert rows["sep"].to_pylist() == pytest.approx([0.36] * 50, abs=1e-6)


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("1 = CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 0.5))", "galaxy_(healpix29|dec_ra)_idx"),
        ("DISTANCE(ra, dec, 10, 20) < 0.01", "galaxy_(healpix29|dec_ra)_idx"),
        ("1 = CONTAINS(POINT(ra, dec), POLYGON(1, 1, 2, 1, 2, 2))", "galaxy_dec_ra_idx"),
        ("mag_r < 14.1", "galaxy_mag_r_idx"),
        ("mag_r BETWEEN 15 AND 15.01", "galaxy_mag_r_idx"),
        ("galaxy_id = 17", "galaxy_pkey"),
    ],
)
def test_condition_when_an_index_serves_uses_it(explain: Explain, condition: str, index: str):
    plan = explain(f"SELECT galaxy_id, ra, mag_r FROM skylike.galaxy WHERE {condition}")
    assert pa.compute.match_substring_regex(pa.array([plan]), index).to_pylist() == [True], plan


@pytest.mark.parametrize(
    "condition",
    [
        "1 = CONTAINS(POINT(m.ra, m.DE), CIRCLE(g.ra, g.dec, 2./3600))",
        "1 = CONTAINS(POINT(g.ra, g.dec), CIRCLE(m.ra, m.DE, 2./3600))",
        "DISTANCE(g.ra, g.dec, m.ra, m.DE) < 2./3600",
        "DISTANCE(POINT(m.ra, m.DE), POINT(g.ra, g.dec)) < 2./3600",
    ],
)
def test_tables_when_joined_by_position_use_the_index_of_the_catalog(
    explain: Explain, condition: str
):
    plan = explain(f"SELECT m.id FROM TAP_UPLOAD.mine AS m, galaxy AS g WHERE {condition}")
    assert "galaxy_dec_ra_idx" in plan
    assert "Nested Loop" in plan


@pytest.mark.parametrize("direction", ["DESC", "ASC"])
def test_similarity_when_rows_are_ordered_by_it_is_the_search(
    ask: Ask, truth: Truth, schema: AdqlSchema, direction: str
):
    adql = (
        "SELECT TOP 20 galaxy_id, skylike_similarity(galaxy_id, 42) AS s, mag_r FROM galaxy"
        f" WHERE mag_r < 18 AND (type = 'PSF' OR mag_r > 15) ORDER BY s {direction}"
    )
    assert translate(adql, schema=schema, max_rows=100).similarity is not None
    rows = ask(adql)
    number = np.arange(1, len(truth.ra) + 1)
    among = (truth.mag_r < 18) & ((number % 2 == 0) | (truth.mag_r > 15)) & (number != 42)
    ranked = truth.ranked(truth.vectors[41], among=among)
    expected = ranked[:20] if direction == "DESC" else ranked[::-1][:20]
    assert ids(rows) == expected
    similarities = truth.similarities(truth.vectors[41])
    assert rows["s"].to_numpy() == pytest.approx([similarities[i - 1] for i in expected], abs=1e-12)


def test_similarity_when_there_is_a_circle_and_an_offset_is_the_search(ask: Ask, truth: Truth):
    rows = ask(
        "SELECT TOP 5 g.galaxy_id FROM skylike.galaxy AS g"
        " WHERE 1 = CONTAINS(POINT(g.ra, g.dec), CIRCLE(120, 10, 40))"
        " ORDER BY skylike_similarity(g.galaxy_id, 7) DESC, g.galaxy_id OFFSET 3"
    )
    among = np.isin(np.arange(1, len(truth.ra) + 1), within(truth, 120, 10, 40))
    among[6] = False
    assert ids(rows) == truth.ranked(truth.vectors[6], among=among)[3:8]


def test_similarity_when_it_cannot_be_rewritten_gives_the_same_rows(
    ask: Ask, truth: Truth, schema: AdqlSchema
):
    # A join is no cut.
    adql = (
        "SELECT TOP 8 g.galaxy_id FROM galaxy AS g JOIN skylike.embedding AS e"
        " ON e.galaxy_id = g.galaxy_id WHERE mag_r < 17"
        " ORDER BY skylike_similarity(g.galaxy_id, 42) DESC"
    )
    assert translate(adql, schema=schema, max_rows=100).similarity is None
    among = (truth.mag_r < 17) & (np.arange(1, len(truth.ra) + 1) != 42)
    assert ids(ask(adql)) == truth.ranked(truth.vectors[41], among=among)[:8]


def test_similarity_when_it_is_a_value_is_the_cosine(ask: Ask, truth: Truth):
    rows = ask(
        "SELECT galaxy_id, skylike_similarity(galaxy_id, 42) AS s FROM galaxy"
        " WHERE galaxy_id < 50 AND skylike_similarity(galaxy_id, 42) > 0.2 ORDER BY galaxy_id"
    )
    similarities = truth.similarities(truth.vectors[41])[:49]
    assert ids(rows) == (np.flatnonzero(similarities > 0.2) + 1).tolist()
    assert 42 in ids(rows)


def test_embeddings_when_selected_are_arrays_of_fixed_size(ask: Ask, truth: Truth):
    rows = ask("SELECT galaxy_id, embedding FROM skylike.embedding ORDER BY galaxy_id")
    assert rows.schema.field("embedding").type == pa.list_(pa.float32(), 24)
    vectors = np.stack([np.array(row) for row in rows["embedding"].to_pylist()])
    assert (vectors == truth.vectors.astype(np.float32)).all()


def test_rows_when_there_are_more_than_allowed_are_cut_and_marked(
    reader: Engine, schema: AdqlSchema
):
    def asked(adql: str, max_rows: int) -> tuple[int, bool]:
        rows = execute(reader, translate(adql, schema=schema, max_rows=max_rows))
        return pa.concat_tables(rows).num_rows, rows.is_overflow

    assert asked("SELECT galaxy_id FROM galaxy", 10) == (10, True)
    assert asked("SELECT TOP 10 galaxy_id FROM galaxy", 10) == (10, False)
    assert asked("SELECT TOP 0 galaxy_id FROM galaxy", 10) == (0, False)
    assert asked("SELECT galaxy_id FROM galaxy", 0) == (0, True)
    nearest = "SELECT TOP 30 galaxy_id FROM galaxy ORDER BY skylike_similarity(galaxy_id, 1) DESC"
    assert asked(nearest, 10) == (10, True)


def test_query_when_it_takes_too_long_ends_with_a_sentence(ask: Ask):
    with pytest.raises(DatabaseError, match=r"took longer than 0\.3 s"):
        ask("SELECT COUNT(*) FROM galaxy a, galaxy b, galaxy c", timeout_s=0.3)


def test_query_when_cancelled_ends_at_once(reader: Engine, schema: AdqlSchema):
    adql = "SELECT COUNT(*) FROM galaxy a, galaxy b, galaxy c"
    rows = execute(reader, translate(adql, schema=schema, max_rows=1))
    timer = Timer(0.3, rows.cancel)
    timer.start()
    with pytest.raises(DatabaseError, match="cancelled"):
        list(rows)
    timer.join()


def test_query_when_a_row_fails_says_so_without_our_names(ask: Ask):
    with pytest.raises(AdqlError, match="invalid input syntax for type integer"):
        ask("SELECT CAST(type AS INTEGER) FROM galaxy")
    with pytest.raises(AdqlError, match='column "mag_r" must appear in the GROUP BY') as caught:
        ask("SELECT type, mag_r FROM galaxy GROUP BY type")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("SQRT(-4)", None),
        ("SQRT(0)", 0.0),
        ("LOG(0)", None),
        ("LOG10(1000.)", 3.0),
        ("LOG(EXP(2))", 2.0),
        ("EXP(1e5)", None),
        ("ACOS(1)", 0.0),
        ("ACOS(1.1)", None),
        ("ASIN(-1.1)", None),
        ("7 / 2", 3),
        ("7. / 2", 3.5),
        ("galaxy_id / 0", None),
        ("MOD(7, 3)", 1),
        ("MOD(7.5, 2)", 1.5),
        ("MOD(7, 0)", None),
        ("ROUND(2.345, 2)", 2.35),
        ("TRUNCATE(-2.7)", -2.0),
        ("CEILING(2.1)", 3.0),
        ("POWER(2, 10)", 1024.0),
        ("POWER(-2, 3)", -8.0),
        ("POWER(-2, 0.5)", None),
        ("POWER(0, -1)", None),
        ("POWER(10, -0.4 * 2.5)", 0.1),
        ("0xFF & 0x0F", 15),
        ("5 ^ 1", 4),
        ("4 | 1", 5),
        ("~0", -1),
        ("'a''b' || '--c'", "a'b--c"),
        ("UPPER('abC') || LOWER('D')", "ABCd"),
        ("COALESCE(z_spec, 1.5)", 1.5),
        ("CAST('12' AS INTEGER)", 12),
        ("CAST(12.5 AS VARCHAR)", "12.5"),
        ("CAST('abcdef' AS CHAR(3))", "abc"),
        ("IN_UNIT(ra - ra + ra, 'arcsec') / ra", 3600.0),
        ("AREA(CIRCLE(0, 0, 180))", 41252.96124941927),
        ("AREA(POLYGON(0, 0, 90, 0, 0, 90))", 41252.96124941927 / 8),
        ("COORD1(POINT(370, 5))", 10.0),
        ("COORD2(CENTROID(CIRCLE(1, 2, 3)))", 2.0),
        ("COORDSYS(POINT(1, 2))", "ICRS"),
        ("DISTANCE(POINT(0, 0), POINT(0, 1))", 1.0),
        ("ivo_nocasematch('Abc', 'ab%')", 1),
        ("ivo_hasword('a red Galaxy', 'galaxy')", 1),
        ("ivo_hashlist_has('a#b', 'B')", 1),
        ("CONTAINS(CIRCLE(10, 0, 1), CIRCLE(10.5, 0, 2))", 1),
        ("CONTAINS(CIRCLE(10, 0, 1), POLYGON(5, -5, 15, -5, 15, 5, 5, 5))", 1),
        ("CONTAINS(CIRCLE(10, 4.5, 1), POLYGON(5, -5, 15, -5, 15, 5, 5, 5))", 0),
        ("CONTAINS(BOX(10, 0, 1, 1), CIRCLE(10, 0, 1))", 1),
        ("INTERSECTS(CIRCLE(10, 0, 1), CIRCLE(13, 0, 1))", 0),
    ],
)
def test_expression_when_evaluated_gives_its_value(ask: Ask, expression: str, expected: object):
    (value,) = ask(f"SELECT TOP 1 {expression} AS x FROM galaxy")["x"].to_pylist()
    assert value == (pytest.approx(expected, abs=1e-9) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(
    ("adql", "expected"),
    [
        ("SELECT COUNT(*) FROM galaxy", [3000]),
        ("SELECT COUNT(DISTINCT type) FROM galaxy", [1]),
        ("SELECT COUNT(*) FROM galaxy GROUP BY type ORDER BY type", [1500, 1500]),
        ("SELECT galaxy_id FROM galaxy WHERE galaxy_id IN (3, 1) ORDER BY galaxy_id DESC", [3, 1]),
        ("SELECT MIN(galaxy_id) FROM galaxy HAVING COUNT(*) > 5", [1]),
        ("SELECT SUM(galaxy_id) FROM galaxy WHERE galaxy_id < 4", [6]),
        ("SELECT TOP 2 galaxy_id FROM galaxy ORDER BY galaxy_id OFFSET 5", [6, 7]),
        ("SELECT galaxy_id FROM galaxy WHERE galaxy_id < 3 UNION SELECT 2 FROM galaxy", [1, 2]),
        (
            "SELECT galaxy_id FROM galaxy WHERE galaxy_id < 5"
            " EXCEPT SELECT galaxy_id FROM galaxy WHERE galaxy_id < 3 ORDER BY galaxy_id",
            [3, 4],
        ),
        (
            "WITH q AS (SELECT TOP 3 galaxy_id AS n FROM galaxy ORDER BY n) SELECT n FROM q",
            [1, 2, 3],
        ),
        (
            "SELECT id FROM TAP_UPLOAD.mine AS m WHERE NOT EXISTS"
            " (SELECT 1 FROM galaxy AS g WHERE g.galaxy_id = m.id AND m.id > 2)",
            [1, 2],
        ),
        ("SELECT n FROM (SELECT galaxy_id AS n FROM galaxy) AS q WHERE n < 3 ORDER BY n", [1, 2]),
        ("SELECT COUNT(*) FROM galaxy LEFT JOIN TAP_UPLOAD.mine ON id = galaxy_id", [3000]),
        ("SELECT COUNT(id) FROM galaxy LEFT OUTER JOIN TAP_UPLOAD.mine ON id = galaxy_id", [50]),
        ("SELECT COUNT(*) FROM galaxy NATURAL JOIN skylike.embedding", [3000]),
        ("SELECT COUNT(ra) FROM galaxy FULL JOIN skylike.embedding USING (galaxy_id)", [3000]),
        ("SELECT galaxy_id FROM galaxy WHERE type LIKE 'P%' AND galaxy_id < 5", [2, 4]),
        (r"SELECT galaxy_id FROM galaxy WHERE type ILIKE 'p\_F'", []),
        ("SELECT galaxy_id FROM galaxy WHERE type IS NULL AND galaxy_id <= 3", [1, 3]),
        ("SELECT COUNT(*) FROM galaxy WHERE updated_at > '2020-01-01'", [3000]),
        (
            "SELECT COUNT(*) FROM galaxy WHERE ivo_healpix_index(0, ra, dec) BETWEEN 0 AND 11",
            [3000],
        ),
        (
            "SELECT ROUND(mag_r) + 1 - 1 FROM galaxy WHERE galaxy_id < 1 GROUP BY ROUND(mag_r) + 1",
            [],
        ),
    ],
)
def test_query_when_run_gives_its_rows(ask: Ask, adql: str, expected: list[int]):
    rows = ask(adql)
    found = rows.column(0).to_pylist()
    assert (found if "ORDER" in adql else sorted(found)) == expected


def test_columns_when_they_come_from_tables_keep_their_meaning(schema: AdqlSchema):
    translated = translate(
        "SELECT q.*, DISTANCE(q.r, d, 1, 2) AS sep FROM"
        " (SELECT ra AS r, dec AS d, mag_r FROM galaxy) AS q",
        schema=schema,
        max_rows=10,
        uploads=UPLOADS,
    )
    first, _, magnitude, apart = translated.columns
    assert (first.name, first.table, first.column) == ("r", "skylike.galaxy", "ra")
    assert (first.unit, first.ucd) == ("deg", "pos.eq.ra;meta.main")
    assert (magnitude.unit, magnitude.datatype.votable) == ("mag", "float")
    assert (apart.table, apart.unit, apart.ucd) == (None, "deg", "pos.angDistance")

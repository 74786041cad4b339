"""ADQL to SQL, without a database: names, kinds, parameters and errors that point."""

import pytest

from adql_factory import SCHEMA, UPLOADS
from skylike.errors import AdqlError
from skylike.interfaces.vo.adql import (
    FEATURES,
    USER_FUNCTIONS,
    AdqlColumn,
    AdqlSchema,
    AdqlTable,
    Translated,
    translate,
)
from skylike.interfaces.vo.adql.functions import FUNCTIONS
from skylike.interfaces.vo.adql.geometry import GEOMETRY
from skylike.interfaces.vo.adql.schema import INT


def translated(adql: str, *, max_rows: int = 1000) -> Translated:
    return translate(adql, schema=SCHEMA, max_rows=max_rows, uploads=UPLOADS)


def where_of(condition: str) -> str:
    sql = translated(f"SELECT ra FROM galaxy WHERE {condition}").sql
    return sql.partition(" WHERE ")[2].removesuffix(" LIMIT 1001")


def test_sql_when_made_names_only_tables_and_columns_of_the_schema():
    found = translated('SELECT g.ra AS "Right, Ascension", DEC FROM SkyLike.GALAXY AS g')
    assert found.sql == (
        'SELECT t1."ra" AS c1, t1."dec" AS c2 FROM "skylike"."galaxy" AS t1 LIMIT 1001'
    )
    assert [column.name for column in found.columns] == ["Right, Ascension", "DEC"]
    assert found.columns[0].unit == "deg"


@pytest.mark.parametrize(
    ("adql", "limit"),
    [
        ("SELECT TOP 5 ra FROM galaxy", "LIMIT 5"),
        ("SELECT TOP 5000 ra FROM galaxy", "LIMIT 1001"),
        ("SELECT TOP 0 ra FROM galaxy", "LIMIT 0"),
        ("SELECT ra FROM galaxy OFFSET 7", "LIMIT 1001 OFFSET 7"),
        ("SELECT DISTINCT TOP 3 ra FROM galaxy ORDER BY ra DESC", "ORDER BY 1 DESC LIMIT 3"),
        ("SELECT TOP 2 ra FROM galaxy UNION ALL SELECT TOP 3 dec FROM galaxy", "LIMIT 1001"),
        ("SELECT ra FROM galaxy;", "LIMIT 1001"),
    ],
)
def test_sql_when_made_has_a_limit(adql: str, limit: str):
    assert translated(adql).sql.endswith(limit)


def test_sides_of_a_union_when_each_has_a_top_keep_it():
    sql = translated("SELECT TOP 2 ra FROM galaxy UNION SELECT TOP 3 dec FROM galaxy").sql
    assert "LIMIT 2) UNION (SELECT" in sql
    assert "LIMIT 3) LIMIT 1001" in sql


def test_names_when_quoted_keep_their_case():
    columns = (AdqlColumn("Mag", INT), AdqlColumn("mag", INT))
    schema = AdqlSchema((AdqlTable("s", "T", ("s", "T"), columns),))
    found = translate('SELECT "Mag", mag FROM "T"', schema=schema, max_rows=1)
    assert found.sql.startswith('SELECT t1."Mag" AS c1, t1."mag" AS c2 FROM "s"."T"')
    assert [column.name for column in found.columns] == ["Mag", "mag_2"]
    with pytest.raises(AdqlError, match="there is no table t"):
        translate('SELECT mag FROM "t"', schema=schema, max_rows=1)
    with pytest.raises(AdqlError, match="more than one table"):
        translate("SELECT MAG FROM T", schema=schema, max_rows=1)


@pytest.mark.parametrize(
    ("condition", "sql"),
    [
        ("mag_r < 17.5", "(t1.\"mag_r\" < double precision '17.5')"),
        ("galaxy_id = 0x10", '(t1."galaxy_id" = 16)'),
        ("mag_r BETWEEN 1 AND 2", '(t1."mag_r" >= 1 AND t1."mag_r" <= 2)'),
        ("galaxy_id NOT IN (1, -2)", '(NOT (t1."galaxy_id" IN (1, (-2))))'),
        ("type IS NOT NULL", '(NOT (t1."type" IS NULL))'),
        ("ra > 1 AND dec > 2 AND ra < 3", '((t1."ra" > 1) AND (t1."dec" > 2) AND (t1."ra" < 3))'),
        ("ra < 2 * 3 + 1", '(t1."ra" < 7)'),
        ("ra < 1/3600.", "(t1.\"ra\" < double precision '0.0002777777777777778')"),
        ("ra < -7/2", '(t1."ra" < (-3))'),
        ("'a' = type", '(CAST(%(p1)s AS text) = t1."type")'),
    ],
)
def test_condition_when_translated_leaves_columns_bare(condition: str, sql: str):
    assert where_of(condition) == sql


def test_reals_when_reckoned_with_are_doubles():
    sql = translated("SELECT mag_g - mag_r FROM galaxy").sql
    assert 'CAST(t1."mag_g" AS double precision) - CAST(t1."mag_r" AS double precision)' in sql


def test_constants_when_sorted_or_grouped_by_are_no_places():
    sql = translated("SELECT COUNT(*) FROM galaxy GROUP BY 1 + 4 ORDER BY 1 + 1").sql
    assert "GROUP BY (5 + 0) ORDER BY (2 + 0) ASC" in sql


def test_texts_when_equal_are_one_parameter():
    found = translated("SELECT type || 'x' AS a FROM galaxy GROUP BY type || 'x' ORDER BY 1")
    assert dict(found.parameters) == {"p1": "x"}


@pytest.mark.parametrize(
    ("condition", "is_negated"),
    [
        ("1 = CONTAINS({})", False),
        ("CONTAINS({}) = 1", False),
        ("CONTAINS({}) <> 0", False),
        ("0 < CONTAINS({})", False),
        ("CONTAINS({}) = 0", True),
        ("CONTAINS({}) <> 1", True),
        ("NOT CONTAINS({}) = 1", True),
    ],
)
def test_circle_when_compared_is_a_cone_with_ranges(condition: str, *, is_negated: bool):
    sql = where_of(condition.format("POINT('ICRS', ra, dec), CIRCLE('ICRS', -10, 2, 0.5)"))
    assert 'skylike.in_cone(t1."ra", t1."dec", double precision \'350.0\', 2,' in sql
    assert 't1."healpix29" BETWEEN' in sql
    assert sql.count("NOT") == is_negated


def test_circle_around_a_row_when_joined_asks_the_indexed_table():
    for condition in (
        "1 = CONTAINS(POINT(m.ra, m.DE), CIRCLE(g.ra, g.dec, 0.1))",
        "1 = CONTAINS(POINT(g.ra, g.dec), CIRCLE(m.ra, m.DE, 0.1))",
    ):
        sql = translated(
            f"SELECT m.id FROM TAP_UPLOAD.mine AS m JOIN galaxy AS g ON {condition}"
        ).sql
        assert 'skylike.in_cone(t2."ra", t2."dec", t1."ra", t1."de", ' in sql


def test_table_of_all_encoders_when_named_has_rows_of_one():
    sql = translated("SELECT embedding FROM skylike.embedding").sql
    assert '(SELECT * FROM "skylike"."embedding" WHERE encoder_id = 3) AS t1' in sql


@pytest.mark.parametrize(
    ("adql", "where", "cone"),
    [
        ("", None, None),
        ("WHERE mag_r < 18", '"mag_r" < 18', None),
        (
            "WHERE mag_g - mag_r > -0.5 AND NOT (type = 'a''b' OR z_spec IS NULL)",
            '("mag_g" - "mag_r") > (-0.5) AND (NOT (("type" = \'a\'\'b\' OR ("z_spec" IS NULL))))',
            None,
        ),
        (
            "WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 3)) AND maskbits & 0x8 = 0",
            '("maskbits" & 8) = 0',
            (10, 20, 3),
        ),
        (
            "WHERE mag_r < 1 OR 0 = CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 3))",
            '("mag_r" < 1 OR (NOT in_cone(ra, dec, 10.0, 20.0, 3.0)))',
            None,
        ),
        (r"WHERE type LIKE 'a\_%'", r"""("type" LIKE 'a\\_%')""", None),
        ("WHERE LOG10(mag_r) > 1 AND galaxy_id IN (1, 2)", None, None),
    ],
)
def test_search_when_a_cut_says_the_same_is_found(
    adql: str, where: str | None, cone: tuple[float, float, float] | None
):
    found = translated(
        f"SELECT TOP 10 galaxy_id, skylike_similarity(galaxy_id, 42) AS s FROM galaxy {adql}"
        " ORDER BY s DESC OFFSET 2"
    )
    search = found.similarity
    assert search is not None
    assert (search.galaxy_id, search.k, search.offset, search.least_similar) == (42, 10, 2, False)
    if "LOG10" in adql:
        where = 'log10("mag_r") > 1 AND "galaxy_id" IN (1, 2)'
    assert search.where == where
    place = None if search.cone is None else (search.cone.ra, search.cone.dec, search.cone.radius)
    assert place == cone
    assert "similarity(" not in found.sql
    assert found.sql.endswith("ORDER BY found.place")


@pytest.mark.parametrize(
    "adql",
    [
        # Whole numbers divide otherwise; texts are ordered otherwise; times are no part of cuts.
        "SELECT TOP 9 ra FROM galaxy WHERE galaxy_id / 2 = 4 {}",
        "SELECT TOP 9 ra FROM galaxy WHERE type < 'b' {}",
        "SELECT TOP 9 ra FROM galaxy WHERE updated_at > '2026-01-01' {}",
        "SELECT TOP 9 ra FROM galaxy WHERE galaxy_id IN (SELECT id FROM TAP_UPLOAD.mine) {}",
        # Not the galaxies themselves.
        "SELECT DISTINCT TOP 9 ra, skylike_similarity(galaxy_id, 42) AS s FROM galaxy ORDER BY 2",
        "SELECT TOP 9 g.ra FROM galaxy AS g JOIN TAP_UPLOAD.mine AS m ON m.id = g.galaxy_id {}",
        "SELECT TOP 9 ra FROM (SELECT ra, galaxy_id FROM galaxy) AS q {}",
        "SELECT TOP 9 q.galaxy_id FROM skylike.embedding AS q {}",
        # More than a search gives, or ordered by more.
        "SELECT TOP 20000 ra FROM galaxy {}",
        "SELECT TOP 9 ra FROM galaxy {}, ra",
        "SELECT TOP 9 ra FROM galaxy ORDER BY ra, skylike_similarity(galaxy_id, 42) DESC",
        "SELECT TOP 0 ra FROM galaxy {}",
    ],
)
def test_search_when_no_cut_says_the_same_is_left_to_sql(adql: str):
    order = "ORDER BY skylike_similarity(galaxy_id, 42) DESC"
    found = translated(adql.format(order), max_rows=50_000)
    assert found.similarity is None
    assert "skylike.similarity(" in found.sql


@pytest.mark.parametrize(
    ("adql", "position", "reason"),
    [
        ("SELECT magr FROM galaxy", 7, "no column magr here; did you mean mag_r"),
        ("SELECT ra FROM galaxies", 15, "did you mean skylike.galaxy"),
        ("SELECT ra FROM galaxy WHERE\n  ra < 'x'", 30, "number cannot be compared with a text"),
        ("SELECT foo(ra) FROM galaxy", 7, "no function FOO"),
        ("SELECT ra FROM galaxy LIMIT 5", 22, "SELECT TOP 10"),
        ("SELECT distance FROM galaxy", 7, 'write it "distance"'),
        ("SELECT ra FROM galaxy AS a, galaxy AS b", 7, "more than one table"),
        ("SELECT ra FROM galaxy AS a, galaxy AS a", 28, "two tables are called a"),
        ("SELECT ra FROM galaxy WHERE ra", 28, "condition is needed"),
        ("SELECT ra FROM galaxy ORDER BY 2", None, "no column 2"),
        ("SELECT ABS(ra, dec) FROM galaxy", 7, "1 arguments, not 2"),
        ("SELECT ABS(type) FROM galaxy", 7, "takes numbers"),
        ("SELECT POINT(0, 91) FROM galaxy", 7, "-90 to 90"),
        ("SELECT CIRCLE('GALACTIC', 1, 2, 3) FROM galaxy", 7, "ICRS here, not GALACTIC"),
        ("SELECT BOX(ra, dec, 1, 1) FROM galaxy", 7, "numbers written out"),
        ("SELECT POLYGON(0, 0, 1, 1) FROM galaxy", 7, "POLYGON"),
        ("SELECT AREA(ra) FROM galaxy", 7, "takes a CIRCLE"),
        ("SELECT ra FROM galaxy UNION SELECT ra, dec FROM galaxy", 7, "one side has 1"),
        ("SELECT ra FROM galaxy UNION SELECT type FROM galaxy", 7, "differ in the kind"),
        ("SELECT ra FROM (SELECT ra FROM galaxy)", 23, "needs a name"),
        ("SELECT skylike_similarity(ra, 42) FROM galaxy", 7, "two values of galaxy_id"),
        ("SELECT IN_UNIT(ra, 'kg') FROM galaxy", 7, "cannot be given in kg"),
        ("SELECT RAND(5) FROM galaxy", 7, "no seed"),
        ("SELECT 1", None, "FROM is missing"),
        ("SELECT ra, FROM galaxy", 9, "after the comma"),
        ("SELECT FROM galaxy", None, "after SELECT"),
        ("SELECT ra FROM galaxy GROUP BY", None, "after GROUP BY"),
    ],
)
def test_query_when_wrong_is_refused_at_its_place(adql: str, position: int | None, reason: str):
    with pytest.raises(AdqlError) as caught:
        translated(adql)
    assert reason in str(caught.value)
    if position is not None:
        assert caught.value.position == position


def test_error_when_shown_is_one_line_with_its_place():
    with pytest.raises(AdqlError) as caught:
        translated("SELECT ra\nFROM galaxy\nWHERE\n  magr < 18")
    assert "(line 4, column 3, at 'magr < 18')" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_when_they_have_no_names_get_some():
    found = translated('SELECT ra + 1, COUNT(*), MAX(mag_r), ra AS "count" FROM galaxy GROUP BY ra')
    assert [column.name for column in found.columns] == ["col_1", "count", "max", "count_2"]
    largest = found.columns[2]
    assert (largest.unit, largest.ucd) == ("mag", "phot.mag;em.opt.R;stat.max")
    assert (largest.table, largest.column) == (None, None)


def test_geometries_when_selected_are_arrays_of_their_type():
    found = translated("SELECT POINT(ra, dec) AS p, CIRCLE(ra, dec, 1) AS c FROM galaxy")
    kinds = [(one.datatype.arraysize, one.datatype.xtype) for one in found.columns]
    assert kinds == [("2", "point"), ("3", "circle")]


def test_features_when_declared_are_there():
    declared = {form.lower() for form in FEATURES["ivo://ivoa.net/std/TAPRegExt#features-adqlgeo"]}
    assert declared <= GEOMETRY.keys()
    own = {form.partition("(")[0] for form in USER_FUNCTIONS}
    known = FUNCTIONS.keys() | GEOMETRY.keys()
    assert own == {name for name in known if name.startswith(("ivo_", "skylike_"))}

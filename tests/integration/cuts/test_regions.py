"""Boxes and polygons in SQL: as in numpy, with the index, and refused where they are none."""

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from skylike.cuts import GALAXY_KINDS, parse_cut, to_expression, to_mask
from skylike.cuts.polygon import Vertex, check_polygon
from skylike.cuts.written import written
from skylike.database.copy import copy_into
from skylike.database.tables import galaxy
from skylike.errors import CoordinateError

OVER_A_POLE = [(20, -70, 200, -80, 300, -60), (200, 85, 20, 85, 20, 40, 110, 40)]
POLYGONS = [
    (10, 20, 30, 20, 30, 40, 10, 40),
    (350, -10, 12, -12, 5, 0, 14, 9, 352, 11, 1, 1),
    (0, 60, 90, 62, 180, 61, 270, 63),
    (100, -89.5, 220, -89.8, 340, -89.2),
    (0, 1, 60, 2, 120, 1, 180, 2, 240, 1, 300, 2),
    (105, -10, 190, -10, 275, -10, 275, 80, 105, 80),
    (45, 45, 45.0009, 45, 45.0007, 45.0008),
    (310, -1.2, 335, -1.2, 0, -1.2, 25, -1.2, 50, -1.2, 50, 1.2, 0, 1.2, 310, 1.2),
    *OVER_A_POLE,
]


@pytest.fixture
def sky(connection: Connection) -> tuple[Connection, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    ra = rng.uniform(0, 360, 20_000)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    near = np.concatenate([np.array(polygon).reshape(-1, 2) for polygon in POLYGONS])
    for scale in (1e-4, 1e-4, 2e-4, 5e-4, 1.0, 10.0):
        ra = np.concatenate([ra, (near[:, 0] + rng.normal(0, scale, len(near))) % 360])
        beside = near[:, 1] + rng.normal(0, scale, len(near))
        dec = np.concatenate([dec, np.clip(beside, -90, 90)])
    ra = np.concatenate([ra, [0, 123, 0, 77]])
    dec = np.concatenate([dec, [90, 90, -90, -90]])
    connection.execute(sa.text('CREATE TABLE point (ra double precision, "dec" double precision)'))
    copy_into(connection, "point", pa.table({"ra": ra, "dec": dec}))
    return connection, ra, dec


@pytest.mark.parametrize("numbers", POLYGONS, ids=lambda numbers: f"from {numbers[:2]}")
def test_in_polygon_when_asked_in_sql_then_is_as_in_numpy(sky, numbers: tuple[float, ...]):
    connection, ra, dec = sky
    text = ", ".join(str(number) for number in numbers)
    mask = to_mask(parse_cut(f"in_polygon({text})", GALAXY_KINDS), {"ra": ra, "dec": dec})

    inside = connection.scalars(
        sa.text('SELECT in_polygon(ra, "dec", :vertices) FROM point ORDER BY ctid'),
        {"vertices": [float(number) for number in numbers]},
    ).all()

    # An edge that passes over a pole has it on both sides.
    clear = (np.abs(dec) < 90) | (numbers not in OVER_A_POLE)
    np.testing.assert_array_equal(np.array(inside)[clear], mask[clear])
    assert mask.any()
    assert not mask.all()


@pytest.mark.parametrize(
    "edges",
    [(10, 20, -5, 5), (350, 10, -90, 90), (0, 360, 80, 90), (300, 360, -10, 0), (5, 5, 0, 0)],
)
def test_in_box_when_asked_in_sql_then_is_as_in_numpy(sky, edges: tuple[float, ...]):
    connection, ra, dec = sky
    text = ", ".join(str(edge) for edge in edges)
    mask = to_mask(parse_cut(f"in_box(ra, dec, {text})", GALAXY_KINDS), {"ra": ra, "dec": dec})

    inside = connection.scalars(
        sa.text(f'SELECT in_box(ra, "dec", {text}) FROM point ORDER BY ctid')
    ).all()

    np.testing.assert_array_equal(inside, mask)


@pytest.mark.parametrize(
    ("vertices", "reason"),
    [
        ("{0,0,10,0}", "3 vertices or more"),
        ("{0,0,10,0,10}", "right ascension and declination of each vertex"),
        ("{}", "right ascension and declination of each vertex"),
        ("{{0,0},{10,0},{10,10}}", "right ascension and declination of each vertex"),
        ("{0,0,10,0,10,NULL}", "right ascension and declination of each vertex"),
        ("{0,0,10,0,10,95}", "declinations within -90 to 90"),
        ("{0,0,NaN,0,10,9}", "right ascensions within 0 to 360"),
        ("{0,0,10,10,10,0,0,10}", "touches or crosses itself"),
        ("{0,0,0,0,10,0,10,10}", "touches or crosses itself"),
        ("{0,0,120,0,240,0}", "half of the sky"),
    ],
)
def test_in_polygon_when_it_is_none_then_sql_says_why(
    connection: Connection, vertices: str, reason: str
):
    with pytest.raises(DBAPIError, match=reason):
        connection.exec_driver_sql(f"SELECT in_polygon(1, 1, '{vertices}')")


def test_in_polygon_when_unknown_then_is_null(connection: Connection):
    answer = connection.exec_driver_sql(
        "SELECT in_polygon(1, 1, NULL), in_polygon(NULL, 1, '{0,0,10,0,5,5}')"
    ).one()

    assert tuple(answer) == (None, None)


def test_random_polygons_when_accepted_by_a_cut_then_are_accepted_by_the_server(
    connection: Connection,
):
    rng = np.random.default_rng(9)
    accepted = 0
    for _ in range(150):
        n, scale = int(rng.integers(3, 7)), 10.0 ** rng.uniform(-3, 2)
        ra = (rng.choice([0, 90, 211]) + rng.normal(0, scale, n)) % 360
        dec = np.clip(rng.choice([-89, 0, 60]) + rng.normal(0, scale, n), -90, 90)
        vertices = [Vertex(float(x), float(y)) for x, y in zip(ra, dec, strict=True)]
        try:
            checked = check_polygon(vertices)
        except CoordinateError:
            continue
        accepted += 1
        numbers = [number for vertex in checked for number in vertex]
        connection.execute(sa.text("SELECT polygon_plane(:v)"), {"v": numbers})
    assert accepted > 40


@pytest.mark.parametrize(
    "cut",
    [
        "in_box('150 2', '150.5 2.5')",
        "in_box(ra, dec, 359.9, 0.1, 2, 2.5)",
        "in_polygon('150 2', '150.5 2', '150.2 2.4')",
        "in_polygon('359.8 2', '0.2 2', '0 2.4')",
        "in_cone('150 2', '0.3 deg') AND mag_r IS NULL",
    ],
)
def test_a_region_when_small_then_the_index_on_dec_and_ra_is_used(connection: Connection, cut: str):
    connection.execute(sa.text("INSERT INTO survey (name) VALUES ('test')"))
    connection.execute(
        sa.text(
            'INSERT INTO galaxy (galaxy_id, survey_id, object_id, ra, "dec", healpix29)'
            " SELECT i, 1, i, (i * 137.508) % 360, degrees(asin(2 * (i / 20000.0) - 1)), i"
            " FROM generate_series(1, 19999) AS i"
        )
    )
    connection.execute(sa.text("ANALYZE galaxy"))
    g = galaxy.alias("g")
    where = to_expression(parse_cut(cut, GALAXY_KINDS), dict(g.c))
    statement = sa.select(sa.func.count()).select_from(g).where(where)
    compiled = statement.compile(connection.engine)

    bound = connection.exec_driver_sql(f"EXPLAIN {compiled}", compiled.params).scalars().all()
    typed = connection.exec_driver_sql(
        f"EXPLAIN SELECT count(*) FROM skylike.galaxy AS g WHERE {written(where)}"
    ).scalars()

    for plan in (bound, list(typed)):
        assert any("galaxy_dec_ra_idx" in line for line in plan), plan


def test_labels_when_asked_for_then_are_those_of_anybody(connection: Connection):
    connection.execute(sa.text("INSERT INTO survey (name) VALUES ('test')"))
    connection.execute(
        sa.text(
            'INSERT INTO galaxy (galaxy_id, survey_id, object_id, ra, "dec", healpix29)'
            " SELECT i, 1, i, i, 0, i FROM generate_series(1, 5) AS i"
        )
    )
    connection.execute(
        sa.text(
            "INSERT INTO label (name, galaxy_id, is_member, author) VALUES"
            " ('ring', 1, true, 'ada'), ('ring', 2, false, 'ada'), ('ring', 3, false, 'ada'),"
            " ('ring', 3, true, 'ben'), ('lens', 4, true, 'ada')"
        )
    )
    g = galaxy.alias("g")

    def chosen(cut: str) -> list[int]:
        where = to_expression(parse_cut(cut, GALAXY_KINDS), dict(g.c))
        found = list(connection.scalars(sa.select(g.c.galaxy_id).where(where).order_by(g.c.ra)))
        typed = f"SELECT galaxy_id FROM skylike.galaxy AS g WHERE {written(where)} ORDER BY ra"
        assert list(connection.exec_driver_sql(typed).scalars()) == found
        return found

    assert chosen("has_label('ring')") == [1, 3]
    assert chosen("NOT has_label('ring') AND galaxy_id < 5") == [2, 4]
    assert chosen("has_label('lens') OR galaxy_id = 5") == [4, 5]
    assert chosen("has_label('none')") == []

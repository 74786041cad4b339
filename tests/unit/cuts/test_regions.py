"""in_cone, in_box, in_polygon and has_label: the forms they take and what is refused."""

import numpy as np
import pytest

from skylike.cuts import GALAXY_KINDS, ColumnKind, parse_cut, to_mask
from skylike.cuts.syntax import HasLabel, InBox, InCone, InPolygon
from skylike.errors import CutError

KINDS = {**GALAXY_KINDS, "ra2000": ColumnKind.NUMBER, "dec2000": ColumnKind.NUMBER}


def read(text: str):
    return parse_cut(text, KINDS).condition


@pytest.mark.parametrize(
    "text",
    [
        "in_cone(ra, dec, 202.5, 47.25, 0.5)",
        "in_cone('202.5 47.25', 0.5)",
        "in_cone('202.5 47.25', '30 arcmin')",
        "in_cone('13:30:00 +47:15:00', '1800 arcsec')",
        "in_cone('13h30m +47d15m 30 arcmin')",
        "in_cone(ra, dec, '13:30:00', '+47:15:00', '30 arcmin')",
        "in_cone(ra, dec, '13h30m', '47.25 deg', 0.5)",
        "in_cone(ra, dec, '202d30m 47d15m', '30 arcmin')",
    ],
)
def test_in_cone_when_written_in_any_form_then_is_the_same(text: str):
    cone = read(text)

    assert isinstance(cone, InCone)
    assert (cone.center_ra, cone.center_dec, cone.radius) == pytest.approx((202.5, 47.25, 0.5))
    assert (cone.ra.name, cone.dec.name) == ("ra", "dec")


@pytest.mark.parametrize(
    "text",
    [
        "in_box(ra, dec, 150, 151.5, -2.5, 3)",
        "in_box('150 -2.5', '151.5 3')",
        "in_box('10:00:00 -02:30:00', '10:06:00 +03:00:00')",
        "in_box(ra, dec, '10h', '151.5 deg', '-2d30m', 3)",
    ],
)
def test_in_box_when_written_in_any_form_then_is_the_same(text: str):
    box = read(text)

    assert isinstance(box, InBox)
    edges = (box.ra_min, box.ra_max, box.dec_min, box.dec_max)
    assert edges == pytest.approx((150, 151.5, -2.5, 3))


@pytest.mark.parametrize(
    "text",
    [
        "in_polygon(ra, dec, 150, 1, 152, 1, 151, -3)",
        "in_polygon(150, 1, 152, 1, 151, -3)",
        "in_polygon('150 1', '152 1', '151 -3')",
        "in_polygon('10:00:00 +01:00:00', '152 1', '151 deg -3 deg', '150 1')",
    ],
)
def test_in_polygon_when_written_in_any_form_then_is_the_same(text: str):
    polygon = read(text)

    assert isinstance(polygon, InPolygon)
    assert polygon.vertices == ((150, 1), (152, 1), (151, -3))


def test_regions_when_given_other_columns_then_read_those():
    assert parse_cut("in_box(ra2000, dec2000, '1 2', '3 4')", KINDS).columns == {
        "ra2000",
        "dec2000",
    }


def test_has_label_when_read_then_needs_the_identifier_of_the_galaxy():
    cut = parse_cut("has_label('ring') AND NOT has_label('tidal_tail')", KINDS)

    assert cut.columns == {"galaxy_id"}
    assert cut.condition.operands[0] == HasLabel("ring")


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("mag_r < 1 OR in_cone('150 95', 1)", "declination 95 is not within", 21),
        ("in_cone('150 2', '5 parsec')", "the angle '5 parsec' is not understood", 17),
        ("in_cone('150 2')", "the cone '150 2' is not understood", 8),
        ("in_cone(ra, dec, '12:60:00', 2, 1)", "out of range", 17),
        ("in_cone(ra, dec, mag_r, 2, 1)", "write in_cone(", 0),
        ("in_cone('12:30:00 10.5', 1)", "could be hours or degrees", 8),
        ("in_box(ra, dec, 1, 2, 3)", "write in_box(", 0),
        ("in_box(ra, dec, 1, 361, 3, 4)", "right ascension 361", 0),
        ("in_box(ra, dec, -1, 1, 3, 4)", "right ascension -1", 0),
        ("in_box(ra, dec, 1, 2, 4, 3)", "southern edge comes first", 0),
        ("in_box('1 2', '3 x')", "the position '3 x' is not understood", 14),
        ("in_box('1 2', 3)", "write in_box(", 0),
        ("in_polygon('0 0', '1 0')", "in_polygon takes 3 to 250 vertices, such as", 0),
        ("in_polygon('0 0', '1 0', '0 0')", "different vertices, not 2", 0),
        ("in_polygon('0 0', '1 1', '1 0', '0 1')", "crosses itself", 0),
        ("in_polygon('0 0', '1 1', '1 91')", "declination 91", 25),
        ("in_polygon(0, 0, 1, 1, 1)", "write in_polygon(", 0),
        ("in_polygon(0, 0, 1, 1, '1 0')", "write in_polygon(", 0),
        ("in_polygon(0, 0, 120, 0, 240, 0)", "half of the sky", 0),
        ("has_label(type)", "has_label takes a text, not the text column type", 10),
        ("has_label(' ')", "the name of a label is a small letter", 10),
        ("has_label('Ring')", "the name of a label is a small letter", 10),
        ("has_label('a', 'b')", "has_label takes one argument, not 2", 0),
        ("has_label('ring') = 1", "cannot be compared", 20),
    ],
)
def test_a_region_when_impossible_then_the_place_is_named(text: str, reason: str, position: int):
    with pytest.raises(CutError) as caught:
        read(text)

    assert reason in str(caught.value)
    assert caught.value.position == position


def test_has_label_when_there_are_no_galaxies_yet_then_is_refused():
    with pytest.raises(CutError, match="files have no labels"):
        parse_cut("has_label('ring')", {"mag": ColumnKind.NUMBER})
    with pytest.raises(CutError, match="files have no labels"):
        to_mask(parse_cut("has_label('ring')", KINDS), {"galaxy_id": np.array([1])})


def test_a_short_form_when_there_are_no_positions_then_says_so():
    with pytest.raises(CutError, match="there is no column ra"):
        parse_cut("in_box('1 2', '3 4')", {"mag": ColumnKind.NUMBER})
    with pytest.raises(CutError, match="needs numbers in the column ra"):
        parse_cut("in_box('1 2', '3 4')", {"ra": ColumnKind.TEXT, "dec": ColumnKind.NUMBER})


COLUMNS = {
    "ra": np.array([0.0, 350.0, 10.0, 180.0, 10.0, np.nan, 359.9]),
    "dec": np.array([0.0, -5.0, 5.0, 0.0, 5.1, 0.0, 90.0]),
}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("in_box('350 -5', '10 5')", [0, 1, 2]),
        ("in_box('350 -5', '360 5')", [0, 1]),
        ("in_box('0 -5', '360 5')", [0, 1, 2, 3]),
        ("in_box('10 5', '350 5')", [2]),
        ("in_box('10 -90', '10 90')", [2, 4]),
        ("NOT in_box('350 -5', '10 5')", [3, 4, 6]),
        ("in_polygon('349 -6', '11 -6', '11 6', '349 6')", [0, 1, 2, 4]),
        ("in_polygon('0 80', '120 80', '240 80')", [6]),
        ("NOT in_polygon('0 80', '120 80', '240 80')", [0, 1, 2, 3, 4]),
    ],
)
def test_to_mask_when_a_region_is_asked_for_then_keeps_what_is_in_it(text: str, rows: list[int]):
    assert np.flatnonzero(to_mask(parse_cut(text, KINDS), COLUMNS)).tolist() == rows

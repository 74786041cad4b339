"""Cuts that are read, and cuts that are refused with the place named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skylike.cuts import GALAXY_KINDS, ColumnKind, Cut, parse_cut
from skylike.cuts.syntax import And, Column, Comparison, Number
from skylike.errors import CutError

KINDS = {
    "mag_r": ColumnKind.NUMBER,
    "mag_g": ColumnKind.NUMBER,
    "ra": ColumnKind.NUMBER,
    "dec": ColumnKind.NUMBER,
    "maskbits": ColumnKind.NUMBER,
    "type": ColumnKind.TEXT,
    "class": ColumnKind.TEXT,
    "primary": ColumnKind.BOOLEAN,
    "updated_at": ColumnKind.TIME,
    "row": ColumnKind.NUMBER,
    "Mag R": ColumnKind.NUMBER,
}


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("mag_r < 18 AND mag_g - mag_r < 0.6", {"mag_r", "mag_g"}),
        ("MAG_R between 16 and 18", {"mag_r"}),
        ("type IN ('SER', 'DEV')", {"type"}),
        ("class = 'GALAXY'", {"class"}),
        ("mag_r IS NOT NULL", {"mag_r"}),
        ("mag_r isnull or mag_g notnull", {"mag_r", "mag_g"}),
        ("type NOT LIKE 'S_R%' AND type ILIKE 'd%'", {"type"}),
        ("in_cone(ra, dec, 150, -2.2, 1)", {"ra", "dec"}),
        ("in_cone('13:29:52 +47:11:43', '10 arcmin')", {"ra", "dec"}),
        ("maskbits & 4096 = 0", {"maskbits"}),
        ("primary AND NOT (mag_r > 20)", {"primary", "mag_r"}),
        ("primary IS NOT TRUE", {"primary"}),
        ("updated_at >= '2026-01-31 12:00:00+01:00'", {"updated_at"}),
        ('"Mag R" < .5', {"Mag R"}),
        ("row > 3", {"row"}),
        ("10 ^ (-0.4 * mag_r) > 1e-8 AND sqrt(abs(mag_g)) <> 2", {"mag_r", "mag_g"}),
        ("dec > -.5", {"dec"}),
        ("1 = 1", set()),
    ],
)
def test_parse_cut_when_allowed_then_names_its_columns(text: str, columns: set[str]):
    assert parse_cut(text, KINDS).columns == columns


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("", "empty", None),
        ("mag_r", "a number, not a condition", 0),
        ("magr < 18", "no column magr; did you mean mag_r", 0),
        ("mag_r < 18 AND mag_x < 2", "no column mag_x", 15),
        ("type = SER", "a text goes between single quotes", 7),
        ('type = "SER"', "a text goes between single quotes", 7),
        ("mag_r < 'bright'", "cannot be compared with the text 'bright'", 8),
        ("type + 1 = 2", "a number is needed here, not the text column type", 0),
        ("mag_r = NULL", "IS NULL", 0),
        ("mag_r == 18", "write = for equality", 6),
        ("mag_r < 18 && mag_g < 18", "write AND", 11),
        ("mag_r < 18; DROP TABLE galaxy", "; is not allowed", 10),
        ("mag_r < 18 -- bright", "begins a comment", 11),
        ("mag_r /* r */ < 18", "begins a comment", 6),
        ("mag_r IN (SELECT 1)", "SELECT is not allowed", 10),
        ("EXISTS (SELECT 1)", "EXISTS is not allowed", 0),
        ("CASE WHEN mag_r < 1 THEN TRUE END", "CASE is not allowed", 0),
        ("CAST(mag_r AS text) = 'x'", "CAST is not allowed", 0),
        ("mag_r::text = 'x'", "types cannot be changed", 5),
        ("mag_r < $1", "$ is not allowed", 8),
        ("mag_r < :limit", ": is not allowed", 8),
        ("mag_r < ?", "? is not allowed", 8),
        ("count(*) > 1", "there is no function count", 0),
        ("pg_sleep(10) > 1", "there is no function pg_sleep", 0),
        ("rank() OVER () = 1", "there is no function rank", 0),
        ("galaxy.mag_r < 18", "there is no column galaxy", 0),
        ("WHERE mag_r < 18", "leave out the word WHERE", 0),
        ("mag_r < 18 mag_g > 2", "is an AND or OR missing", 17),
        ("mag_r < 18 primary", "primary is not expected here", 11),
        ("IS", "IS is not expected here", 0),
        ("(mag_r < 18", "a closing parenthesis is missing after 18", 9),
        ("mag_r < 18)", ") is not expected here", 10),
        ("mag_r <", "something is missing after <", 6),
        ("mag_r < 18 AND 'x", "the quote ' is never closed", 15),
        ("mag_r < 1e999", "out of range", 8),
        ("mag_r < 1e-400", "out of range", 8),
        ("mag_r < nan", "no column nan", 8),
        ("mag_r < 1\x00", "is not allowed in a cut", 9),
        ("abs(mag_r, 2) = 1", "abs takes one argument, not 2", 0),
        ("power(mag_r, mag_g) > 1", "a power needs a number", 0),
        ("type LIKE 'a\\'", "single backslash", 10),
        ("mag_r LIKE 'a'", "a text is needed here", 0),
        ("mag_r IN ()", "after IN comes a list", 0),
        ("mag_r IN (1, mag_g)", "only constants", 13),
        ("(mag_r, mag_g) = (1, 2)", "not allowed", 18),
        ("primary = mag_r IS NULL", "cannot be compared with the number column", 10),
        ("primary < TRUE", "cannot be compared with <", 0),
        ("in_cone(ra, dec, 150, 95, 1)", "declination 95", 0),
        ("in_cone(ra, dec, mag_r, 2, 1)", "write in_cone(", 0),
        ("updated_at > 'yesterday'", "is not a time", 13),
        ("maskbits & 1.5 = 0", "& takes columns and whole numbers", 11),
        ("E'a' = type", "E'a' is not allowed", 0),
        ("type = $$x$$", "is not allowed", 7),
        ("mag_r BETWEEN SYMMETRIC 2 AND 1", "SYMMETRIC is not allowed", 14),
    ],
)
def test_parse_cut_when_not_allowed_then_points_at_the_place(
    text: str, reason: str, position: int | None
):
    with pytest.raises(CutError) as caught:
        parse_cut(text, KINDS)

    assert reason in str(caught.value)
    assert caught.value.position == position


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "mag_r < 1" + ")" * 10_000,
        "NOT " * 1_000 + "primary",
        "mag_r < " + "-".join([" "] * 1_000) + "1",
        "mag_r < " + " + ".join(["1"] * 5_000),
        "abs(" * 200 + "mag_r" + ")" * 200 + " < 1",
        "x" * 1_000_000,
        "mag_r < 1 AND " * 100_000 + "primary",
    ],
    ids=["parentheses", "not", "minus", "sum", "calls", "word", "long"],
)
def test_parse_cut_when_huge_or_deep_then_refuses_in_a_short_message(text: str):
    with pytest.raises(CutError) as caught:
        parse_cut(text, KINDS)

    assert len(str(caught.value)) < 1_000


def test_parse_cut_when_a_chain_is_long_then_reads_it_flat():
    text = " OR ".join(f"row = {number}" for number in range(3_000))

    condition = parse_cut(text, KINDS).condition

    assert len(condition.operands) == 3_000  # type: ignore[union-attr]


def test_parse_cut_when_an_identifier_exceeds_doubles_then_keeps_it_whole():
    condition = parse_cut("object_id = 9223372036854775807", GALAXY_KINDS).condition

    assert condition == Comparison(
        "=", Column("object_id", ColumnKind.NUMBER), Number(9223372036854775807)
    )


def test_parse_cut_when_columns_differ_in_case_then_takes_the_exact_one_or_asks():
    kinds = {"z": ColumnKind.NUMBER, "Z": ColumnKind.NUMBER, "zz": ColumnKind.TEXT}

    assert parse_cut("Z < 1", kinds).columns == {"Z"}
    assert parse_cut("ZZ = 'a'", kinds).columns == {"zz"}
    with pytest.raises(CutError, match="write it in the same case"):
        parse_cut("zZ = 'a'", {**kinds, "ZZ": ColumnKind.TEXT})


def test_parse_cut_when_and_or_mix_then_and_binds_first():
    loose = parse_cut("primary OR mag_r < 1 AND mag_g < 1", KINDS).condition

    assert loose == parse_cut("primary OR (mag_r < 1 AND mag_g < 1)", KINDS).condition
    assert not isinstance(loose, And)


def test_galaxy_kinds_hold_columns_of_every_kind():
    assert GALAXY_KINDS["mag_r"] is ColumnKind.NUMBER
    assert GALAXY_KINDS["object_id"] is ColumnKind.NUMBER
    assert GALAXY_KINDS["type"] is ColumnKind.TEXT
    assert GALAXY_KINDS["updated_at"] is ColumnKind.TIME
    assert GALAXY_KINDS["survey"] is ColumnKind.TEXT


_WORDS = (
    "mag_r type primary 1 'x' ( ) < = AND OR NOT IN , - BETWEEN IS NULL LIKE abs( in_cone( SELECT"
    " ; -- /* ' \" $1 :: . E' 1e999 & ^ * coalesce( {{ \\ \u017f"
)


def _read(text: str) -> Cut | CutError:
    try:
        return parse_cut(text, KINDS)
    except CutError as error:
        return error


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(st.sampled_from(_WORDS.split(" ")), max_size=15).map(" ".join),
    )
)
def test_parse_cut_when_given_any_text_then_allows_known_columns_or_refuses(text: str):
    found = _read(text)

    if isinstance(found, CutError):
        assert found.position is None or 0 <= found.position < len(text)
    else:
        assert found.columns <= KINDS.keys()

"""Derived columns: definitions that are read, used in cuts, and refused."""

import numpy as np
import pytest

from skylike.cuts import (
    GALAXY_KINDS,
    ColumnKind,
    Derived,
    parse_cut,
    parse_definition,
    to_mask,
)
from skylike.errors import CutError


def defined(*texts: str) -> dict[str, Derived]:
    derived: dict[str, Derived] = {}
    for text in texts:
        made = parse_definition(text, GALAXY_KINDS, derived)
        derived[made.name] = made
    return derived


@pytest.mark.parametrize(
    ("text", "kind", "columns"),
    [
        ("g_r = mag_g - mag_r", "number", {"mag_g", "mag_r"}),
        (" G_R=mag_g-mag_r ", "number", {"mag_g", "mag_r"}),
        ("is_red = mag_g - mag_r > 0.8", "boolean", {"mag_g", "mag_r"}),
        ("is_round = type = 'REX'", "boolean", {"type"}),
        ("near = in_cone('150 2', '1 deg')", "boolean", {"ra", "dec"}),
        ("ring = has_label('ring')", "boolean", {"galaxy_id"}),
        ("shape = coalesce(type, 'none')", "text", {"type"}),
        ("limit_r = 18.5", "number", set()),
    ],
)
def test_parse_definition_when_allowed_then_tells_kind_and_columns(
    text: str, kind: str, columns: set[str]
):
    made = parse_definition(text, GALAXY_KINDS)

    assert (made.kind.value, made.columns) == (kind, columns)
    assert made.name == text.partition("=")[0].strip().lower()
    assert made.text == text.partition("=")[2].strip()


def test_a_cut_when_it_names_derived_columns_then_is_as_if_they_were_written_out():
    derived = defined("g_r = mag_g - mag_r", "r_z = mag_r - mag_z", "bend = g_r - r_z")

    cut = parse_cut("bend < 0.1 AND G_R * 2 > 1", GALAXY_KINDS, derived)

    written_out = "(mag_g - mag_r) - (mag_r - mag_z) < 0.1 AND (mag_g - mag_r) * 2 > 1"
    assert cut.condition == parse_cut(written_out, GALAXY_KINDS).condition
    assert cut.columns == {"mag_g", "mag_r", "mag_z"}


def test_a_cut_when_a_derived_condition_is_negated_then_null_stays_null():
    derived = defined("is_red = mag_g - mag_r > 0.8")
    columns = {"mag_g": np.array([20.0, 18.0, np.nan]), "mag_r": np.array([18.0, 18.0, 18.0])}

    kept = to_mask(parse_cut("NOT is_red", GALAXY_KINDS, derived), columns)

    assert kept.tolist() == [False, True, False]


def test_a_cut_when_a_derived_constant_is_in_a_list_then_is_a_constant():
    derived = defined("faint = 20", "kind = 'SER'")

    cut = parse_cut("mag_r IN (18, faint) AND type IN (kind)", GALAXY_KINDS, derived)

    written_out = "mag_r IN (18, 20) AND type IN ('SER')"
    assert cut.condition == parse_cut(written_out, GALAXY_KINDS).condition


def test_a_cut_when_a_derived_column_is_mistyped_then_suggests_it():
    with pytest.raises(CutError, match="no column g_rr; did you mean g_r"):
        parse_cut("g_rr < 1", GALAXY_KINDS, defined("g_r = mag_g - mag_r"))


def test_a_cut_when_a_column_and_a_derived_one_share_a_name_then_takes_the_column():
    derived = {"mag_r": defined("other = mag_g")["other"]}

    assert parse_cut("mag_r < 1", GALAXY_KINDS, derived).columns == {"mag_r"}


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("", "a definition is a name, = and an expression", None),
        ("g_r", "a definition is a name, = and an expression", None),
        ("g_r =", "after g_r = an expression is missing", 4),
        ("= mag_g", "'' cannot be the name", 0),
        ("g r = mag_g", "'g r' cannot be the name", 0),
        ("  9g = mag_g", "'9g' cannot be the name", 2),
        ('"g" = mag_g', "cannot be the name", 0),
        ("g\u00fc = mag_g", "cannot be the name", 0),
        (f"{'x' * 64} = mag_g", "cannot be the name", 0),
        ("mag_r = mag_g", "mag_r is a column of the catalog", 0),
        ("Survey = mag_g", "survey is a column of the catalog", 0),
        ("sqrt = mag_g", "sqrt is a function", 0),
        ("has_label = mag_g", "has_label is a function", 0),
        ("select = mag_g", "select is an SQL word", 0),
        ("user = mag_g", "user is an SQL word", 0),
        ("similarity = mag_g", "similarity is a column of results", 0),
        ("query = mag_g", "query is a column of results", 0),
        ("score_ring = mag_g", "score_ring is kept for the scores", 0),
        ("taken = mag_g", "taken is defined already, as mag_z", 0),
        ("g_r = mag_g - mag_x", "no column mag_x", 14),
        ("g_r = mag_g - g_r", "no column g_r", 14),
        ("g_r = mag_g; DROP TABLE galaxy", "; is not allowed", 11),
        ("g_r == mag_g", "write one =", 5),
        ("g_r = mag_g = type", "cannot be compared", 14),
        ("seen = updated_at", "not a time", 6),
        ("g_r = (SELECT 1)", "SELECT is not allowed", 7),
    ],
)
def test_parse_definition_when_not_allowed_then_points_at_the_place(
    text: str, reason: str, position: int | None
):
    with pytest.raises(CutError, match=reason.replace("(", r"\(")) as caught:
        parse_definition(text, GALAXY_KINDS, defined("taken = mag_z"))

    assert caught.value.cut == text
    assert caught.value.position == position


def test_parse_definition_when_it_says_the_same_again_then_is_accepted():
    before = defined("g_r = mag_g - mag_r", "is_red = g_r > 0.8")

    again = parse_definition("IS_RED = (g_r>.8)", GALAXY_KINDS, before)

    assert again.value == before["is_red"].value


def built_up(template: str) -> int:
    """How many definitions are accepted when each uses the one before, at most 200."""
    derived = defined("d0 = mag_r + mag_g")
    for k in range(1, 200):
        text = f"d{k} = {template}".replace("BEFORE", f"d{k - 1}")
        derived[f"d{k}"] = parse_definition(text, GALAXY_KINDS, derived)
    return len(derived)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("BEFORE * BEFORE", "too long together"),
        ("1 - abs(BEFORE)", "nest it too deeply"),
    ],
)
def test_definitions_when_each_builds_on_the_one_before_then_end_in_time(
    template: str, reason: str
):
    with pytest.raises(CutError, match=reason):
        built_up(template)


def test_a_score_when_among_the_kinds_then_is_a_column_like_any_other():
    kinds = {**GALAXY_KINDS, "score_ring": ColumnKind.NUMBER}
    made = parse_definition("likely = score_ring > 0.9", kinds)

    assert made.columns == {"score_ring"}

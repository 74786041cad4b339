"""Derived columns: kept, used by later ones and by cuts, listed, dropped."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from skylike.catalog.export import export_catalog
from skylike.catalog.load import load_file
from skylike.catalog.overview import fetch_overview, overview_json, overview_lines
from skylike.catalog.plan import LoadOptions
from skylike.catalog.store_derived import (
    define_column,
    drop_column,
    fetch_definitions,
    fetch_derived,
)
from skylike.cuts import GALAXY_KINDS, parse_cut
from skylike.database.tables import derived_column
from skylike.errors import ConflictError, CutError, NotFoundError, SettingsError


def test_a_definition_when_kept_then_cuts_may_name_it(engine: Engine, connection: Connection):
    define_column(engine, "g_r = mag_g - mag_r", description=" Color ", unit="mag")
    define_column(engine, "is_red = g_r > 0.8")

    derived = fetch_derived(connection)

    cut = parse_cut("is_red AND g_r < 2", GALAXY_KINDS, derived)
    assert cut.columns == {"mag_g", "mag_r"}
    meaning = fetch_definitions(connection)[0].meaning
    assert (meaning.description, meaning.unit) == ("Color", "mag")


def test_a_definition_when_given_again_then_only_its_description_changes(engine: Engine):
    define_column(engine, "z = z_phot", description="old")
    define_column(engine, "near = z < 0.1")

    define_column(engine, "Z =  z_phot", description="new", unit="")

    with engine.connect() as connection:
        kept = fetch_definitions(connection)
    assert [(column.name, column.description) for column in kept] == [("z", "new"), ("near", "")]
    assert kept[0].unit is None


def test_a_definition_when_its_name_means_something_else_then_is_refused(engine: Engine):
    define_column(engine, "g_r = mag_g - mag_r")

    with pytest.raises(ConflictError, match=r"g_r is defined already, as mag_g - mag_r; drop"):
        define_column(engine, "g_r = mag_r - mag_g")


def test_a_definition_when_others_use_it_then_is_not_dropped(engine: Engine):
    define_column(engine, "g_r = mag_g - mag_r")
    define_column(engine, "is_red = g_r > 0.8")
    define_column(engine, "r_z = mag_r - mag_z")
    define_column(engine, "is_dull = is_red AND r_z < 1")

    with pytest.raises(ConflictError, match="g_r is used by is_red, is_dull; drop first"):
        drop_column(engine, "g_r")
    for name in ("is_dull", "IS_RED", "g_r"):
        drop_column(engine, name)

    with engine.connect() as connection:
        assert list(fetch_derived(connection)) == ["r_z"]


def test_a_name_when_nothing_is_called_so_then_there_is_nothing_to_drop(engine: Engine):
    with pytest.raises(NotFoundError, match="no derived column 'g_r'; none is defined"):
        drop_column(engine, "g_r")
    define_column(engine, "r_z = mag_r - mag_z")
    with pytest.raises(NotFoundError, match="there are r_z"):
        drop_column(engine, "g_r")


@pytest.mark.parametrize(
    ("definition", "unit", "error", "reason"),
    [
        ("g_r = mag_g - mag_x", None, CutError, "no column mag_x"),
        ("g_r = mag_g", "magg", SettingsError, "unit 'magg' is not understood"),
        ("g_r = mag_g\n - mag_r", None, SettingsError, "one line each"),
        ("g_r = mag_g -\tmag_r", None, SettingsError, "without tabs"),
        (f"deep = {'exp(' * 12}flux_g{')' * 12}", None, CutError, "nests too many functions.*deep"),
        ("likely = score_ring > 0.5", None, CutError, "no column score_ring"),
    ],
)
def test_a_definition_when_not_understood_then_nothing_is_kept(
    engine: Engine, definition: str, unit: str | None, error: type[Exception], reason: str
):
    with pytest.raises(error, match=reason):
        define_column(engine, definition, unit=unit)

    with engine.connect() as connection:
        assert fetch_definitions(connection) == []


def test_a_kept_definition_when_no_longer_understood_then_the_way_out_is_named(
    connection: Connection,
):
    gone = {"name": "old", "expression": "mag_u + 1", "description": ""}
    connection.execute(sa.insert(derived_column).values(gone))

    with pytest.raises(CutError, match=r"old is not understood any more: .*--drop old"):
        fetch_derived(connection)


def test_definitions_when_made_in_one_transaction_then_keep_their_order(connection: Connection):
    for name in ("b", "c", "a"):
        row = {"name": name, "expression": "1", "description": ""}
        connection.execute(sa.insert(derived_column).values(row))

    assert [column.name for column in fetch_definitions(connection)] == ["b", "c", "a"]


def test_the_overview_when_columns_are_derived_then_lists_them(engine: Engine):
    define_column(engine, "g_r = mag_g - mag_r", description="Color", unit="mag")

    overview = fetch_overview(engine, loads=1)

    assert "  g_r = mag_g - mag_r [mag]: Color" in overview_lines(overview)
    (document,) = overview_json(overview)
    assert json.loads(document)["derived"][0]["expression"] == "mag_g - mag_r"


def test_an_export_when_cut_by_a_derived_column_then_takes_its_galaxies(
    engine: Engine, tmp_path: Path
):
    path = tmp_path / "galaxies.csv"
    path.write_text("ra,dec,mag_g,mag_r\n10,20,18,17\n11,21,18,17.9\n", encoding="utf-8")
    load_file(engine, path)
    define_column(engine, "g_r = mag_g - mag_r")

    assert export_catalog(engine, tmp_path / "out.csv", where="g_r > 0.5") == 1


def test_a_load_when_cut_by_a_derived_column_then_takes_its_rows(engine: Engine, tmp_path: Path):
    path = tmp_path / "galaxies.csv"
    path.write_text("ra,dec,g,r\n10,20,18,17\n11,21,18,17.9\n", encoding="utf-8")
    define_column(engine, "g_r = mag_g - mag_r")
    define_column(engine, "is_ring = has_label('ring')")
    columns = {"mag_g": "g", "mag_r": "r"}

    report = load_file(engine, path, options=LoadOptions(columns=columns, where="g_r > 0.5"))

    assert (report.counts.inserted, report.not_selected) == (1, 1)
    with pytest.raises(CutError, match="no column is_ring"):
        load_file(engine, path, options=LoadOptions(columns=columns, where="is_ring"))
    with pytest.raises(CutError, match="no column g_r"):
        # Without mag_g the file does not give it.
        load_file(
            engine,
            path,
            options=LoadOptions(columns={"mag_r": "r", "mag_g": ""}, where="g_r > 0.5"),
        )


def test_define_when_description_and_unit_are_not_given_then_they_stay(engine: Engine):
    define_column(engine, "g_r = mag_g - mag_r", description="Color", unit="mag")

    define_column(engine, "g_r = mag_g - mag_r")

    with engine.connect() as connection:
        (kept,) = fetch_definitions(connection)
    assert (kept.description, kept.unit) == ("Color", "mag")

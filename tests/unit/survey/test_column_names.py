import pytest

from skylike.errors import SettingsError
from skylike.survey.batches import TableColumn
from skylike.survey.column_names import guess_columns, parse_column_map


def columns(*names: str, **ucds: str) -> list[TableColumn]:
    text = {"type", "class", "name", "TYPE"}
    return [TableColumn(n, "text" if n in text else "number", ucd=ucds.get(n)) for n in names]


def test_legacy_survey_names_of_any_case_are_known():
    guess = guess_columns(
        columns("RELEASE", "BRICKID", "OBJID", "RA", "DEC", "TYPE", "FLUX_R", "PSFSIZE_R", "EBV"),
        {},
    )

    assert guess.columns == {
        "release": "RELEASE",
        "brickid": "BRICKID",
        "objid": "OBJID",
        "ra": "RA",
        "dec": "DEC",
        "type": "TYPE",
        "flux_r": "FLUX_R",
        "psf_size_r": "PSFSIZE_R",
        "ebv": "EBV",
    }


def test_single_letters_are_magnitudes_beside_others():
    guess = guess_columns(columns("ra", "dec", "u", "g", "r", "i", "z"), {})

    assert guess.columns["mag_z"] == "z"
    assert "z_spec" not in guess.columns


def test_a_lonely_z_is_not_guessed():
    assert set(guess_columns(columns("ra", "dec", "z"), {}).columns) == {"ra", "dec"}


def test_a_main_ucd_decides_between_names():
    guess = guess_columns(
        columns("_RAJ2000", "RAJ2000", "DEJ2000", RAJ2000="pos.eq.ra;meta.main"), {}
    )

    assert guess.columns["ra"] == "RAJ2000"
    assert not guess.ambiguous


def test_two_names_of_one_tier_are_ambiguous():
    guess = guess_columns(columns("ra", "dec", "modelMag_r", "cModelMag_r"), {})

    assert guess.ambiguous == {"mag_r": ("modelMag_r", "cModelMag_r")}


def test_what_is_given_overrides_and_is_not_guessed_again():
    guess = guess_columns(
        columns("ra", "dec", "g", "r", "i", "z", "redshift"), {"z_spec": "Z", "mag_g": ""}
    )

    assert guess.columns["z_spec"] == "z"
    assert "mag_z" not in guess.columns
    assert "mag_g" not in guess.columns


def test_an_sdss_objid_alone_is_an_identifier():
    guess = guess_columns(columns("objid", "ra", "dec"), {})

    assert guess.columns == {"ra": "ra", "dec": "dec", "object_id": "objid"}


def test_a_numeric_type_is_no_type():
    guess = guess_columns([*columns("ra", "dec"), TableColumn("type", "number")], {})

    assert "type" not in guess.columns


def test_a_missing_name_is_answered_with_the_nearest():
    with pytest.raises(SettingsError, match="no column 'mag_rr'; there is mag_r"):
        guess_columns(columns("ra", "dec", "mag_r"), {"mag_r": "mag_rr"})


def test_a_map_is_read_with_blanks_and_empty_sides():
    assert parse_column_map(" ra = RA , z_spec= ,") == {"ra": "RA", "z_spec": ""}

import pytest

from skylike.database.comments import ColumnMeaning, parse_comment


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (
            "Right ascension, ICRS [unit=deg; ucd=pos.eq.ra;meta.main]",
            ColumnMeaning("Right ascension, ICRS", "deg", "pos.eq.ra;meta.main"),
        ),
        ("Name [unit=none; ucd=meta.id]", ColumnMeaning("Name", None, "meta.id")),
        (
            "Lists [a, b]\nin two lines [unit=arcsec/pix;ucd=instr.scale]",
            ColumnMeaning("Lists [a, b]\nin two lines", "arcsec/pix", "instr.scale"),
        ),
        ("A column of somebody else", ColumnMeaning("A column of somebody else", None, "")),
        (None, ColumnMeaning("", None, "")),
    ],
)
def test_comment_when_parsed_then_gives_description_unit_and_ucd(text, meaning):
    assert parse_comment(text) == meaning

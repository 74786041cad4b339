import numpy as np
import pytest
from astropy.table import Table

from skylike.errors import SurveyFileError
from skylike.search.position_table import read_position_table

RA, DEC = [180.5, 0.25, 359.75], [0.5, -1.25, 45.0]


def positions(path):
    table = read_position_table(path)
    return table.ra.tolist(), table.dec.tolist()


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.csv", "ascii.csv"),
        ("a.tsv", "ascii.tab"),
        ("a.ecsv", "ascii.ecsv"),
        ("a.fits", "fits"),
        ("a.vot", "votable"),
        ("a.parquet", "parquet"),
    ],
)
def test_positions_are_the_same_from_every_format(tmp_path, name, form):
    table = Table({"name": ["a", "b", "c"], "RA_ICRS": RA, "DE_ICRS": DEC})
    if form == "parquet":
        table.to_pandas().to_parquet(tmp_path / name)
    else:
        table.write(tmp_path / name, format=form)

    assert positions(tmp_path / name) == (RA, DEC)


def test_positions_when_sexagesimal_are_hours_and_degrees(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ra,dec\n12:00:00,-00:30:00\n01:00:00,+10:15:00\n")

    assert np.allclose(positions(path), [[180, 15], [-0.5, 10.25]], rtol=0, atol=1e-12)


def test_positions_when_rows_are_unusable_are_named_by_row(tmp_path):
    path = tmp_path / "hosts.csv"
    path.write_text("ra,dec\n1,2\n,5\n7,95\n3,nonsense\n4,5\n1,2,3\n")

    table = read_position_table(path)

    assert table.name == "hosts.csv"
    assert (table.ra.tolist(), table.dec.tolist()) == ([1, 4], [2, 5])
    assert table.rows.tolist() == [1, 5]
    assert table.unusable_rows == (2, 3, 4)
    assert table.n_malformed == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,mag\na,1\n", "no columns of right ascension"),
        ("ra_deg,raj2000,dec\n1,1,2\n", "ra may be ra_deg or raj2000"),
        ("ra,dec\nx,y\n", "no row has a position in its columns ra and dec"),
        ("ra,dec\n" + "1,2\n" * 10_001, "more than 10,000 rows"),
    ],
)
def test_positions_when_a_table_has_none_says_why(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_text(content)

    with pytest.raises(SurveyFileError, match=message):
        read_position_table(path)

"""Which galaxy a row names."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skylike.embeddings.exchange.identifiers import Way, read_names
from skylike.errors import SettingsError, SurveyFileError


def csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("header", "way"),
    [
        ("galaxy_id,object_id,ra,dec", "galaxy_id"),
        ("object_id,ra,dec,x", "object_id"),
        ("TARGETID,ra,dec,x", "position"),
        ("id_str,RA,DEC,x", "position"),
    ],
)
def test_way_when_not_given_then_is_the_surest_that_the_table_has(
    tmp_path: Path, header: str, way: Way
):
    names = read_names(csv(tmp_path / "ids.csv", f"{header}\n1,2,3,4\n5,6,7,8\n"))

    assert names.way == way
    assert len(names) == 2


def test_positions_when_missing_or_off_the_sky_then_are_nan(tmp_path: Path):
    names = read_names(csv(tmp_path / "ids.csv", "ra,dec\n10,20\n,5\n10,95\n-1,0\n"))

    np.testing.assert_array_equal(names.ra, [10, np.nan, np.nan, 359])
    np.testing.assert_array_equal(names.dec, [20, np.nan, np.nan, 0])


def test_identifiers_beyond_2_to_the_53_stay_exact(tmp_path: Path):
    ids = [(1 << 53) + 1, (1 << 60) + 3]
    pq.write_table(pa.table({"object_id": pa.array([*ids, None])}), tmp_path / "ids.parquet")
    np.save(tmp_path / "ids.npy", np.array(ids))

    assert read_names(tmp_path / "ids.parquet").ids.tolist() == [*ids, -1]
    assert read_names(tmp_path / "ids.npy", way="object_id").ids.tolist() == ids


def test_identifiers_when_text_in_another_column_then_are_read_by_its_name(tmp_path: Path):
    path = csv(tmp_path / "ids.csv", "id_str,ra,dec\n9007199254740993,1,1\nabc,2,2\n")

    names = read_names(path, columns={"object_id": "id_str"})

    assert names.way == "object_id"
    assert names.ids.tolist() == [9007199254740993, -1]


def test_keys_of_the_legacy_surveys_are_packed_with_their_survey(tmp_path: Path):
    names = read_names(csv(tmp_path / "ids.csv", "release,brickid,objid\n9010,5,7\n"))

    assert names.ids.tolist() == [9010 << 40 | 5 << 16 | 7]
    assert names.surveys.tolist() != [""]


def test_array_of_integers_asks_what_they_are(tmp_path: Path):
    np.save(tmp_path / "ids.npy", np.arange(3))
    np.save(tmp_path / "sky.npy", np.array([[10.0, 20.0]]))
    np.save(tmp_path / "wrong.npy", np.zeros((3, 3)))

    with pytest.raises(SettingsError, match="say what its numbers are with --id-column"):
        read_names(tmp_path / "ids.npy")
    assert read_names(tmp_path / "ids.npy", way="galaxy_id").ids.tolist() == [0, 1, 2]
    assert read_names(tmp_path / "sky.npy").ra.tolist() == [10.0]
    with pytest.raises(SurveyFileError, match=r"shape \(3, 3\).* tells no galaxies"):
        read_names(tmp_path / "wrong.npy")


def test_table_when_it_tells_no_galaxies_then_says_what_it_has(tmp_path: Path):
    path = csv(tmp_path / "ids.csv", "name,mass\na,1\nb,2\n")

    with pytest.raises(SurveyFileError, match=r"neither galaxy_id nor .* among name, mass"):
        read_names(path)
    with pytest.raises(SurveyFileError, match="has no galaxy_id among name, mass"):
        read_names(path, way="galaxy_id")


def test_rows_when_malformed_then_the_file_is_refused(tmp_path: Path):
    with pytest.raises(SurveyFileError, match="another number of fields"):
        read_names(csv(tmp_path / "ids.csv", "ra,dec\n1,2\n3,4,5\n6,7\n"))

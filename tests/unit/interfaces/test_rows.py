"""Rows in Python: columns, iteration, what a notebook shows."""

import json

import numpy as np
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.table import QTable, Table

from skylike.database.comments import ColumnMeaning
from skylike.errors import SettingsError
from skylike.interfaces.rows import Rows


def rows(**columns: pa.Array) -> Rows:
    data = {
        "galaxy_id": pa.array([1, 2, 3], pa.int32()),
        "ra": pa.array([10.0, 20.0, 30.0]),
        "maskbits": pa.array([1, None, 3], pa.int32()),
        "has_lens": pa.array([True, None, False]),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float16)), 2),
        "list": pa.array([[1], [2, 3], None], pa.list_(pa.int32())),
    }
    meanings = {"ra": ColumnMeaning("Right ascension <ICRS>", "deg", "pos.eq.ra;meta.main")}
    return Rows(pa.table(data | columns), meanings, {"sql": "SELECT 1", "cut": None})


def test_rows_when_counted_and_iterated_then_are_dicts():
    assert len(rows()) == 3
    assert [row["galaxy_id"] for row in rows()] == [1, 2, 3]
    assert rows().columns[:2] == ["galaxy_id", "ra"]


def test_column_when_without_nulls_then_is_a_plain_array():
    assert type(rows()["ra"]) is np.ndarray
    assert rows()["galaxy_id"].dtype == np.int32
    assert rows()["vector"].shape == (3, 2)
    assert rows()["vector"].dtype == np.float16


def test_column_when_with_nulls_then_is_masked():
    assert rows()["maskbits"].mask.tolist() == [False, True, False]


def test_column_when_there_is_none_of_the_name_then_lists_those_there_are():
    with pytest.raises(SettingsError, match=r"'mag_r'.*galaxy_id"):
        rows()["mag_r"]


def test_to_pandas_when_integers_and_booleans_have_nulls_then_are_nullable():
    frame = rows().to_pandas()

    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "galaxy_id": "int32",
        "ra": "float64",
        "maskbits": "Int32",
        "has_lens": "boolean",
        "vector": "object",
        "list": "object",
    }
    assert frame.attrs["units"] == {"ra": "deg"}
    assert frame.attrs["sql"] == "SELECT 1"
    assert frame["vector"].iloc[2].tolist() == [4.0, 5.0]


def test_to_table_when_made_then_has_units_vectors_and_provenance():
    table = rows().to_table()

    assert table["ra"].unit == u.deg
    assert table["ra"].meta["ucd"] == "pos.eq.ra;meta.main"
    assert table["vector"].shape == (3, 2)
    assert table["list"][1].tolist() == [2, 3]
    assert table["list"][2] is None
    assert table["maskbits"].mask.tolist() == [False, True, False]
    assert table.meta == {"sql": "SELECT 1"}


def test_to_table_when_made_a_qtable_then_columns_are_quantities():
    column = QTable(rows().to_table())["ra"]

    assert type(column) is u.Quantity
    assert column.to_value(u.rad)[0] == pytest.approx(np.radians(10))


def test_to_table_when_written_as_votable_then_keeps_unit_and_ucd(tmp_path):
    table = rows().to_table()
    table.remove_columns(["list", "vector"])

    table.write(tmp_path / "rows.vot", format="votable")

    text = (tmp_path / "rows.vot").read_text()
    assert 'ucd="pos.eq.ra;meta.main"' in text
    assert Table.read(tmp_path / "rows.vot")["ra"].unit == u.deg


def test_to_arrow_when_made_then_fields_and_schema_have_metadata():
    table = rows().to_arrow()

    assert table.schema.field("ra").metadata == {
        b"description": b"Right ascension <ICRS>",
        b"unit": b"deg",
        b"ucd": b"pos.eq.ra;meta.main",
    }
    assert table.schema.field("galaxy_id").metadata == {}
    assert json.loads(table.schema.metadata[b"skylike"]) == {"sql": "SELECT 1", "cut": None}


def test_html_when_shown_then_escapes_and_shortens():
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(27.0)), 9)

    page = rows(name=pa.array(["<b>", None, "b"]), vector=vectors)._repr_html_()

    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "Right ascension &lt;ICRS&gt;" in page
    assert "[0, 1, 2, ... 9]" in page


def test_html_when_there_are_many_rows_then_shows_twenty():
    many = Rows(pa.table({"n": pa.array(range(1000))}), {}, {})

    assert many._repr_html_().count("<tr>") == 21
    assert "1,000 rows, of which the first 20 are shown" in many._repr_html_()

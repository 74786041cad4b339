"""Each format read back by what it is for: nothing lost, nothing rounded, NULL stays NULL."""

import gzip
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from astropy.utils.masked import Masked
from rich.console import Console

from search_results import MEANINGS, SQL, search_result
from skylike.cuts.coordinates import Cone
from skylike.errors import SettingsError
from skylike.file_formats import Format
from skylike.interfaces.formats import write_result
from skylike.interfaces.terminal import print_result, table_text
from skylike.interfaces.text_files import html_text


def written(format_name: str, folder: Path, **changes: object) -> Path:
    path = folder / f"result.{'txt' if format_name == 'table' else format_name}"
    write_result(search_result(**changes), output=path)
    return path


@pytest.mark.parametrize("format_name", list(Format))
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_write_result_when_given_a_file_then_leaves_only_that_file(
    format_name: str, rows: int, tmp_path: Path
):
    path = written(format_name, tmp_path, rows=rows)

    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_size > 0


def test_csv_when_read_by_pandas_then_is_the_result(tmp_path: Path):
    frame = pd.read_csv(written("csv", tmp_path))

    assert frame["object_id"].tolist() == [2**53 + 1, 9222213454291370001, 5]
    assert frame["survey"].tolist() == ["ls #10, <b>", 'a "quoted" \u00e9', "ls"]
    assert frame["mag_r"].tolist()[:2] == [18.1, 17.25]
    assert frame.isna().sum().to_dict() == {
        **dict.fromkeys(MEANINGS, 0),
        **dict.fromkeys(["separation", "flux_r", "mag_r", "maskbits", "type"], 1),
    }


def test_csv_when_read_by_astropy_then_is_the_result(tmp_path: Path):
    table = Table.read(written("csv", tmp_path), format="csv")

    assert len(table) == 3
    assert list(table["object_id"]) == [2**53 + 1, 9222213454291370001, 5]
    assert bool(table["mag_r"].mask[2])


@pytest.mark.parametrize("name", ["a.csv.gz", "a.json.gz", "a.fits.gz", "a.vot.gz"])
def test_write_result_when_the_name_ends_with_gz_then_is_compressed_and_read_by_others(
    name: str, tmp_path: Path
):
    path = tmp_path / name
    write_result(search_result(), output=path)

    assert path.read_bytes()[:2] == b"\x1f\x8b"
    if ".json" in name:
        ids = [row["galaxy_id"] for row in json.loads(gzip.decompress(path.read_bytes()))["rows"]]
    elif ".csv" in name:
        ids = pd.read_csv(path)["galaxy_id"].tolist()
    else:
        ids = list(Table.read(path, format="votable" if ".vot" in name else "fits")["galaxy_id"])
    assert ids == [42, 43, 44]


def test_json_when_parsed_then_has_whole_identifiers_and_nulls(tmp_path: Path):
    whole = json.loads(written("json", tmp_path).read_text(encoding="utf-8"))

    assert whole["rows"][1]["object_id"] == "9222213454291370001"
    assert whole["rows"][0]["mag_r"] == 18.1
    assert whole["rows"][2]["mag_r"] is None
    assert whole["rows"][2]["maskbits"] is None
    assert whole["provenance"]["matched"] == 1234
    assert whole["provenance"]["cone"] == "150 +2.2 10 deg"
    assert whole["provenance"]["time"] == "2026-11-23T12:00:00+00:00"
    assert {"name": "ra", "description": "Right ascension, ICRS", "unit": "deg"}.items() <= next(
        column for column in whole["columns"] if column["name"] == "ra"
    ).items()


def test_json_when_a_number_is_nan_then_is_null_and_valid(tmp_path: Path):
    result = search_result()
    place = result.rows.column_names.index("similarity")
    rows = result.rows.set_column(place, "similarity", pa.array([np.nan, np.inf, 0.5]))
    path = tmp_path / "nan.json"

    write_result(type(result)(rows, result.meanings, result.provenance), format="json", output=path)

    found = json.loads(path.read_text(encoding="utf-8"))
    assert [row["similarity"] for row in found["rows"]] == [None, None, 0.5]


def test_fits_when_read_then_has_units_ucds_nulls_and_provenance(tmp_path: Path):
    with fits.open(written("fits", tmp_path), checksum=True) as hdus:
        header, data = hdus[1].header, hdus[1].data
        assert data["object_id"].tolist() == [2**53 + 1, 9222213454291370001, 5]
        assert np.isnan(data["mag_r"][2])
        assert data["type"].tolist() == ["SER", "[DEV]", ""]
        assert header["TUNIT7"] == "deg"
        assert header["TUCD7"] == "pos.eq.ra;meta.main"
        assert "TUNIT9" not in header
        assert header["TCOMM9"] == "Flux in r [nmgy]"
        assert header["MATCHED"] == 1234
        assert header["DATE"] == "2026-11-23T12:00:00"
        assert header["EXACT"] is True
        assert header["CUT"] == "mag_r < 18 AND type <> 'PSF'"
        assert "ORDER BY 2 DESC, 1 LIMIT 10" in "".join(header["COMMENT"])


def test_fits_when_read_by_astropy_then_warns_of_no_unit_and_masks_missing_integers(tmp_path: Path):
    table = Table.read(written("fits", tmp_path))

    assert table["maskbits"].mask.tolist() == [False, False, True]
    assert str(table["ra"].unit) == "deg"


def test_votable_when_read_back_then_raises_no_warning_and_keeps_meanings(tmp_path: Path):
    path = written("votable", tmp_path)

    document = votable.parse(path, verify="exception")

    table = document.get_first_table()
    fields = {field.name: field for field in table.fields}
    assert {name: field.ucd for name, field in fields.items()} == {
        name: meaning.ucd for name, meaning in MEANINGS.items()
    }
    assert str(fields["flux_r"].unit) == "nmgy"
    assert fields["mag_r"].description == "Magnitude in r <AB>"
    assert fields["object_id"].datatype == "long"
    assert b"<BINARY2>" in path.read_bytes()
    assert {param.name: param.value for param in table.params} == {
        "exact": True,
        "matched": 1234,
        "matched_is_bound": False,
        "k": 10,
        "offset": 0,
        "min_separation_arcsec": 25.152,
    }
    assert {info.name: info.content for info in table.infos}["sql"] == SQL
    assert {info.name: info.value for info in table.infos}["query"] == "galaxy 7"


def test_votable_when_read_as_a_table_then_masks_what_is_null(tmp_path: Path):
    table = Table.read(written("votable", tmp_path), format="votable")

    assert list(table["object_id"]) == [2**53 + 1, 9222213454291370001, 5]
    for name in ("separation", "mag_r", "maskbits"):
        assert Masked(table[name]).mask.tolist() == [False, False, True], name


def test_votable_ucds_are_of_the_vocabulary(tmp_path: Path):
    from astropy.io.votable.ucd import check_ucd

    table = votable.parse(written("votable", tmp_path)).get_first_table()

    for part in (*table.fields, *table.params):
        assert check_ucd(part.ucd, check_controlled_vocabulary=True), part.ucd


def test_parquet_when_read_then_has_meanings_and_provenance(tmp_path: Path):
    table = pq.read_table(written("parquet", tmp_path))

    assert table.drop_columns([]).equals(search_result().rows)
    assert table.schema.field("ra").metadata == {
        b"description": b"Right ascension, ICRS",
        b"unit": b"deg",
        b"ucd": b"pos.eq.ra;meta.main",
    }
    assert json.loads(table.schema.metadata[b"skylike"])["query"] == "galaxy 7"


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_html_when_texts_hold_markup_then_shows_it_and_loads_nothing():
    page = _Page()

    page.feed(html_text(search_result(query="<script>alert(1)</script> & more")))

    assert "script" not in page.tags
    assert "<script>alert(1)</script> & more" in page.words
    assert "ls #10, <b>" in page.words
    assert "b" not in page.tags
    assert page.links == []
    assert page.tags.count("tr") == 4


def test_table_when_printed_then_shows_values_a_fitting_unit_and_the_provenance():
    text = table_text(search_result())

    assert "from query (arcmin)" in text
    assert "30.00" in text
    assert "0.9877" in text
    assert "[DEV]" in text
    assert "1,234 embedded galaxies match the cut mag_r < 18 AND type <> 'PSF' and the cone" in text
    assert "exact (route filter), encoder demo" in text
    assert "3 of 10 found" in text


def test_table_when_the_least_similar_were_asked_for_then_says_so_once():
    text = table_text(search_result(query="least like galaxy 7"))

    assert "3 galaxies least like galaxy 7\n" in text


def test_table_when_printed_then_rounds_the_cone():
    text = table_text(search_result(cone=Cone(188.410030906, 26.8002608739, 4.0)))

    assert "the cone of 4 deg around 188.41003 +26.80026\n" in text


def test_table_when_the_terminal_is_narrow_then_says_what_is_left_out():
    sink = io.StringIO()

    print_result(search_result(), Console(file=sink, width=60))

    lines = sink.getvalue().splitlines()
    assert all(len(line) <= 60 for line in lines[:4])
    assert "type" not in lines[0]
    assert "Not shown for want of room: " in sink.getvalue()


def test_table_when_no_galaxy_has_a_separation_then_has_no_such_column():
    assert "separation" not in table_text(search_result()).splitlines()[0].replace(
        "from query (arcmin)", ""
    )
    result = search_result()
    only_last = type(result)(result.rows.slice(2), result.meanings, result.provenance)

    assert "separation" not in table_text(only_last)


@pytest.mark.parametrize("format_name", ["fits", "votable", "parquet"])
def test_write_result_when_binary_without_a_file_then_asks_for_one(format_name: str):
    with pytest.raises(SettingsError, match=f"the format {format_name} is for files.*--output"):
        write_result(search_result(), format=format_name, output=None)


def test_write_result_when_the_output_is_a_dash_then_writes_to_a_pipe(
    capfdbinary: pytest.CaptureFixture[bytes],
):
    write_result(search_result(), format="fits", output=Path("-"))

    assert capfdbinary.readouterr().out.startswith(b"SIMPLE  =")


@pytest.mark.parametrize("format_name", ["json", "html", "table"])
def test_write_result_when_text_without_a_file_then_prints(
    format_name: str, capsys: pytest.CaptureFixture[str]
):
    write_result(search_result(), format=format_name, output=None)

    assert "galaxy 7" in capsys.readouterr().out


def test_write_result_when_csv_without_a_file_then_prints_a_header_and_rows_alone(
    capsys: pytest.CaptureFixture[str],
):
    write_result(search_result(), format="csv", output=None)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('"rank","galaxy_id","similarity"')
    assert len(lines) == 4


def test_write_result_when_the_folder_is_missing_then_says_so(tmp_path: Path):
    with pytest.raises(SettingsError, match="cannot be written; name a file in a folder"):
        write_result(search_result(), format="csv", output=tmp_path / "missing" / "result.csv")


def test_write_result_when_the_file_is_a_folder_then_says_so_and_leaves_nothing(tmp_path: Path):
    (tmp_path / "result.csv").mkdir()

    with pytest.raises(SettingsError, match="cannot be written"):
        write_result(search_result(), output=tmp_path / "result.csv")

    assert [entry.name for entry in tmp_path.iterdir()] == ["result.csv"]


def test_write_result_when_the_format_is_unknown_then_lists_them():
    with pytest.raises(SettingsError, match="no format xls; choose one of table, csv"):
        write_result(search_result(), format="xls", output=None)


def test_table_when_each_query_has_an_answer_then_shows_whose_a_row_is():
    result = search_result()
    own = {
        "query": pa.array([1, 1, 2], pa.int32()),
        "query_label": pa.array(["row 2 of a.csv (galaxy 7)"] * 2 + ["row 5 of a.csv (galaxy 9)"]),
    }
    columns = {name: result.rows[name] for name in result.rows.column_names}
    both = type(result)(pa.table(own | columns), result.meanings, result.provenance)

    lines = table_text(both).splitlines()

    assert lines[0].split()[:3] == ["query", "query_label", "rank"]
    assert "row 2 of a.csv (galaxy 7)" in lines[2]
    assert "row 5 of a.csv (galaxy 9)" in lines[3]


def test_table_when_a_column_was_defined_for_the_search_then_shows_it_though_it_is_empty():
    result = search_result(definitions=("xx = mag_g - mag_i",))
    rows = result.rows.append_column("xx", pa.nulls(3, pa.float64()))
    rows = rows.append_column("yy", pa.nulls(3, pa.float64()))

    heads = table_text(type(result)(rows, MEANINGS, result.provenance)).splitlines()[0].split()

    assert "xx" in heads
    assert "yy" not in heads

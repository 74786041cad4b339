import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from skylike.errors import SurveyFileError
from skylike.survey.batches import BATCH_ROWS, SurveyTable
from skylike.survey.tables import open_tables


def read_all(table: SurveyTable, *names: str) -> dict[str, list[object]]:
    read: dict[str, list[object]] = {name: [] for name in names}
    for batch in table.read(names):
        for name in names:
            read[name] += batch.columns[name].tolist()
    return read


@pytest.mark.parametrize("extension", ["fits", "csv", "ecsv", "vot", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, extension: str):
    path = tmp_path / f"table.{extension}"
    ids = [2**60 + 1, 2**60 + 3]
    table = Table({"id": ids, "ra": [1.5, 2.5], "class": ["GALAXY", "STAR"]})
    if extension == "parquet":
        table.to_pandas().to_parquet(path)
    else:
        table.write(path, format="votable" if extension == "vot" else None)

    (opened,) = open_tables(path)

    assert [column.kind for column in opened.columns] == ["number", "number", "text"]
    assert read_all(opened, "id", "ra", "class") == {
        "id": ids,
        "ra": [1.5, 2.5],
        "class": ["GALAXY", "STAR"],
    }


def test_every_extension_of_a_fits_file_is_a_table(tmp_path: Path):
    path = tmp_path / "two.fits"
    first = fits.BinTableHDU(Table({"brick": ["a"]}))
    second = fits.BinTableHDU(Table({"RA": [1.0]}, units={"RA": "deg"}))
    fits.HDUList([fits.PrimaryHDU(), first, second]).writeto(path)

    tables = open_tables(path)

    assert [table.columns[0].name for table in tables] == ["brick", "RA"]
    assert tables[1].columns[0].unit == "deg"


def test_null_integers_of_fits_are_masked(tmp_path: Path):
    path = tmp_path / "null.fits"
    column = fits.Column("OBJID", "J", null=-1, array=np.array([-1, 5]))
    fits.BinTableHDU.from_columns([column]).writeto(path)

    (table,) = open_tables(path)

    assert read_all(table, "OBJID") == {"OBJID": [None, 5]}


def test_decam_vectors_become_a_column_for_each_band(tmp_path: Path):
    path = tmp_path / "tractor.fits"
    flux = np.arange(12, dtype=np.float32).reshape(2, 6)
    Table({"ra": [1.0, 2.0], "decam_flux": flux}).write(path)

    (table,) = open_tables(path)

    assert read_all(table, "decam_flux_g", "decam_flux_z") == {
        "decam_flux_g": [1.0, 7.0],
        "decam_flux_z": [4.0, 10.0],
    }


def test_hdf5_fields_are_columns_and_images_are_not(tmp_path: Path):
    path = tmp_path / "images_npix152_000000000_000000002.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((2, 3, 4, 4), dtype=np.float32)
        file["ra"] = np.array([10.0, 11.0])
        file["flux"] = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)
        file["source_type"] = np.array([b"SER", b"EXP"])

    (table,) = open_tables(path)

    assert {column.name for column in table.columns} == {
        *("ra", "flux_g", "flux_r", "flux_z", "source_type"),
    }
    assert read_all(table, "flux_z", "source_type") == {
        "flux_z": [3.0, 6.0],
        "source_type": ["SER", "EXP"],
    }


def test_csv_values_are_judged_one_by_one(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_text("ra,dec,objid\n1,+5,12\n2.5,,13\n x,1e1,14\n", encoding="utf-8")
    (table,) = open_tables(path)

    batches = list(table.read(["ra", "dec", "objid"]))

    # The sample sees the text in `ra`: then it is text, and whoever needs numbers converts.
    assert batches[0].columns["ra"].tolist() == ["1", "2.5", "x"]
    assert batches[0].columns["dec"].tolist() == [5.0, None, 10.0]
    assert batches[0].columns["objid"].tolist() == [12, 13, 14]


def test_late_text_in_a_csv_column_of_numbers_is_masked_and_counted(tmp_path: Path):
    path = tmp_path / "table.csv"
    rows = [f"{i},0.5" for i in range(3000)] + ["oops,0.5"]
    path.write_text("ra,dec\n" + "\n".join(rows), encoding="utf-8")
    (table,) = open_tables(path)

    batches = list(table.read(["ra"]))

    assert sum(batch.unreadable.get("ra", 0) for batch in batches) == 1
    assert batches[-1].columns["ra"].tolist()[-1] is None


def test_csv_rows_with_another_number_of_fields_are_counted(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_text("ra,dec\n1,2\n1,2,3\n4\n5,6\n", encoding="utf-8")
    (table,) = open_tables(path)

    batches = list(table.read(["ra"]))

    assert sum(batch.n_rows for batch in batches) == 2
    assert sum(batch.n_malformed for batch in batches) == 2


@pytest.mark.parametrize(
    "text",
    ["#Table1\nra,dec\n1,2\n", "# ra,dec\n1,2\n", "\ufeffra,dec\n1,2\n", "ra;dec\n1;2\n"],
    ids=["skyserver", "topcat", "byte-order mark", "semicolons"],
)
def test_csv_dialects_are_read(tmp_path: Path, text: str):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")

    (table,) = open_tables(path)

    assert read_all(table, "ra", "dec") == {"ra": [1], "dec": [2]}


def test_large_tables_come_in_batches(tmp_path: Path):
    path = tmp_path / "large.fits"
    Table({"ra": np.zeros(BATCH_ROWS + 1)}).write(path)

    (table,) = open_tables(path)

    assert [batch.n_rows for batch in table.read(["ra"])] == [BATCH_ROWS, 1]


def test_a_truncated_gzip_is_refused(tmp_path: Path):
    path = tmp_path / "table.csv.gz"
    whole = gzip.compress(("ra,dec\n" + "1,2\n" * 100_000).encode())
    path.write_bytes(whole[: len(whole) // 2])

    with pytest.raises(SurveyFileError, match=r"table\.csv\.gz"):
        read_all(open_tables(path)[0], "ra")

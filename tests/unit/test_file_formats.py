"""The format of a file: by its extension, which nothing may contradict."""

import gzip
from pathlib import Path

import pytest

from skylike.errors import SettingsError
from skylike.file_formats import EXTENSIONS, Format, choose_format, compress_file


@pytest.mark.parametrize(("extension", "form"), EXTENSIONS.items())
def test_choose_format_when_only_a_file_is_named_then_takes_the_extension(
    extension: str, form: Format
):
    assert choose_format(Path(f"like{extension}")) is form
    assert choose_format(Path(f"like{extension.upper()}"), form.value) is form


@pytest.mark.parametrize("name", ["like.csv.gz", "like.json.gz", "like.fits.gz", "like.vot.gz"])
def test_choose_format_when_the_name_ends_with_gz_then_takes_what_stands_before(name: str):
    assert choose_format(Path(name)) is EXTENSIONS[Path(name).with_suffix("").suffix]


@pytest.mark.parametrize(
    "name", ["a.h5", "a.png", "a", "a.gz", "a.parquet.gz", "a.html.gz", "a.csv.part"]
)
def test_choose_format_when_the_extension_tells_none_then_lists_those_that_do(name: str):
    with pytest.raises(SettingsError, match=r"tells no format; use \.csv, \.json, \.fits"):
        choose_format(Path(name))


@pytest.mark.parametrize("name", ["a.h5", "a.gz"])
def test_choose_format_when_the_extension_is_unknown_then_a_format_does_not_help(name: str):
    with pytest.raises(SettingsError, match="tells no format"):
        choose_format(Path(name), "csv")


def test_choose_format_when_format_and_extension_differ_then_refuses_in_one_line():
    with pytest.raises(SettingsError) as refused:
        choose_format(Path("o2.fits"), "votable", option="--output ")

    assert str(refused.value) == (
        "--output o2.fits: the extension says fits, the format is votable; "
        "make them agree or leave out the format"
    )


def test_choose_format_when_there_is_no_extension_then_takes_the_format():
    assert choose_format(Path("answer"), "fits") is Format.FITS


@pytest.mark.parametrize("output", [None, Path("-")])
def test_choose_format_when_it_is_standard_output_then_is_a_table_unless_said(output: Path | None):
    assert choose_format(output) is Format.TABLE
    assert choose_format(output, "json") is Format.JSON
    assert choose_format(output, among=(Format.CSV, Format.PARQUET)) is Format.CSV


def test_choose_format_when_a_format_is_not_offered_then_says_which_are():
    with pytest.raises(SettingsError, match=r"no format; use \.csv, \.parquet$"):
        choose_format(Path("a.json"), among=(Format.CSV, Format.PARQUET))


def test_compress_file_when_called_then_replaces_it_by_the_same_bytes_each_time(tmp_path: Path):
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        path.write_bytes(b"a,b\n1,2\n")
        compress_file(path)

    assert gzip.decompress(paths[0].read_bytes()) == b"a,b\n1,2\n"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths

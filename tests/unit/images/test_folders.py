import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from skylike.errors import ImageFileError
from skylike.images.convert import convert_pictures
from skylike.images.folders import read_listing
from skylike.images.inputs import InputKind, find_inputs


def write_listing(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8")
    return path


def png(value: int = 100, size: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_read_listing_when_columns_have_other_names_then_they_are_found_and_the_rest_is_said(
    tmp_path: Path,
):
    path = write_listing(tmp_path, "Filename,RA,Dec,Object_ID,votes\na.png,370,-10,7,3\n")

    listing = read_listing(path)

    entry = listing.entries["a.png"]
    assert (entry.ra, entry.dec, entry.object_id) == (10, -10, 7)
    assert listing.notes == ("list.csv: columns not used: votes",)


def test_read_listing_when_an_identifier_has_19_digits_then_it_is_not_rounded(tmp_path: Path):
    path = write_listing(tmp_path, "file,id\na.png,1237648720693755918\nb.png,\nc.png,1.5\n")

    listing = read_listing(path)

    assert [entry.object_id for entry in listing.entries.values()] == [1237648720693755918, -1, -1]
    assert listing.notes == ("list.csv: 1 identifiers are no integers and are not used",)


def test_read_listing_when_positions_are_impossible_then_they_are_unknown_and_counted(
    tmp_path: Path,
):
    path = write_listing(tmp_path, "file,ra,dec\na.png,10,95\nb.png,,\nc.png,x,1\nd.png,1,2\n")

    listing = read_listing(path)

    known = {name for name, entry in listing.entries.items() if np.isfinite(entry.ra)}
    assert known == {"d.png"}
    assert listing.notes == ("list.csv: 3 rows without a possible position",)


def test_read_listing_when_a_file_is_named_twice_then_the_first_row_counts(tmp_path: Path):
    path = write_listing(tmp_path, "file,label\na.png,ring\na.png,spiral\n")

    listing = read_listing(path)

    assert listing.entries["a.png"].label == "ring"
    assert "1 rows name a file again" in listing.notes[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("ra,dec\n1,2\n", "no column `file`; its columns are ra, dec"),
        ("file,ra\na.png,1\n", "only one of the columns ra and dec"),
        ("file\n", "lists no pictures"),
        ('file\n"a\n', "not a readable CSV"),
    ],
)
def test_read_listing_when_it_cannot_be_used_then_the_error_says_why(
    tmp_path: Path, text: str, reason: str
):
    with pytest.raises(ImageFileError, match=rf"list\.csv: .*{reason}"):
        read_listing(write_listing(tmp_path, text))


@pytest.mark.parametrize("name", ["rings.tar", "rings.tar.gz", "rings.tgz"])
def test_find_inputs_when_a_csv_has_the_name_of_the_tar_then_it_is_found(tmp_path: Path, name: str):
    write_tar(tmp_path / name, {"a.png": png()})
    (tmp_path / "rings.csv").write_text("file\na.png\n")

    (found,) = find_inputs([tmp_path / name])

    assert found.kind is InputKind.PICTURES
    assert found.listing == tmp_path / "rings.csv"


def test_find_inputs_when_a_folder_holds_all_kinds_then_each_is_an_input(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    for name in (
        "a.h5",
        "b.hdf5",
        "c.fits",
        "sub/d.fits.fz",
        "e.png",
        "sub/f.JPG",
        ".g.png",
        "h.txt",
    ):
        (tmp_path / name).touch()

    inputs = find_inputs([tmp_path])

    assert [(i.kind, len(i.files)) for i in inputs] == [
        (InputKind.HDF5, 1),
        (InputKind.HDF5, 1),
        (InputKind.FITS, 2),
        (InputKind.PICTURES, 2),
    ]
    assert len({i.origin for i in inputs}) == 4


def test_find_inputs_when_fits_files_are_named_one_by_one_then_they_are_one_input(tmp_path: Path):
    for name in ("a.fits", "b.fits"):
        (tmp_path / name).touch()

    inputs = find_inputs([tmp_path / "b.fits", tmp_path / "a.fits"])

    assert [len(i.files) for i in inputs] == [2]
    assert inputs[0].origin == find_inputs([tmp_path / "a.fits", tmp_path / "b.fits"])[0].origin


def test_fingerprint_when_a_file_is_written_again_then_it_changes(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(png())
    before = find_inputs([tmp_path])[0].fingerprint()

    assert find_inputs([tmp_path])[0].fingerprint() == before
    (tmp_path / "a.png").write_bytes(png(size=65))

    assert find_inputs([tmp_path])[0].fingerprint() != before


def test_convert_pictures_when_some_are_bad_then_the_others_are_written_in_order(tmp_path: Path):
    members = {
        "set/a.png": png(10),
        "set/broken.png": png()[:50],
        "set/._a.png": b"resource fork",
        "set/readme.txt": b"hello",
        "set/b.png": png(20),
    }
    tar = write_tar(tmp_path / "p.tar", members)
    (tmp_path / "p.csv").write_text(
        "file,ra,dec,label\nb.png,1,2,ring\nset/a.png,3,4,\nz.png,5,6,\n"
    )

    converted = convert_pictures(find_inputs([tar])[0], tmp_path / "out.h5")

    assert converted.rows.name.tolist() == ["set/a.png", "set/b.png"]
    assert converted.rows.ra.tolist() == [3, 1]
    assert len(converted.refused) == 1
    assert "set/broken.png: not a readable JPEG or PNG" in converted.refused[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5", "p.csv", "p.tar"]


def test_convert_pictures_when_a_tar_is_truncated_then_nothing_is_written(tmp_path: Path):
    rng = np.random.default_rng(3)
    noise = Image.fromarray(rng.integers(0, 256, (152, 152, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    tar = write_tar(tmp_path / "p.tar", {f"{i}.png": buffer.getvalue() for i in range(4)})
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])

    with pytest.raises(ImageFileError, match=r"p\.tar: not a readable tar"):
        convert_pictures(find_inputs([tar])[0], tmp_path / "out.h5")

    assert [path.name for path in tmp_path.iterdir()] == ["p.tar"]


def test_find_inputs_when_a_catalog_lies_in_the_folder_then_it_is_passed_over(tmp_path: Path):
    Table({"ra": [1.0]}).write(tmp_path / "sweep.fits")
    fits.writeto(tmp_path / "cube.fits", np.zeros((3, 8, 8)))
    (tmp_path / "damaged.fits").write_bytes(b"SIMPLE")

    (found,) = find_inputs([tmp_path])

    assert [file.name for file in found.files] == ["cube.fits", "damaged.fits"]

"""Wrong catalog files and options, and what is said about them."""

from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits
from astropy.table import Table

from bad_input.case import BadInput


def _text(name: str, text: str):
    def prepare(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return prepare


def _good_csv(folder: Path) -> None:
    (folder / "good.csv").write_text("ra,dec,mag_r\n10,20,18\n11,21,19\n", encoding="utf-8")


def _truncated_fits(folder: Path) -> None:
    path = folder / "sweep.fits"
    Table({"RA": np.arange(2000.0) / 10, "DEC": np.zeros(2000)}).write(path)
    path.write_bytes(path.read_bytes()[:9000])


def _fits_cut_short_in_a_header(folder: Path) -> None:
    path = folder / "short.fits"
    Table({"RA": np.arange(20.0), "DEC": np.zeros(20)}).write(path)
    path.write_bytes(path.read_bytes()[: 2880 + 500])


def _damaged_fits(folder: Path) -> None:
    path = folder / "damaged.fits"
    Table({"RA": np.arange(20.0), "DEC": np.zeros(20)}).write(path)
    path.write_bytes(path.read_bytes().replace(b"TTYPE1  = 'RA ", b"TTYPE1  = RA' "))


def _image_fits(folder: Path) -> None:
    fits.PrimaryHDU(np.zeros((3, 8, 8), dtype=np.float32)).writeto(folder / "cube.fits")


def _truncated_hdf5(folder: Path) -> None:
    path = folder / "cutouts.h5"
    with h5py.File(path, "w") as file:
        file["ra"] = np.arange(5000.0)
        file["dec"] = np.zeros(5000)
    path.write_bytes(path.read_bytes()[:20_000])


def _truncated_parquet(folder: Path) -> None:
    path = folder / "galaxies.parquet"
    path.write_bytes(b"PAR1" + bytes(500))


def _bad_among_good(folder: Path) -> None:
    _good_csv(folder)
    (folder / "bad.csv").write_text("name,flux\na,1\n", encoding="utf-8")


CASES = [
    BadInput(
        "catalog: no such file",
        ("catalog", "load", "{folder}/missing.fits"),
        r"missing\.fits: there is no such file",
    ),
    BadInput(
        "catalog: a folder",
        ("catalog", "load", "{folder}"),
        r"is a folder; give the catalog files in it",
    ),
    BadInput(
        "catalog: an empty file",
        ("catalog", "load", "{folder}/empty.csv"),
        r"empty\.csv: the file is empty",
        _text("empty.csv", ""),
    ),
    BadInput(
        "catalog: a header without rows",
        ("catalog", "load", "{folder}/header.csv"),
        r"header\.csv: the table has a header and no rows",
        _text("header.csv", "ra,dec\n"),
    ),
    BadInput(
        "catalog: rows without a header",
        ("catalog", "load", "{folder}/bare.csv"),
        r"bare\.csv: the first line holds numbers, not column names",
        _text("bare.csv", "10.5,20.1\n11.5,20.2\n"),
    ),
    BadInput(
        "catalog: every row longer than the header",
        ("catalog", "load", "{folder}/ragged.csv"),
        r"ragged\.csv: the header has 2 fields and the first 2 rows another number",
        _text("ragged.csv", "ra,dec\n10.5,20.1,\n11.5,20.2,\n"),
    ),
    BadInput(
        "catalog: a FITS table with a damaged header",
        ("catalog", "load", "{folder}/damaged.fits"),
        r"damaged\.fits: cannot be read as FITS \(Unparsable card",
        _damaged_fits,
    ),
    BadInput(
        "catalog: FITS cut short in the header of its table",
        ("catalog", "load", "{folder}/short.fits"),
        r"short\.fits: the file is truncated .*; download it again",
        _fits_cut_short_in_a_header,
    ),
    BadInput(
        "catalog: no positions",
        ("catalog", "load", "{folder}/names.csv"),
        r"no columns of right ascension and declination .* among name, flux; .*--columns ra=NAME",
        _text("names.csv", "name,flux\na,1\n"),
    ),
    BadInput(
        "catalog: two right ascensions",
        ("catalog", "load", "{folder}/two.csv"),
        r"ra may be ra_deg or RAJ2000; say which, such as --columns ra=ra_deg",
        _text("two.csv", "RAJ2000,ra_deg,dec\n1,1,1\n"),
    ),
    BadInput(
        "catalog: a truncated FITS table",
        ("catalog", "load", "{folder}/sweep.fits"),
        r"sweep\.fits: the file is truncated .*download it again",
        _truncated_fits,
    ),
    BadInput(
        "catalog: a FITS image",
        ("catalog", "load", "{folder}/cube.fits"),
        r"cube\.fits: the FITS file holds no table; images go to `skylike images`",
        _image_fits,
    ),
    BadInput(
        "catalog: text that calls itself FITS",
        ("catalog", "load", "{folder}/page.fits"),
        r"page\.fits: the content is not FITS",
        _text("page.fits", "<html>404</html>"),
    ),
    BadInput(
        "catalog: a truncated HDF5 file",
        ("catalog", "load", "{folder}/cutouts.h5"),
        r"cutouts\.h5: cannot be read as HDF5, it may be truncated",
        _truncated_hdf5,
    ),
    BadInput(
        "catalog: a broken Parquet file",
        ("catalog", "load", "{folder}/galaxies.parquet"),
        r"galaxies\.parquet: cannot be read as Parquet",
        _truncated_parquet,
    ),
    BadInput(
        "catalog: a broken VOTable",
        ("catalog", "load", "{folder}/answer.xml"),
        r"answer\.xml: cannot be read as VOTable",
        _text("answer.xml", '<?xml version="1.0"?><VOTABLE><RESOURCE><TABLE>'),
    ),
    BadInput(
        "catalog: a kind of file that is not known",
        ("catalog", "load", "{folder}/notes.doc"),
        r"notes\.doc: this kind of file is not known; let its name end in what it is",
        _text("notes.doc", "galaxies"),
    ),
    BadInput(
        "catalog: --columns names what the file has not",
        ("catalog", "load", "{folder}/good.csv", "--columns", "mag_g=mag_q"),
        r"--columns mag_g=mag_q: the file has no column 'mag_q'; there is mag_r",
        _good_csv,
    ),
    BadInput(
        "catalog: --columns names what we have not",
        ("catalog", "load", "{folder}/good.csv", "--columns", "magr=mag_r"),
        r"--columns 'magr=mag_r': there is no 'magr'; there is mag_r",
        _good_csv,
    ),
    BadInput(
        "catalog: --columns without an equals sign",
        ("catalog", "load", "{folder}/good.csv", "--columns", "mag_r"),
        r"--columns 'mag_r': write it as ours=theirs",
        _good_csv,
    ),
    BadInput(
        "catalog: an identifier that is not unique",
        ("catalog", "load", "{folder}/ids.csv", "--columns", "object_id=objid"),
        r"--columns object_id=objid: .* 1 different values in 2 rows; say object_id=",
        _text("ids.csv", "objid,ra,dec\n7,1,1\n7,2,2\n"),
    ),
    BadInput(
        "catalog: a cut on a column that is not there",
        ("catalog", "load", "{folder}/good.csv", "--where", "mag_q < 20"),
        r"mag_q",
        _good_csv,
    ),
    BadInput(
        "catalog: a unit that is no angle",
        ("catalog", "load", "{folder}/units.ecsv"),
        r"positions in the unit 'kg' are not understood",
        lambda folder: Table({"ra": [1.0], "dec": [1.0]}, units={"ra": "kg"}).write(
            folder / "units.ecsv"
        ),
    ),
    BadInput(
        "catalog: one bad file among good ones",
        ("catalog", "load", "{folder}/good.csv", "{folder}/bad.csv"),
        r"1 of 2 files were not loaded, the others were: .*bad\.csv",
        _bad_among_good,
    ),
    BadInput(
        "catalog: --magnitudes of an unknown kind",
        ("catalog", "load", "{folder}/good.csv", "--magnitudes", "vega"),
        r"vega",
        _good_csv,
        exit_status=2,
    ),
    BadInput(
        "catalog: an export without a format",
        ("catalog", "export", "--output", "{folder}/galaxies.dat"),
        r"galaxies\.dat: the extension tells no format; use \.csv, \.fits",
    ),
    BadInput(
        "catalog: an export into a folder that is not there",
        ("catalog", "export", "--output", "{folder}/none/galaxies.csv"),
        r"galaxies\.csv: cannot be written",
    ),
]

from pathlib import Path

import h5py
import numpy as np
import pytest
import sqlalchemy as sa
from astropy.table import Table
from sqlalchemy import Engine

from skylike.catalog.load import load_file, load_files
from skylike.catalog.plan import LoadOptions
from skylike.catalog.report import DUPLICATE_REASON
from skylike.errors import SurveyFileError

SWEEP = {
    "RELEASE": [9010, 9010, 9011],
    "BRICKID": [5, 5, 6],
    "OBJID": [1, 2, 1],
    "RA": [10.0, 11.0, 12.0],
    "DEC": [-1.0, 0.0, 1.0],
    "TYPE": ["EXP", "PSF", "SER"],
    "FLUX_R": np.array([10, 10, -1], dtype=np.float32),
    "FLUX_IVAR_R": np.array([4, 4, 4], dtype=np.float32),
    "MW_TRANSMISSION_R": np.array([0.8, 0.8, 0.8], dtype=np.float32),
}


def write_sweep(path: Path, **changes: object) -> Path:
    Table({**SWEEP, **changes}).write(path, overwrite=True)
    return path


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def fetch(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def test_a_sweep_becomes_galaxies(engine: Engine, tmp_path: Path):
    report = load_file(engine, write_sweep(tmp_path / "sweep.fits"))

    assert report.survey == "ls-dr9"
    assert report.rejected == {"star (type PSF)": 1}
    assert report.magnitudes == "dereddened"
    first, second = fetch(
        engine,
        'SELECT galaxy_id, object_id, ra, "dec", flux_r, mag_r, mag_err_r, type, photsys, '
        "psf_size_r, ebv FROM galaxy ORDER BY ra",
    )
    assert first[:4] == (1, 9010 << 40 | 5 << 16 | 1, 10.0, -1.0)
    assert first[5] == pytest.approx(22.5 - 2.5 * np.log10(10 / 0.8), abs=1e-6)
    assert first[6] == pytest.approx(2.5 / np.log(10) / (10 * 2), rel=1e-6)
    assert first[7:] == ("EXP", "S", None, None)
    assert second[4:6] == (-1.0, None)
    assert second[8] == "N"
    assert fetch(engine, "SELECT name, bands FROM survey") == [("ls-dr9", ["r"])]


def test_loading_twice_changes_nothing_and_burns_no_identifier(engine: Engine, tmp_path: Path):
    path = write_sweep(tmp_path / "sweep.fits")
    load_file(engine, path)
    before = fetch(engine, "SELECT galaxy.*, xmin FROM galaxy ORDER BY galaxy_id")

    again = load_file(engine, path)
    other = load_file(engine, write_csv(tmp_path / "other.csv", "ra,dec\n1,2\n"))

    assert (again.counts.inserted, again.counts.updated, again.counts.unchanged) == (0, 0, 2)
    assert other.counts.inserted == 1
    after = fetch(engine, "SELECT galaxy.*, xmin FROM galaxy ORDER BY galaxy_id")
    assert after[:2] == before
    assert after[2][0] == 3
    assert fetch(engine, "SELECT count(*) FROM catalog_load") == [(3,)]


def test_a_changed_row_is_updated_in_place_and_counted(engine: Engine, tmp_path: Path):
    load_file(engine, write_sweep(tmp_path / "sweep.fits"))
    before = fetch(engine, "SELECT galaxy_id, updated_at FROM galaxy ORDER BY galaxy_id")
    flux = np.array([20, 10, -1], dtype=np.float32)

    report = load_file(engine, write_sweep(tmp_path / "sweep.fits", FLUX_R=flux))

    assert (report.counts.inserted, report.counts.updated, report.counts.unchanged) == (0, 1, 1)
    after = fetch(engine, "SELECT galaxy_id, updated_at FROM galaxy ORDER BY galaxy_id")
    assert after[0][1] > before[0][1]
    assert after[1] == before[1]


def test_columns_that_a_file_lacks_keep_their_values(engine: Engine, tmp_path: Path):
    options = LoadOptions(survey="s")
    load_file(
        engine,
        write_csv(tmp_path / "a.csv", "id,ra,dec,mag_r,z_spec\n7,1,2,18,0.5\n"),
        options=options,
    )

    load_file(engine, write_csv(tmp_path / "b.csv", "id,ra,dec,z_spec\n7,1,2,\n"), options=options)

    assert fetch(engine, "SELECT mag_r, z_spec FROM galaxy") == [(18.0, None)]


def test_of_rows_with_one_key_the_first_is_stored(engine: Engine, tmp_path: Path):
    path = write_sweep(
        tmp_path / "sweep.fits", OBJID=[1, 2, 1], BRICKID=[5, 5, 5], RELEASE=[9010] * 3
    )

    report = load_file(engine, path)

    assert report.rejected[DUPLICATE_REASON] == 1
    assert fetch(engine, "SELECT ra FROM galaxy") == [(10.0,)]


def test_identifiers_follow_the_sky(engine: Engine, tmp_path: Path):
    rng = np.random.default_rng(3)
    Table({"ra": rng.uniform(0, 360, 500), "dec": rng.uniform(-90, 90, 500)}).write(
        tmp_path / "sky.csv"
    )

    load_file(engine, tmp_path / "sky.csv")

    cells = [cell for (cell,) in fetch(engine, "SELECT healpix29 FROM galaxy ORDER BY galaxy_id")]
    assert cells == sorted(cells)
    assert fetch(engine, "SELECT count(*), max(galaxy_id) FROM galaxy") == [(500, 500)]


def test_rounded_identifiers_give_way_to_positions(engine: Engine, tmp_path: Path):
    path = write_csv(tmp_path / "sdss.csv", "objid,ra,dec\n1.24E+18,1,2\n1.24E+18,3,4\n")

    report = load_file(engine, path)

    assert report.counts.inserted == 2
    assert any("objid is not used as identifier" in note for note in report.notes)
    assert fetch(engine, "SELECT bool_and(object_id = healpix29) FROM galaxy") == [(True,)]


def test_the_cutout_files_of_ssl_legacysurvey_load(engine: Engine, tmp_path: Path):
    path = tmp_path / "images.h5"
    with h5py.File(path, "w") as file:
        for name, values in {"release": 9010, "brickid": 5, "z_spec": -99.0, "maskbits": 1}.items():
            file[name] = np.array([values] * 2)
        file["objid"] = np.array([1, 1])
        file["ra"], file["dec"] = np.array([1.0, 1.0]), np.array([2.0, 2.0])
        file["flux"] = np.full((2, 3), 10, dtype=np.float32)
        file["transmission"] = np.full((2, 3), 0.5, dtype=np.float32)
        file["psfsize"] = np.full((2, 3), 1.25, dtype=np.float32)
        file["source_type"] = np.array([b"SER", b"SER"])

    report = load_file(engine, path)

    assert report.rejected == {DUPLICATE_REASON: 1}
    rows = fetch(engine, "SELECT mag_g, psf_size_z, z_spec, type, maskbits FROM galaxy")
    assert rows == [(pytest.approx(22.5 - 2.5 * np.log10(20)), 1.25, None, "SER", 1)]


def test_a_selection_is_counted_apart_from_what_is_rejected(engine: Engine, tmp_path: Path):
    path = write_csv(tmp_path / "c.csv", "ra,dec,class\n1,2,GALAXY\n,2,GALAXY\n3,4,STAR\n")

    report = load_file(engine, path, options=LoadOptions(where="class = 'GALAXY'"))

    assert report.not_selected == 1
    assert report.rejected == {"position missing or not finite": 1}
    assert fetch(engine, "SELECT rows_read, rows_inserted, selection FROM catalog_load") == [
        (3, 1, "class = 'GALAXY'")
    ]


def test_galaxies_without_reddening_keep_observed_magnitudes_and_are_counted(
    engine: Engine, tmp_path: Path
):
    path = write_csv(tmp_path / "c.csv", "ra,dec,mag_r,ebv\n1,2,18,0.1\n3,4,19,\n")

    report = load_file(engine, path, options=LoadOptions(magnitudes="observed"))

    assert report.notes == ("1 galaxies without ebv keep magnitudes as observed",)
    assert report.magnitudes == "dereddened"
    magnitudes = [mag for (mag,) in fetch(engine, "SELECT mag_r FROM galaxy ORDER BY ra")]
    assert magnitudes == pytest.approx([18 - 0.2165, 19.0])


def test_a_redshift_that_copies_the_declination_is_left_out(engine: Engine, tmp_path: Path):
    path = write_csv(tmp_path / "c.csv", "RA,DEC,redshift\n1,0.2,0.2\n3,0.4,0.4\n")

    report = load_file(engine, path)

    assert "column redshift is a copy of DEC and not a redshift: left out" in report.notes
    assert fetch(engine, "SELECT DISTINCT z_spec FROM galaxy") == [(None,)]


def test_a_bad_file_leaves_the_others_and_nothing_of_itself(engine: Engine, tmp_path: Path):
    rows = "\n".join("1,2" for _ in range(10))
    good = write_csv(tmp_path / "good.csv", "ra,dec\n5,6\n")
    bad = write_csv(tmp_path / "bad.csv", f"name,flux\n{rows}\n")

    summary = load_files(engine, [bad, good], options=LoadOptions())

    assert [report.path for report in summary.reports] == [good]
    with pytest.raises(SurveyFileError, match=r"1 of 2 files were not loaded.*bad\.csv"):
        summary.check()
    assert fetch(engine, "SELECT name FROM survey") == [("good",)]


def test_a_file_that_breaks_half_way_leaves_nothing(engine: Engine, tmp_path: Path):
    rng = np.random.default_rng(2)
    path = tmp_path / "large.parquet"
    table = Table({"ra": rng.uniform(0, 360, 300_000), "dec": rng.uniform(-90, 90, 300_000)})
    table.to_pandas().to_parquet(path, row_group_size=100_000, compression="snappy")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200_000] = bytes(200_000)
    path.write_bytes(content)

    with pytest.raises(SurveyFileError, match="cannot be read to its end"):
        load_file(engine, path)

    assert fetch(engine, "SELECT (SELECT count(*) FROM galaxy), (SELECT count(*) FROM survey)") == [
        (0, 0)
    ]


def test_the_real_files_give_about_24_000_galaxies(engine: Engine, shared_data: Path):
    catalogs = shared_data / "catalogs"
    files = sorted((shared_data / "legacy_survey" / "catalogs").glob("*.fits"))
    summary = load_files(
        engine,
        [
            *files,
            catalogs / "lenses_stein2021_training.tsv",
            catalogs / "galaxy10_decals_coords.csv",
        ],
        options=LoadOptions(),
    )
    sdss = load_file(
        engine,
        catalogs / "sdss_dr14_skyserver_10k.csv",
        options=LoadOptions(where="class = 'GALAXY'"),
    )

    summary.check()
    assert [report.counts.inserted for report in summary.reports] == [2, 5, 5, 4, 1615, 17677]
    assert (sdss.counts.inserted, sdss.not_selected) == (4991, 5002)
    assert fetch(
        engine,
        'SELECT count(*) FROM galaxy WHERE in_cone(ra, "dec", 180, 0, 10) AND mag_r < 18',
    ) == [(969,)]

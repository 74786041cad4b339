from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from sqlalchemy import Engine

from skylike.catalog.export import export_catalog
from skylike.catalog.load import load_file
from skylike.catalog.overview import fetch_overview, overview_json, overview_lines
from skylike.catalog.plan import LoadOptions
from skylike.errors import NotFoundError


@pytest.fixture
def loaded(engine: Engine, tmp_path: Path) -> Engine:
    path = tmp_path / "galaxies.csv"
    path.write_text(
        "objid,ra,dec,mag_r,class\n1152921504606846977,10,20,17.5,GALAXY\n"
        "1152921504606846979,11,21,19.5,GALAXY\n1152921504606846981,12,22,,STAR\n",
        encoding="utf-8",
    )
    load_file(engine, path)
    return engine


@pytest.mark.parametrize("extension", ["fits", "csv", "parquet", "vot"])
def test_an_exported_catalog_loads_again_unchanged(loaded: Engine, tmp_path: Path, extension: str):
    output = tmp_path / f"out.{extension}"

    n_galaxies = export_catalog(loaded, output)
    report = load_file(loaded, output, options=LoadOptions(survey="galaxies"))

    assert n_galaxies == 2
    assert report.counts.unchanged == 2


def test_a_cut_takes_galaxies_of_the_export(loaded: Engine, tmp_path: Path):
    n_galaxies = export_catalog(
        loaded, tmp_path / "out.csv", where="mag_r < 18 AND survey = 'galaxies'"
    )

    assert n_galaxies == 1
    assert not list(tmp_path.glob("*.part"))


def test_units_and_ucds_go_into_fits_and_votable(loaded: Engine, tmp_path: Path):
    export_catalog(loaded, tmp_path / "out.fits")
    export_catalog(loaded, tmp_path / "out.vot")

    header = fits.getheader(tmp_path / "out.fits", 1)
    place = Table.read(tmp_path / "out.fits").colnames.index("ra") + 1
    field = votable.parse_single_table(tmp_path / "out.vot").get_field_by_id_or_name("ra")
    assert (header[f"TUNIT{place}"], header[f"TUCD{place}"]) == ("deg", "pos.eq.ra;meta.main")
    assert (str(field.unit), field.ucd) == ("deg", "pos.eq.ra;meta.main")
    assert field.description == "Right ascension, ICRS"


def test_an_empty_export_has_the_columns(loaded: Engine, tmp_path: Path):
    assert export_catalog(loaded, tmp_path / "out.csv", where="mag_r < 1") == 0
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith('"galaxy_id"')


def test_the_overview_says_what_is_there_and_what_was_left_out(loaded: Engine):
    overview = fetch_overview(loaded, loads=5)

    (survey,) = overview.surveys
    assert (survey.n_galaxies, survey.bands) == (2, ("r",))
    assert survey.magnitudes["r"] == pytest.approx((17.5, 19.5, 2))
    assert "    left out, star (type STAR): 1" in overview_lines(overview)
    assert '"not_selected": 0' in overview_json(overview)[0]


def test_an_empty_catalog_says_what_to_do(engine: Engine):
    assert "skylike catalog load" in overview_lines(fetch_overview(engine, loads=5))[0]


def test_identifiers_survive_every_digit(loaded: Engine, tmp_path: Path):
    export_catalog(loaded, tmp_path / "out.fits")

    ids = np.sort(Table.read(tmp_path / "out.fits")["object_id"])
    assert ids.tolist() == [2**60 + 1, 2**60 + 3]


def test_export_when_the_cut_names_no_label_then_is_refused(engine: Engine, tmp_path: Path):
    with pytest.raises(NotFoundError, match="nothing is labeled rnig"):
        export_catalog(engine, tmp_path / "rings.csv", where="has_label('rnig')")

    assert not list(tmp_path.iterdir())

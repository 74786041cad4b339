"""The whole job on real survey files, through the command line, one step after the other."""

import csv
import json
import tarfile
from pathlib import Path

import pytest
from astropy.table import Table
from PIL import Image

N_RINGS = 64
"""Enough to train on; all 331 take five times as long and show no more."""

BRICK_POSITIONS = [(96.609369, 80.441412), (96.504121, 80.425146)]
"""Two sources in the observed corner of brick 0959p805, found in its g image."""


def some_rings(archive: Path, folder: Path) -> list[dict[str, str]]:
    """Unpack the first pictures of the tar beside a CSV of their rows."""
    folder.mkdir()
    with archive.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:N_RINGS]
    with tarfile.open(archive) as tar:
        for row in rows:
            tar.extract(row["file"], folder, filter="data")
    with (folder / "rings.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


@pytest.fixture(scope="module")
def rings(machine, shared_data: Path) -> list[dict[str, str]]:
    return some_rings(shared_data / "decals_rings" / "decals_rings.tar", machine.folder / "rings")


@pytest.fixture(scope="module")
def catalog(machine, shared_data: Path) -> str:
    """Output of loading every real catalog."""
    folder = shared_data / "catalogs"
    out = machine.run(
        "catalog",
        "load",
        *map(str, sorted((shared_data / "legacy_survey" / "catalogs").glob("*.fits"))),
        str(folder / "lenses_stein2021_training.tsv"),
        str(folder / "galaxy10_decals_coords.csv"),
    ).stdout
    sdss = str(folder / "sdss_dr14_skyserver_10k.csv")
    return out + machine.run("catalog", "load", sdss, "--where", "class = 'GALAXY'").stdout


@pytest.fixture(scope="module")
def images(machine, catalog: str, rings: list[dict[str, str]], shared_data: Path):
    """What `images add` says of pictures and FITS cubes, two of them faulty."""
    cubes = shared_data / "legacy_survey" / "cutouts"
    return machine.run("images", "add", str(machine.folder / "rings"), str(cubes), exit_status=1)


@pytest.fixture(scope="module")
def embedded(machine, images) -> None:
    machine.run("encoder", "train", "--recipe", "small", "--epochs", "2", "--batch-size", "32")
    machine.run("embed")
    machine.run("neighbors", "build", "-k", "20", "--no-window")


def test_catalogs_when_loaded_then_hold_24_thousand_galaxies(machine, catalog: str):
    assert machine.sql("SELECT count(*) FROM galaxy WHERE galaxy_id <= 24299") == [["24299"]]
    assert "not selected: 5,002" in catalog
    assert "left out, star (type PSF): 4" in catalog


def test_cone_and_magnitude_cut_when_asked_by_the_reader_then_answer(machine, catalog: str):
    ((n, nearest, farthest, brightest),) = machine.sql(
        "SELECT count(*), min(separation(ra, dec, 0, 0)), max(separation(ra, dec, 0, 0)),"
        " min(mag_r)"
        " FROM galaxy WHERE in_cone(ra, dec, 0, 0, 5) AND (mag_r < 18 OR mag_r IS NULL)"
    )

    assert int(n) > 100
    assert 0 <= float(nearest) < float(farthest) <= 5
    assert brightest == "" or float(brightest) < 18


def test_images_when_added_then_good_ones_are_linked_and_bad_ones_named(machine, images):
    assert "example_incomplete.fits" in images.stderr
    assert "truncated" in images.stderr
    rows = machine.sql(
        "SELECT kind, count(*), count(galaxy_id), count(*) FILTER (WHERE NOT is_complete)"
        " FROM cutout GROUP BY kind ORDER BY kind"
    )
    assert rows == [["flux", "4", "3", "1"], ["rgb", str(N_RINGS), str(N_RINGS), "0"]]


def test_brick_when_cut_then_gives_g_with_r_and_z_marked_missing(
    machine, catalog: str, shared_data: Path
):
    positions = machine.folder / "brick.csv"
    lines = [f"{ra},{dec}" for ra, dec in BRICK_POSITIONS]
    positions.write_text("\n".join(["ra,dec", *lines]) + "\n")
    machine.run("catalog", "load", str(positions), "--survey", "brick")

    brick = shared_data / "legacy_survey" / "brick_0959p805"
    machine.run("images", "cut", str(brick), "--survey", "brick")

    assert machine.sql(
        "SELECT DISTINCT missing_bands FROM cutout JOIN galaxy USING (galaxy_id)"
        " JOIN survey USING (survey_id) WHERE survey.name = 'brick'"
    ) == [["{r,z}"]]


def test_search_when_by_galaxy_then_answers_with_a_sheet(machine, embedded):
    ((galaxy_id,),) = machine.sql("SELECT min(galaxy_id) FROM embedding")

    done = machine.run(
        *("search", "--galaxy", galaxy_id, "-k", "5", "--format", "json", "--sheet", "rings.png")
    )

    answer = json.loads(done.stdout)
    assert answer["provenance"]["exact"] is True
    assert len(answer["rows"]) == 5
    with Image.open(machine.folder / "rings.png") as sheet:
        assert min(sheet.size) > 300


def test_search_when_by_position_then_finds_that_galaxy(machine, embedded, rings):
    place = f"{rings[3]['ra']} {rings[3]['dec']}"

    done = machine.run("search", "--position", place, "-k", "3", "--format", "csv")

    assert len(done.stdout.splitlines()) == 4


def test_search_when_by_image_file_then_finds_the_same_image(machine, embedded, rings):
    picture = str(machine.folder / "rings" / rings[5]["file"])

    machine.run("search", "--image", picture, "-k", "3", "--format", "votable", "--output", "a.vot")

    found = Table.read(machine.folder / "a.vot", format="votable")
    ((galaxy_id,),) = machine.sql(
        f"SELECT galaxy_id FROM cutout WHERE name = '{rings[5]['file']}' AND kind = 'rgb'"
    )
    assert found["galaxy_id"][0] == int(galaxy_id)
    assert found["similarity"][0] == pytest.approx(1, abs=1e-3)


def test_search_when_cut_and_cone_are_given_then_all_results_lie_inside(machine, embedded):
    ((galaxy_id, ra, dec),) = machine.sql(
        "SELECT galaxy_id, ra, dec FROM galaxy JOIN embedding USING (galaxy_id)"
        " ORDER BY galaxy_id LIMIT 1"
    )

    done = machine.run(
        *("search", "--galaxy", galaxy_id, "--where", "dec < 0 AND ra > 10"),
        *("--cone", f"{ra} {dec} 40 deg", "-k", "50", "--format", "json"),
    )

    rows = json.loads(done.stdout)["rows"]
    assert rows
    assert all(row["dec"] < 0 and row["ra"] > 10 and row["separation"] <= 40 for row in rows)


def test_neighbors_when_read_by_the_reader_then_are_ranked(machine, embedded):
    rows = machine.sql(
        "SELECT rank, similarity FROM neighbor WHERE galaxy_id ="
        " (SELECT min(galaxy_id) FROM embedding) ORDER BY rank"
    )

    assert [int(rank) for rank, _ in rows] == list(range(1, 21))
    similarities = [float(similarity) for _, similarity in rows]
    assert similarities == sorted(similarities, reverse=True)

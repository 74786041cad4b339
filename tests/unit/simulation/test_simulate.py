import fcntl
import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from skylike.errors import ConflictError, SettingsError, SurveyFileError
from skylike.simulation import cutouts
from skylike.simulation import simulate as module
from skylike.simulation.bricks import object_ids
from skylike.simulation.simulate import SimulatedSurvey, default_field, simulate
from skylike.simulation.truth import read_truth

KEYS = {
    "images", "inds", "ra", "dec", "ebv", "flux", "fiberflux", "fracin", "psfdepth", "psfsize",
    "transmission", "nobs", "maskbits", "brickid", "objid", "release", "source_type", "z_spec",
    "z_phot_mean", "z_phot_median", "z_phot_std", "z_phot_l68", "z_phot_u68", "z_phot_l95",
    "z_phot_u95", "z_training",
}  # fmt: skip


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSurvey:
    folder = tmp_path_factory.mktemp("survey")
    return simulate(folder, galaxies=250, seed=3, workers=1, rows_per_file=100)


def images_of(survey: SimulatedSurvey) -> np.ndarray:
    blocks = []
    for path in survey.images:
        with h5py.File(path) as file:
            blocks.append(file["images"][:])
    return np.concatenate(blocks)


def test_cutout_files_have_the_names_keys_and_shapes_of_the_real_ones(survey: SimulatedSurvey):
    assert [path.name for path in survey.images] == [
        "images_npix152_000000000_000000100.h5",
        "images_npix152_000000100_000000200.h5",
        "images_npix152_000000200_000000250.h5",
    ]
    with h5py.File(survey.images[2]) as file:
        assert set(file) == KEYS
        assert file["images"].shape == (50, 3, 152, 152)
        assert file["images"].dtype == np.float32
        assert file["flux"].shape == file["psfsize"].shape == (50, 3)
        assert file["source_type"].dtype.kind == "S"
        assert file["inds"][0] == 200


def test_rows_fall_in_z_flux_across_files(survey: SimulatedSurvey):
    flux = []
    for path in survey.images:
        with h5py.File(path) as file:
            flux.append(file["flux"][:, 2])

    assert (np.diff(np.concatenate(flux)) <= 0).all()


def test_sweep_truth_and_cutouts_agree_by_key(survey: SimulatedSurvey):
    sweep, truth = Table.read(survey.catalog), read_truth(survey.truth).to_pandas()
    in_sweep = pd.DataFrame(
        {
            "object_id": object_ids(sweep["RELEASE"], sweep["BRICKID"], sweep["OBJID"]),
            "flux_r": np.array(sweep["FLUX_R"], dtype=np.float32),
            "ra": np.array(sweep["RA"], dtype=np.float64),
        }
    )
    rows = []
    for path in survey.images:
        with h5py.File(path) as file:
            ids = object_ids(file["release"][:], file["brickid"][:], file["objid"][:])
            rows.append(
                pd.DataFrame({"object_id": ids, "ra": file["ra"][:], "flux_r": file["flux"][:, 1]})
            )
    cutouts = pd.concat(rows, ignore_index=True)

    assert in_sweep["object_id"].is_unique
    assert truth["object_id"].tolist() == cutouts["object_id"].tolist()
    both = cutouts.merge(in_sweep, on="object_id", suffixes=("", "_sweep"))
    assert len(both) == 250
    assert (both["flux_r"] == both["flux_r_sweep"]).all()
    assert (both["ra"] == both["ra_sweep"]).all()


def test_sweep_has_the_columns_and_types_of_the_real_one(
    survey: SimulatedSurvey, shared_data: Path
):
    real = Table.read(
        shared_data / "legacy_survey" / "catalogs" / "sweep-310m005-320p000.fits",
        unit_parse_strict="silent",
    )
    sweep = Table.read(survey.catalog)

    new_in_dr9 = {"PSFSIZE_G", "PSFSIZE_R", "PSFSIZE_Z", "SHAPE_R", "SHAPE_E1", "SHAPE_E2"}
    for name in set(sweep.colnames) - new_in_dr9:
        kind = sweep[name].dtype.newbyteorder("=")
        if kind.kind in "US":
            assert real[name].dtype.kind in "US", name
        else:
            assert kind == real[name].dtype.newbyteorder("="), name


def test_rows_that_loaders_drop_are_stated_in_the_truth(survey: SimulatedSurvey):
    sweep, truth = Table.read(survey.catalog), pd.read_csv(survey.truth)
    kinds = np.array(sweep["TYPE"]).astype(str)

    assert (
        truth["object_id"].tolist()
        == object_ids(sweep["RELEASE"], sweep["BRICKID"], sweep["OBJID"]).tolist()
    )
    assert np.array_equal(kinds == "PSF", truth["class"] == "star")
    assert np.array_equal(kinds == "DUP", truth["class"] == "duplicate")
    assert np.array_equal(truth["has_cutout"], ~np.isin(kinds, ["PSF", "DUP"]))
    assert (kinds == "PSF").sum() == 10 + round(0.01 * 250)
    assert sum(survey.counts.values()) == 250
    assert survey.counts["star_artifact"] == 10


def test_pixels_do_not_depend_on_workers_or_files(survey: SimulatedSurvey, tmp_path: Path):
    again = simulate(tmp_path, galaxies=250, seed=3, workers=2, rows_per_file=10_000)

    assert np.array_equal(images_of(again), images_of(survey))
    assert again.truth.read_bytes() == survey.truth.read_bytes()


def test_another_seed_gives_other_galaxies(survey: SimulatedSurvey, tmp_path: Path):
    other = simulate(tmp_path, galaxies=5, seed=4, workers=1)

    assert not np.array_equal(images_of(other), images_of(survey)[:5])


def test_a_run_cut_off_goes_on_with_the_missing_files(tmp_path: Path, monkeypatch):
    whole = simulate(tmp_path / "whole", galaxies=60, seed=1, workers=1, rows_per_file=20)
    draw, drawn = cutouts.draw_block, []

    def draw_until_killed(population, *, first, seed):
        if first >= 40 and len(drawn) < 3:
            drawn.append(first)
            raise KeyboardInterrupt
        drawn.append(first)
        return draw(population, first=first, seed=seed)

    monkeypatch.setattr(cutouts, "draw_block", draw_until_killed)
    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        simulate(folder, galaxies=60, seed=1, workers=1, rows_per_file=20)
    left = sorted(path.name for path in (folder / "images").glob("*.h5"))

    again = simulate(folder, galaxies=60, seed=1, workers=1, rows_per_file=20)

    assert left == [path.name for path in whole.images[:2]]
    assert drawn == [0, 20, 40, 40]
    assert np.array_equal(images_of(again), images_of(whole))


def test_other_arguments_in_the_same_folder_are_refused(survey: SimulatedSurvey):
    folder = survey.catalog.parent

    with pytest.raises(SettingsError, match="seed 3 instead of 4"):
        simulate(folder, galaxies=250, seed=4, workers=1, rows_per_file=100)


def test_files_of_another_origin_are_not_overwritten(tmp_path: Path):
    (tmp_path / "truth.csv").write_text("mine")

    with pytest.raises(SettingsError, match=r"holds truth\.csv, which no simulation here has made"):
        simulate(tmp_path, galaxies=1, workers=1)

    assert (tmp_path / "truth.csv").read_text() == "mine"


def test_a_damaged_record_of_arguments_is_named(tmp_path: Path):
    (tmp_path / "simulation.json").write_text("{")

    with pytest.raises(SettingsError, match=r"simulation\.json: cannot be read"):
        simulate(tmp_path, galaxies=1, workers=1)


def test_two_simulations_into_one_folder_are_refused(tmp_path: Path):
    (tmp_path / "images").mkdir()
    with (tmp_path / ".simulating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(ConflictError, match="another process is simulating"):
            simulate(tmp_path, galaxies=1, workers=1)


def test_more_galaxies_than_the_disk_holds_are_refused_at_once(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 10}))

    with pytest.raises(SettingsError, match=r"GB are needed for 10 cutouts"):
        simulate(tmp_path, galaxies=10, workers=1)


def test_a_brick_with_too_many_objects_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module.catalog, "OBJID_LIMIT", 10)

    with pytest.raises(SettingsError, match="larger --radius or fewer --galaxies"):
        simulate(tmp_path, galaxies=50, workers=1, field=default_field(50, radius=0.01))


def test_the_default_field_grows_with_the_number_of_galaxies():
    assert default_field(3000).radius == 8.0
    assert default_field(1_000_000).radius == pytest.approx(17.9, abs=0.1)
    assert default_field(100_000_000).radius == 180.0


def test_without_galsim_the_extra_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _name: None)

    with pytest.raises(SettingsError, match=r"pip install 'skylike\[simulation\]'"):
        simulate(tmp_path, galaxies=1, workers=1)


def test_arguments_are_kept_beside_the_files(survey: SimulatedSurvey):
    kept = json.loads((survey.catalog.parent / "simulation.json").read_text())

    assert (kept["galaxies"], kept["seed"]) == (250, 3)


def test_a_table_that_is_no_truth_is_refused(tmp_path: Path):
    path = tmp_path / "truth.csv"
    path.write_text("a,b\n1,2\n")

    with pytest.raises(SurveyFileError, match="not the truth of a simulated survey"):
        read_truth(path)

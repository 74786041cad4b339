import shutil
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from sqlalchemy import Engine

from skylike.catalog.load import load_file
from skylike.catalog.plan import LoadOptions
from skylike.catalog.store import ensure_galaxies
from skylike.errors import ConflictError
from skylike.images import publish, store
from skylike.images.add import add_images
from skylike.images.link import link_galaxies
from skylike.images.publish import locked
from skylike.images.read import read_pixels
from skylike.images.report import summary_of_refusals
from skylike.images.store import fetch_cutout_index


def write_pictures(folder: Path, listing: str, names: tuple[str, ...] = ("a", "b", "c")) -> Path:
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        Image.new("RGB", (152, 152), (i * 10, 0, 0)).save(folder / f"{name}.png")
    (folder / "list.csv").write_text(listing)
    return folder


def write_release_file(
    path: Path, *, n: int = 4, first_objid: int = 1, repeat: bool = False
) -> Path:
    """A file in the layout of ssl-legacysurvey, with catalog fields."""
    images = np.random.default_rng(1).normal(0.01, 0.1, (n, 3, 152, 152)).astype(np.float32)
    objid = np.arange(first_objid, first_objid + n)
    if repeat:
        objid[-1], images[-1] = objid[0], images[0]
    with h5py.File(path, "w") as file:
        file["images"] = images
        file["release"], file["brickid"] = np.full(n, 9010), np.full(n, 77)
        file["objid"], file["inds"] = objid, np.arange(n)
        file["ra"], file["dec"] = 10 + objid * 0.01, np.full(n, -5.0)
        file["ebv"] = np.full(n, 0.05, np.float32)
        file["flux"] = np.full((n, 3), 100, np.float32)
        file["psfsize"] = np.tile(np.array([1.4, 1.3, 1.2], np.float32), (n, 1))
        file["source_type"] = np.full(n, b"SER")
    return path


def rows(engine: Engine, query: str) -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


CUTOUTS = (
    "SELECT name, galaxy_id, file_row, kind, is_complete, updated_at FROM cutout ORDER BY cutout_id"
)


def test_add_images_when_positions_match_then_linked_and_otherwise_galaxies_are_made(
    engine: Engine, tmp_path: Path
):
    with engine.begin() as connection:
        known = ensure_galaxies(connection, "mine", np.array([10.0]), np.array([20.0]))
    listing = "file,ra,dec\na.png,10.0002,20.0\nb.png,50,60\nc.png,,\n"

    (report,) = add_images(
        engine, [write_pictures(tmp_path / "p", listing)], folder=tmp_path / "cutouts"
    )

    assert (report.added, report.linked_by_position, report.new_galaxies) == (3, 1, 1)
    assert report.without_position == 1
    linked = dict(rows(engine, "SELECT name, galaxy_id FROM cutout"))
    assert linked["a.png"] == known[0]
    assert linked["c.png"] is None
    assert rows(engine, "SELECT ra, dec FROM galaxy WHERE galaxy_id = 2") == [(50, 60)]


def test_add_images_when_an_identifier_matches_then_the_position_does_not_matter(
    engine: Engine, tmp_path: Path
):
    with engine.begin() as connection:
        known = ensure_galaxies(
            connection, "mine", np.array([10.0]), np.array([20.0]), object_id=np.array([42])
        )

    (report,) = add_images(
        engine,
        [write_pictures(tmp_path / "p", "file,id\na.png,42\n", ("a",))],
        folder=tmp_path / "cutouts",
        survey="mine",
    )

    assert report.linked_by_id == 1
    assert rows(engine, "SELECT galaxy_id FROM cutout") == [(known[0],)]


def test_add_images_when_the_catalog_comes_later_then_adding_again_links(
    engine: Engine, tmp_path: Path
):
    folder = write_pictures(tmp_path / "p", "file,id\na.png,42\n", ("a",))
    add_images(engine, [folder], folder=tmp_path / "cutouts", survey="mine")
    with engine.begin() as connection:
        ensure_galaxies(
            connection, "mine", np.array([10.0]), np.array([20.0]), object_id=np.array([42])
        )

    (report,) = add_images(engine, [folder], folder=tmp_path / "cutouts", survey="mine")

    assert (report.added, report.unchanged, report.linked_by_id) == (0, 1, 1)
    assert rows(engine, "SELECT galaxy_id FROM cutout") == [(1,)]


def test_add_images_when_added_again_then_nothing_changes(engine: Engine, tmp_path: Path):
    folder = write_pictures(tmp_path / "p", "file,ra,dec\na.png,1,2\nb.png,3,4\nc.png,,\n")
    release = write_release_file(tmp_path / "south.h5")
    paths = [folder, release]
    add_images(engine, paths, folder=tmp_path / "cutouts")
    before = rows(engine, CUTOUTS), sorted((tmp_path / "cutouts").iterdir())

    reports = add_images(engine, paths, folder=tmp_path / "cutouts")

    assert [(r.added, r.unchanged) for r in reports] == [(0, 3), (0, 4)]
    assert (rows(engine, CUTOUTS), sorted((tmp_path / "cutouts").iterdir())) == before
    assert rows(engine, "SELECT count(*), max(galaxy_id) FROM galaxy") == [(6, 6)]


def test_add_images_when_one_picture_changed_then_only_its_time_changes(
    engine: Engine, tmp_path: Path
):
    folder = write_pictures(tmp_path / "p", "file,ra,dec\na.png,1,2\nb.png,3,4\nc.png,5,6\n")
    add_images(engine, [folder], folder=tmp_path / "cutouts")
    before = {row[0]: row for row in rows(engine, CUTOUTS)}
    Image.new("RGB", (152, 152), (0, 250, 0)).save(folder / "b.png")
    (folder / "0.png").write_bytes((folder / "a.png").read_bytes())

    (report,) = add_images(engine, [folder], folder=tmp_path / "cutouts")

    after = {row[0]: row for row in rows(engine, CUTOUTS)}
    assert (report.added, report.unchanged) == (2, 2)
    assert after["a.png"][5] == before["a.png"][5]
    assert after["c.png"][5] == before["c.png"][5]
    assert after["b.png"][5] > before["b.png"][5]
    assert len(list((tmp_path / "cutouts").glob("*.h5"))) == 1
    with engine.connect() as connection:
        index = fetch_cutout_index(connection)
    changed = read_pixels(index, np.flatnonzero(index.file_row == after["b.png"][2])).pixels
    assert changed[0, 1].min() == 250


def test_add_images_when_hdf5_has_catalog_fields_then_it_is_used_in_place_and_they_are_loaded(
    engine: Engine, tmp_path: Path
):
    path = write_release_file(tmp_path / "south.h5")

    (report,) = add_images(engine, [path], folder=tmp_path / "cutouts")

    assert (report.added, report.linked_by_id, report.new_galaxies) == (4, 4, 0)
    assert list((tmp_path / "cutouts").glob("*.h5")) == []
    with engine.connect() as connection:
        index = fetch_cutout_index(connection, with_galaxy_only=True)
    assert index.ebv.tolist() == pytest.approx([0.05] * 4)
    np.testing.assert_allclose(index.psf_size, [[1.4, 1.3, 1.2]] * 4, rtol=1e-6)
    assert index.files[1].path == path
    assert rows(engine, "SELECT DISTINCT s.name FROM galaxy JOIN survey s USING (survey_id)") == [
        ("ls-dr9",)
    ]


def test_add_images_when_a_survey_has_the_objects_then_it_is_found_without_being_named(
    engine: Engine, tmp_path: Path
):
    path = write_release_file(tmp_path / "south.h5")
    load_file(engine, path, options=LoadOptions(survey="mine"))
    before = rows(engine, "SELECT updated_at FROM galaxy")

    (report,) = add_images(engine, [path], folder=tmp_path / "cutouts")

    assert (report.linked_by_id, report.new_galaxies) == (4, 0)
    assert rows(engine, "SELECT name FROM survey") == [("mine",)]
    assert rows(engine, "SELECT updated_at FROM galaxy") == before


def test_add_images_when_a_galaxy_is_in_a_file_twice_then_the_first_is_kept(
    engine: Engine, tmp_path: Path
):
    path = write_release_file(tmp_path / "south.h5", repeat=True)

    (report,) = add_images(engine, [path], folder=tmp_path / "cutouts")

    assert (report.added, report.duplicates) == (3, 1)
    assert rows(engine, "SELECT file_row FROM cutout ORDER BY 1") == [(0,), (1,), (2,)]


def test_add_images_when_a_band_is_zero_then_it_is_marked_missing(engine: Engine, tmp_path: Path):
    path = write_release_file(tmp_path / "south.h5")
    with h5py.File(path, "r+") as file:
        file["images"][1, 2] = 0
        file["images"][2] = 0

    (report,) = add_images(engine, [path], folder=tmp_path / "cutouts")

    assert (report.added, report.incomplete, report.empty) == (3, 1, 1)
    query = "SELECT missing_bands, coverage FROM cutout WHERE NOT is_complete"
    assert rows(engine, query) == [(["z"], [1, 1, 0])]


def test_add_images_when_another_file_shows_the_galaxy_then_it_replaces_the_cutout(
    engine: Engine, tmp_path: Path
):
    first = write_release_file(tmp_path / "a.h5")
    second = write_release_file(tmp_path / "b.h5", first_objid=3)
    add_images(engine, [first], folder=tmp_path / "cutouts")
    tables = "cutout JOIN galaxy USING (galaxy_id)"
    query = f"SELECT object_id & 65535, cutout_id, file_id, file_row FROM {tables}"
    before = {row[0]: row[1:] for row in rows(engine, query)}

    (report,) = add_images(engine, [second], folder=tmp_path / "cutouts")
    (again,) = add_images(engine, [first], folder=tmp_path / "cutouts")

    assert (report.added, report.replaced) == (4, 2)
    assert again.unchanged == 2
    after = {row[0]: row[1:] for row in rows(engine, query)}
    assert after[1] == before[1]
    assert after[3] == (before[3][0], 2, 0)


def test_add_images_when_flux_and_rgb_show_a_galaxy_then_it_has_both(
    engine: Engine, tmp_path: Path
):
    release = write_release_file(tmp_path / "a.h5", n=1)
    pictures = write_pictures(tmp_path / "p", "file,ra,dec\na.png,10.01,-5\n", ("a",))

    add_images(engine, [release, pictures], folder=tmp_path / "cutouts")

    query = "SELECT galaxy_id, kind FROM cutout ORDER BY kind"
    assert rows(engine, query) == [(1, "flux"), (1, "rgb")]


def test_add_images_when_real_cutouts_then_bad_ones_are_flagged_and_refused_by_name(
    engine: Engine, tmp_path: Path, shared_data: Path
):
    folder = shared_data / "legacy_survey" / "cutouts"

    (report,) = add_images(engine, [folder], folder=tmp_path / "cutouts")

    assert (report.added, report.new_galaxies, report.incomplete) == (4, 3, 1)
    assert len(report.refused) == 1
    summary = summary_of_refusals([report])
    assert summary is not None
    assert "example_incomplete.fits: is truncated" in summary
    found = {
        row[0]: row[1:] for row in rows(engine, "SELECT name, galaxy_id, is_complete FROM cutout")
    }
    assert found["example_bad_pix.fits"] == (None, False)
    assert found["example_d.fits"][0] is not None


def test_add_images_when_real_pictures_in_a_tar_then_all_are_there(
    engine: Engine, tmp_path: Path, shared_data: Path
):
    (report,) = add_images(
        engine, [shared_data / "decals_rings" / "decals_rings.tar"], folder=tmp_path / "cutouts"
    )

    assert (report.added, report.new_galaxies, report.refused) == (331, 331, ())
    with engine.connect() as connection:
        index = fetch_cutout_index(connection, kinds=["rgb"], with_galaxy_only=True)
    assert len(index) == 331
    assert read_pixels(index, [0, 330]).pixels.std() > 5


def test_add_images_when_killed_before_the_commit_then_the_next_run_does_it_whole(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = write_pictures(tmp_path / "p", "file,ra,dec\na.png,1,2\nb.png,3,4\nc.png,5,6\n")

    def die(*_args: object, **_kwargs: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publish, "write_cutouts", die)
        with pytest.raises(KeyboardInterrupt):
            add_images(engine, [folder], folder=tmp_path / "cutouts")
    (tmp_path / "cutouts" / "killed.h5.part").touch()
    assert rows(engine, "SELECT count(*) FROM cutout") == [(0,)]
    assert rows(engine, "SELECT count(*) FROM galaxy") == [(0,)]

    (report,) = add_images(engine, [folder], folder=tmp_path / "cutouts")

    assert report.added == 3
    assert len(list((tmp_path / "cutouts").glob("*.h5*"))) == 1


def test_add_images_when_another_job_adds_then_it_says_so(engine: Engine, tmp_path: Path):
    folder = write_pictures(tmp_path / "p", "file\na.png\n")

    with locked(tmp_path / "cutouts"), pytest.raises(ConflictError, match="another job"):
        add_images(engine, [folder], folder=tmp_path / "cutouts")


def test_add_images_when_our_file_was_deleted_then_it_is_made_again(engine: Engine, tmp_path: Path):
    folder = write_pictures(tmp_path / "p", "file,ra,dec\na.png,1,2\nb.png,3,4\nc.png,5,6\n")
    add_images(engine, [folder], folder=tmp_path / "cutouts")
    shutil.rmtree(tmp_path / "cutouts")

    (report,) = add_images(engine, [folder], folder=tmp_path / "cutouts")

    assert report.unchanged == 3
    with engine.connect() as connection:
        assert len(read_pixels(fetch_cutout_index(connection), range(3)).pixels) == 3


def test_add_images_when_a_tar_repeats_a_name_then_its_new_version_keeps_the_same_pixels(
    engine: Engine, tmp_path: Path
):
    folder = write_pictures(tmp_path / "p", "file,ra,dec\n", names=("a", "b"))
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        archive.add(folder / "a.png", "a.png")
        archive.add(folder / "b.png", "a.png")
    (tmp_path / "p.csv").write_text("file,ra,dec\na.png,,\n")
    add_images(engine, [tmp_path / "p.tar"], folder=tmp_path / "cutouts")
    (tmp_path / "p.csv").write_text("file,ra,dec\na.png,10,20\n")

    (report,) = add_images(engine, [tmp_path / "p.tar"], folder=tmp_path / "cutouts")

    assert (report.unchanged, report.duplicates, report.new_galaxies) == (1, 1, 1)


def test_add_images_when_given_what_it_wrote_itself_then_nothing_is_added(
    engine: Engine, tmp_path: Path
):
    add_images(
        engine,
        [write_pictures(tmp_path / "p", "file,ra,dec\na.png,1,2\n")],
        folder=tmp_path / "cutouts",
    )
    before = rows(engine, CUTOUTS)

    (report,) = add_images(engine, [tmp_path / "cutouts"], folder=tmp_path / "cutouts")

    assert (report.added, report.unchanged) == (0, 3)
    assert rows(engine, CUTOUTS) == before


def test_add_images_when_a_cutout_is_written_then_it_is_newer_than_the_transaction(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen = []

    def look(connection, *args, **kwargs):
        linked = link_galaxies(connection, *args, **kwargs)
        seen.append(connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one())
        return linked

    monkeypatch.setattr(publish, "link_galaxies", look)
    add_images(
        engine,
        [write_pictures(tmp_path / "p", "file,ra,dec\na.png,1,2\n")],
        folder=tmp_path / "cutouts",
    )

    assert len(seen) == 1
    assert rows(engine, "SELECT min(updated_at) FROM cutout")[0][0] > seen[0]


def test_fetch_cutout_index_when_it_comes_in_many_blocks_then_no_row_is_lost(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    add_images(engine, [write_release_file(tmp_path / "a.h5", n=7)], folder=tmp_path / "cutouts")
    with engine.connect() as connection:
        whole = fetch_cutout_index(connection)
        monkeypatch.setattr(store, "_BLOCK_ROWS", 2)
        blocks = fetch_cutout_index(connection)
        nothing = fetch_cutout_index(connection, kinds=("rgb",))

    assert blocks.file_row.tolist() == whole.file_row.tolist() == list(range(7))
    assert blocks.psf_size.tolist() == whole.psf_size.tolist()
    assert blocks.galaxy_id.dtype == np.dtype("int32")
    assert len(nothing) == 0

"""``skylike.connect()`` and what a Sky answers, compared with brute force on arrays."""

import gc
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from astropy import units as u
from astropy.coordinates import SkyCoord
from PIL import Image
from sqlalchemy import Connection
from sqlalchemy.engine import URL

import skylike
from search_factory import Sky as Truth
from search_factory import fill
from skylike.database.engine import make_engine
from skylike.errors import (
    CutError,
    CutoutNotFoundError,
    DatabaseUnavailableError,
    EmptyStageError,
    GalaxyNotFoundError,
    ImageFileError,
    NeighborRunNotFoundError,
    NotFoundError,
    SchemaOutOfDateError,
    SettingsError,
)
from skylike.neighbors.build import build_neighbors
from skylike.neighbors.job import NeighborSettings

N, D = 60, 24


def address(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture
def truth(shared_truth) -> Truth:
    return shared_truth


@pytest.fixture
def own_sky(engine, database_url, truth) -> Iterator[skylike.Sky]:
    """Connected to a database of this test's own, which it may change through ``engine``."""
    fill(engine, truth)
    with skylike.connect(address(database_url)) as made:
        yield made


@pytest.fixture
def watcher(shared_url) -> Iterator[Connection]:
    """A connection to the shared database that is not of the Sky under test."""
    engine = make_engine(shared_url)
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")
    engine.dispose()


def left_connections(watcher) -> int:
    """Connections of a closed Sky: a server's process ends a moment after its client."""
    for _ in range(100):
        if not connections(watcher):
            return 0
        time.sleep(0.05)
    return connections(watcher)


def connections(watcher) -> int:
    return watcher.scalar(
        sa.text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'skylike-python'"
        )
    )


def test_connect_when_the_environment_names_a_server_then_uses_it(
    monkeypatch, tmp_path, shared_url
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", address(shared_url))

    with skylike.connect() as sky:
        assert sky.query("SELECT count(*) FROM galaxy")["count"].tolist() == [N]


def test_connect_when_home_has_no_server_then_names_the_command(monkeypatch, tmp_path, shared_url):
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", address(shared_url))

    with pytest.raises(DatabaseUnavailableError, match="skylike db start"):
        skylike.connect(home=tmp_path)


def test_connect_when_given_url_and_home_or_no_role_then_refuses(shared_url, tmp_path):
    with pytest.raises(SettingsError, match="not both"):
        skylike.connect(address(shared_url), tmp_path)
    with pytest.raises(SettingsError, match="reader, service, owner"):
        skylike.connect(address(shared_url), role="admin")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="mysql"):
        skylike.connect("mysql://localhost/skylike")


def test_connect_when_there_are_no_tables_then_says_upgrade(server_url):
    with pytest.raises(SchemaOutOfDateError, match="skylike db upgrade"):
        skylike.connect(address(server_url.set(database="postgres")))


def test_role_when_not_given_then_is_the_reader_of_the_embedded_server(monkeypatch, tmp_path):
    from skylike import connection

    asked = []

    def refuse(home, role, *, given):
        asked.append((home == tmp_path, role, given))
        raise DatabaseUnavailableError("not today")

    monkeypatch.setattr(connection, "role_url", refuse)
    given = "postgresql://me@host/db"

    for arguments in (
        {"home": tmp_path},
        {"home": tmp_path, "role": "owner"},
        {"url": given},
        {"url": given, "role": "service"},
    ):
        with pytest.raises(DatabaseUnavailableError):
            connection.connect(**arguments)

    assert asked == [
        (True, "skylike_reader", None),
        (True, "skylike", None),
        (False, "skylike", given),
        (False, "skylike_service", given),
    ]


def test_close_when_the_block_ends_then_no_connection_stays(watcher, shared_url):
    with skylike.connect(address(shared_url)) as sky:
        sky.query("SELECT 1")
        assert connections(watcher) == 1

    assert left_connections(watcher) == 0
    sky.close()
    with pytest.raises(DatabaseUnavailableError, match="closed"):
        sky.similar(1)
    assert "closed" in repr(sky)


def test_close_when_forgotten_then_the_collector_does_it(watcher, shared_url):
    sky = skylike.connect(address(shared_url))
    sky.query("SELECT 1")

    del sky
    gc.collect()

    assert left_connections(watcher) == 0


def test_similar_when_asked_by_galaxy_then_is_the_truth(sky, truth):
    found = sky.similar(7, k=10, min_separation=0)

    expected = [i for i in truth.ranked(truth.vectors[6]) if i != 7][:10]
    assert found.galaxy_ids.tolist() == expected
    assert found.similarities == pytest.approx(
        [truth.similarities(truth.vectors[6])[i - 1] for i in expected], abs=1e-12
    )
    assert len(found) == 10
    assert found.exact
    assert found.matched == N - 1
    assert [row["rank"] for row in found] == list(range(1, 11))


def test_similar_when_cut_and_cone_are_objects_of_astropy_then_is_as_with_text(sky, truth):
    center = SkyCoord(truth.ra[4], truth.dec[4], unit="deg")
    where = "mag_r < 19"

    by_text = sky.similar(
        galaxy=5, where=where, cone=(f"{truth.ra[4]} {truth.dec[4]}", "90 deg"), k=20
    )
    by_objects = sky.similar(
        position=center.galactic, where=where, cone=(center, 5400 * u.arcmin), k=20
    )

    apart = center.separation(SkyCoord(truth.ra, truth.dec, unit="deg")).deg
    among = (truth.mag_r < 19) & (apart <= 90) & (np.arange(N) != 4)
    assert by_text.galaxy_ids.tolist() == truth.ranked(truth.vectors[4], among=among)[:20]
    assert by_objects.galaxy_ids.tolist() == by_text.galaxy_ids.tolist()
    assert by_text.provenance.cut == where
    assert by_text.provenance.cone.radius == pytest.approx(90)


def test_similar_when_asked_by_vector_then_takes_arrays_and_files(sky, truth, tmp_path):
    np.save(tmp_path / "v.npy", truth.vectors[9])

    by_array = sky.similar(vector=truth.vectors[9], k=3, min_separation=0)
    by_file = sky.similar(vector=tmp_path / "v.npy", k=3, min_separation=0)

    assert by_array.galaxy_ids.tolist() == truth.ranked(truth.vectors[9])[:3]
    assert by_file.galaxy_ids.tolist() == by_array.galaxy_ids.tolist()
    assert by_array.to_pandas()["separation"].isna().all()


def test_similar_when_the_least_then_is_the_end_of_the_truth(sky, truth):
    found = sky.similar(1, k=4, least_similar=True, min_separation="0 arcsec")

    expected = [i for i in truth.ranked(truth.vectors[0]) if i != 1][::-1][:4]
    assert found.galaxy_ids.tolist() == expected


def test_similar_when_paged_then_pages_follow_each_other(sky):
    whole = sky.similar(3, k=12)
    pages = [sky.similar(3, k=4, offset=offset) for offset in (0, 4, 8)]

    assert [i for page in pages for i in page.galaxy_ids] == whole.galaxy_ids.tolist()
    assert pages[1].provenance.offset == 4
    assert pages[1]["rank"].tolist() == [5, 6, 7, 8]


def test_similar_when_a_column_is_defined_then_the_cut_and_the_rows_have_it(sky, truth):
    found = sky.similar(3, where="faint > 1", define={"faint": "mag_r - 17"}, k=N)

    assert set(found.galaxy_ids) == {i + 1 for i in np.flatnonzero(truth.mag_r > 18)} - {3}
    assert found["faint"] == pytest.approx(found["mag_r"].astype(float) - 17)
    assert found.provenance.definitions == ("faint = mag_r - 17",)


def test_similar_when_galaxies_are_rejected_then_none_of_them_comes(sky):
    rejected = sky.similar(3, k=2).galaxy_ids

    found = sky.similar([3, 9], reject=rejected, k=20)

    assert not set(found.galaxy_ids) & {3, 9, *rejected}
    assert len(found) == 20


def test_similar_when_given_a_list_of_targets_then_counts_those_without_a_galaxy(sky, truth):
    targets = np.column_stack([truth.ra[[1, 4]], truth.dec[[1, 4]]])
    empty = [(truth.ra[1] + 180) % 360, -truth.dec[1]]

    found = sky.similar(positions=np.vstack([targets, [empty]]), k=5)

    assert found.galaxy_ids.tolist() == sky.similar([2, 5], k=5).galaxy_ids.tolist()
    assert found.provenance.note is not None


def test_similar_each_when_given_several_then_answers_for_each_by_itself(sky):
    found = sky.similar_each(galaxy=[4, 8], k=3)

    assert found["query"].tolist() == [1, 1, 1, 2, 2, 2]
    assert found["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    alone = [sky.similar(i, k=3).galaxy_ids.tolist() for i in (4, 8)]
    assert found.galaxy_ids.tolist() == alone[0] + alone[1]
    with pytest.raises(TypeError, match="galaxies"):
        sky.similar_each(galaxies=[4])  # type: ignore[call-arg]


def test_similar_when_an_argument_is_wrong_then_says_which(sky):
    with pytest.raises(SettingsError, match="nothing to search by"):
        sky.similar(where="mag_r < 18")
    with pytest.raises(GalaxyNotFoundError, match="galaxy 999"):
        sky.similar(999)
    with pytest.raises(CutError, match="did you mean mag_r"):
        sky.similar(1, where="mag_rr < 18")
    with pytest.raises(SettingsError, match=r"k=2\.5"):
        sky.similar(1, k=2.5)


def test_similar_when_asked_by_many_threads_then_all_answers_are_right(watcher, sky, truth):
    expected = {
        i: [j for j in truth.ranked(truth.vectors[i - 1]) if j != i][:5] for i in range(1, 25)
    }

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: sky.similar(i, k=5, min_separation=0), expected))

    assert [f.galaxy_ids.tolist() for f in found] == list(expected.values())
    assert 1 <= connections(watcher) <= 8


def test_tables_when_made_of_similar_then_hold_types_units_and_provenance(sky):
    found = sky.similar(2, where="mag_r < 19", k=5)

    frame, table, arrow = found.to_pandas(), found.to_table(), found.to_arrow()

    assert frame["galaxy_id"].dtype == np.int32
    assert frame["object_id"].dtype == np.int64
    assert frame["mag_r"].dtype == np.float32
    assert frame.attrs["sql"] == found.sql
    assert table["ra"].unit == u.deg
    assert table["ra"].meta["ucd"] == "pos.eq.ra;meta.main"
    assert table["mag_r"].description.startswith("AB magnitude in r")
    assert table.meta["cut"] == "mag_r < 19"
    assert arrow.schema.field("ra").metadata[b"unit"] == b"deg"
    assert json.loads(arrow.schema.metadata[b"skylike"])["exact"] is True


def test_sql_when_run_by_pandas_then_gives_the_same_galaxies(sky):
    found = sky.similar(2, where="mag_r < 19", k=5)

    frame = pd.read_sql(sa.text(found.sql.replace(":", r"\:")), sky.engine)

    assert frame["galaxy_id"].tolist() == found.galaxy_ids.tolist()


@pytest.mark.parametrize("name", ["like.vot", "like.fits", "like.csv", "like.parquet", "like.json"])
def test_write_when_the_extension_is_known_then_makes_the_file(sky, tmp_path, name):
    path = sky.similar(2, k=5).write(tmp_path / name)

    assert path == tmp_path / name
    assert path.stat().st_size > 500


def test_write_when_the_extension_is_unknown_then_lists_the_known(sky, tmp_path):
    with pytest.raises(SettingsError, match=r"\.fits"):
        sky.similar(2, k=5).write(tmp_path / "like.xyz")


def test_notebook_when_images_are_gone_then_shows_the_table_alone(sky):
    found = sky.similar(2, k=5)

    page = found._repr_html_()

    assert page.count("<tr>") == 6
    assert "<img" not in page
    assert "5 galaxies like galaxy 2" in page
    assert "rank" in repr(found)
    with pytest.raises(ImageFileError):
        found.sheet()


@pytest.fixture
def with_images(engine, own_sky, tmp_path: Path) -> Path:
    path = tmp_path / "cutouts.h5"
    with h5py.File(path, "w") as file:
        pixels = np.random.default_rng(5).normal(0.5, 0.1, (N, 3, 152, 152)).astype(np.float32)
        file["images"] = pixels
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE skylike.image_file SET path = :path"), {"path": str(path)}
        )
    return path


def test_notebook_when_a_column_was_defined_then_shows_it(sky):
    page = sky.similar(2, k=5, define={"half": "mag_r / 2"})._repr_html_()

    assert ">half<" in page


def test_sheet_when_there_are_images_then_is_drawn_and_saved(own_sky, with_images, tmp_path):
    found = own_sky.similar(2, k=5)

    sheet = found.sheet(tmp_path / "sheet.png")

    with Image.open(tmp_path / "sheet.png") as saved:
        assert saved.size == sheet.size
    assert found._repr_html_().count("<img") == 5
    with pytest.raises(SettingsError, match="folder"):
        found.sheet(tmp_path / "none" / "sheet.png")


def test_cutout_when_there_is_one_then_has_the_pixels_of_the_file(own_sky, with_images):
    cutout = own_sky.cutout(11)

    with h5py.File(with_images) as file:
        assert np.array_equal(cutout.pixels, file["images"][10])
    assert cutout.kind == "flux"
    assert cutout.to_image().size == (152, 152)


def test_cutout_when_there_is_none_then_says_which_is_missing(engine, own_sky):
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM skylike.cutout WHERE galaxy_id = 3"))

    with pytest.raises(CutoutNotFoundError, match="galaxy 3 has no image"):
        own_sky.cutout(3)
    with pytest.raises(GalaxyNotFoundError, match="galaxy 999"):
        own_sky.cutout(999)


def test_galaxy_when_known_then_is_its_row_without_nulls(sky, truth):
    row = sky.galaxy(np.int64(4))

    assert row["galaxy_id"] == 4
    assert row["ra"] == truth.ra[3]
    assert row["object_id"] == (1 << 53) + 4
    assert "mag_g" not in row
    with pytest.raises(GalaxyNotFoundError, match="galaxy 61"):
        sky.galaxy(N + 1)


def test_encoders_when_listed_then_are_those_of_the_database(sky):
    (encoder,) = sky.encoders()

    assert (encoder.name, encoder.dimension, encoder.is_active) == ("small", D, True)


def test_neighbors_when_published_then_are_ranked_with_their_catalog(
    engine, own_sky, truth, tmp_path
):
    settings = NeighborSettings(k=6, band=None, width=None)
    build_neighbors(engine, "small", settings=settings, work_folder=tmp_path)

    found = own_sky.neighbors(8)

    expected = [i for i in truth.ranked(truth.vectors[7]) if i != 8][:6]
    assert found["galaxy_id"].tolist() == expected
    assert found["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert found["similarity"].dtype == np.float32
    assert found["ra"].tolist() == [truth.ra[i - 1] for i in expected]
    assert found.to_table()["ra"].unit == u.deg
    assert own_sky.neighbors(8, k=2)["galaxy_id"].tolist() == expected[:2]
    with pytest.raises(GalaxyNotFoundError):
        own_sky.neighbors(999)


def test_neighbors_when_none_are_published_then_names_the_command(sky):
    with pytest.raises(NeighborRunNotFoundError, match="skylike neighbors build"):
        sky.neighbors(8)


def test_embedding_when_of_some_galaxies_then_is_in_their_order(sky, truth):
    vectors = sky.embedding([9, 2, 9])

    assert vectors.dtype == np.float16
    assert np.array_equal(vectors, truth.vectors[[8, 1, 8]])
    assert np.array_equal(sky.embedding(2), truth.vectors[1])
    assert sky.embedding(np.array([2])).shape == (1, D)
    assert sky.embedding([]).shape == (0, D)


def test_embedding_when_a_galaxy_has_none_then_says_which_and_why(engine, own_sky):
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM skylike.embedding WHERE galaxy_id = 5"))

    with pytest.raises(EmptyStageError, match="galaxy 5 has an image but no embedding"):
        own_sky.embedding([1, 5])
    with pytest.raises(GalaxyNotFoundError, match="galaxy 999"):
        own_sky.embedding([1, 999])


def test_embeddings_when_stored_in_any_order_then_come_by_rising_galaxy(engine, own_sky, truth):
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TEMPORARY TABLE kept AS SELECT * FROM skylike.embedding ORDER BY"
                " galaxy_id % 7, galaxy_id DESC; TRUNCATE skylike.embedding;"
                " INSERT INTO skylike.embedding SELECT * FROM kept"
            )
        )

    ids, vectors = own_sky.embeddings()

    assert ids.tolist() == list(range(1, N + 1))
    assert np.array_equal(vectors, truth.vectors)
    assert ids.dtype == np.int32


def test_embeddings_when_cut_then_are_of_the_galaxies_inside(sky, truth):
    ids, vectors = sky.embeddings("mag_r < 17 AND survey = 'test' AND type IS NULL")

    inside = np.flatnonzero(truth.mag_r < 17)
    assert 0 < len(inside) < N
    assert ids.tolist() == (inside + 1).tolist()
    assert np.array_equal(vectors, truth.vectors[inside])
    nothing, none = sky.embeddings("mag_r < 0")
    assert nothing.shape == (0,)
    assert none.shape == (0, D)


def test_embeddings_when_cut_by_label_and_defined_column_then_are_of_those_inside(
    engine, own_sky, truth
):
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO skylike.label (name, galaxy_id, is_member, author)"
                " SELECT 'ring', i, i % 2 = 0, 'me' FROM generate_series(1, 20) AS i"
            )
        )

    ids, _ = own_sky.embeddings("has_label('ring') AND x < 17", define={"x": "mag_r"})

    even = np.arange(2, 21, 2)
    assert ids.tolist() == even[truth.mag_r[even - 1] < 17].tolist()


@pytest.mark.parametrize("cut", ["has_label('rign')", "NOT (mag_r < 18 AND has_label('rign'))"])
def test_similar_when_a_label_of_the_cut_is_unknown_then_says_which_there_are(engine, own_sky, cut):
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO skylike.label (name, galaxy_id, is_member, author)"
                " VALUES ('ring', 1, true, 'me')"
            )
        )

    with pytest.raises(NotFoundError, match="nothing is labeled rign; there are ring"):
        own_sky.similar(2, where=cut)
    with pytest.raises(NotFoundError, match="nothing is labeled rign; there are ring"):
        own_sky.embeddings("x", define={"x": cut})
    assert own_sky.similar(2, where="has_label('ring')").galaxy_ids.tolist() == [1]


def test_embeddings_when_the_cut_has_quotes_and_percent_then_stays_one_condition(sky):
    ids, _ = sky.embeddings("survey LIKE '100%''; DROP TABLE galaxy; --'")

    assert len(ids) == 0
    assert sky.query("SELECT count(*) FROM galaxy")["count"].tolist() == [N]


def test_iter_embeddings_when_streamed_then_gives_each_once(sky, truth):
    batches = list(sky.iter_embeddings(batch_rows=7))

    ids = np.concatenate([ids for ids, _ in batches])
    assert max(len(ids) for ids, _ in batches) <= 7
    assert sorted(ids.tolist()) == list(range(1, N + 1))
    for some, vectors in batches:
        assert np.array_equal(vectors, truth.vectors[some - 1])


def test_iter_embeddings_when_left_early_then_gives_its_connection_back(sky):
    for _ in sky.iter_embeddings(batch_rows=2):
        break
    gc.collect()

    assert sky.engine.pool.checkedout() == 0
    assert len(sky.similar(1, k=3)) == 3


def test_iter_embeddings_when_batches_are_empty_then_refuses(sky):
    with pytest.raises(SettingsError, match="batch_rows"):
        next(sky.iter_embeddings(batch_rows=0))

"""Encoders and embeddings from elsewhere are used like ours."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import torch
from PIL import Image
from safetensors import safe_open
from sqlalchemy import Engine

from search_factory import insert_galaxies, random_units, scattered_sky
from skylike.embeddings import store
from skylike.embeddings.checkpoint import file_sha256, load_encoder, save_encoder
from skylike.embeddings.compact import CompactBasis
from skylike.embeddings.exchange import import_vectors as importing
from skylike.embeddings.exchange import vector_shards
from skylike.embeddings.exchange.export import export_encoder
from skylike.embeddings.exchange.import_network import import_network
from skylike.embeddings.exchange.import_vectors import VectorSource, import_vectors
from skylike.embeddings.extract import embed_galaxies
from skylike.embeddings.resnet import ResNet
from skylike.errors import (
    CheckpointError,
    EmptyStageError,
    EncoderNotFoundError,
    SettingsError,
    SurveyFileError,
)
from skylike.neighbors.build import build_neighbors
from skylike.neighbors.job import NeighborSettings
from skylike.search.query import Query
from skylike.search.search import search

N = 60
VECTORS = random_units(N, 24, seed=3)


@pytest.fixture
def sky(engine: Engine):
    """N galaxies, galaxy_id 1 to N, object_id 2^53 more."""
    made = scattered_sky(VECTORS)
    insert_galaxies(engine, made)
    return made


@pytest.fixture
def array(tmp_path: Path) -> Path:
    """Embeddings of all galaxies, not of unit length, and their identifiers beside."""
    np.save(tmp_path / "v.npy", (VECTORS * 7.5).astype(np.float32))
    np.save(tmp_path / "ids.npy", (1 << 53) + 1 + np.arange(N))
    return tmp_path / "v.npy"


def source(array: Path, **changes: object) -> VectorSource:
    told = VectorSource(array, array.with_name("ids.npy"), way="object_id")
    return dataclasses.replace(told, **changes)


def stored(engine: Engine, name: str) -> dict[int, np.ndarray]:
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT galaxy_id, embedding::vector::real[] AS row FROM embedding"
                " JOIN encoder USING (encoder_id) WHERE name = :name"
            ),
            {"name": name},
        ).all()
    return {row.galaxy_id: np.array(row.row) for row in rows}


def test_network_of_ours_when_exported_and_imported_then_embeds_the_same(
    engine: Engine, galaxies: object, enter_encoder: Callable[..., str], tmp_path: Path
):
    mine = enter_encoder("mine")
    export_encoder(engine, mine, tmp_path / "mine.safetensors")
    done = import_network(
        engine, tmp_path / "mine.safetensors", folder=tmp_path / "encoders", name="theirs"
    )

    embed_galaxies(engine, mine)
    embed_galaxies(engine, "theirs")

    record = done.record
    assert (record.source, record.layer, done.is_new) == ("imported", "features", True)
    assert record.checkpoint_sha256 == file_sha256(record.network_file)
    assert record.origin["sha256"] == file_sha256(tmp_path / "mine.safetensors")
    first, second = stored(engine, "mine"), stored(engine, "theirs")
    assert first.keys() == second.keys()
    assert all((first[galaxy] == second[galaxy]).all() for galaxy in first)


def test_file_of_ours_when_imported_then_is_copied_and_twice_is_as_good_as_once(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    enter_encoder("mine")
    mine, folder, path = (
        load_encoder(tmp_path / "mine.pt"),
        tmp_path / "encoders",
        tmp_path / "a.pt",
    )
    save_encoder(path, mine.network, mine.recipe, mine.preprocessing, {"images": 3})

    first = import_network(engine, path, folder=folder, name="copy")
    first.record.network_file.unlink()
    second = import_network(engine, path, folder=folder, name="copy")

    assert (first.is_new, second.is_new) == (True, False)
    assert first.record == second.record
    assert first.record.training["images"] == 3
    assert first.record.training["recipe"]["name"] == "tiny"
    assert second.record.network_file.read_bytes() == path.read_bytes()
    with pytest.raises(SettingsError, match="an encoder named 'mine' is there already"):
        import_network(engine, tmp_path / "mine.pt", folder=folder, name="mine")


def test_weights_of_torchvision_when_imported_then_embed_galaxies(
    engine: Engine, galaxies: object, tmp_path: Path
):
    torch.manual_seed(1)
    torch.save(ResNet("resnet18", width=0.125).state_dict(), tmp_path / "resnet18-f37072fd.pth")

    record = import_network(
        engine, tmp_path / "resnet18-f37072fd.pth", folder=tmp_path / "encoders"
    ).record
    report = embed_galaxies(engine, record.name)

    assert (record.name, record.source) == ("resnet18-f37072fd", "imported")
    assert (record.training, record.dimension, record.crop_pix) == ({}, 64, 96)
    assert record.preprocessing["mean"] == [0.485, 0.456, 0.406]
    assert report.n_total == 40
    with pytest.raises(SettingsError, match="no projection"):
        export_encoder(engine, record.name, tmp_path / "x.onnx", layer="projection")


def test_projection_when_exported_and_imported_then_stays_one(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    enter_encoder("mine")

    done = export_encoder(engine, "mine", tmp_path / "p.safetensors", layer="projection")
    record = import_network(engine, done.path, folder=tmp_path / "encoders").record

    assert (done.layer, done.dimension, done.sha256) == ("projection", 8, file_sha256(done.path))
    assert (record.name, record.layer, record.dimension) == ("p", "projection", 8)
    with safe_open(done.path, framework="np") as file:
        assert json.loads(file.metadata()["preprocessing"])["bin_pix"] == 4


def test_export_when_something_is_wrong_then_says_so_and_leaves_nothing(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    enter_encoder("mine")
    out = tmp_path / "out"
    out.mkdir()

    with pytest.raises(SettingsError, match=r"the extension tells no format; use \.safetensors"):
        export_encoder(engine, "mine", out / "e.bin")
    with pytest.raises(SettingsError, match="name a file in a folder that exists"):
        export_encoder(engine, "mine", out / "nowhere" / "e.onnx")
    with pytest.raises(SettingsError, match="is the encoder's own file"):
        export_encoder(engine, "mine", tmp_path / "mine.pt")
    with pytest.raises(EncoderNotFoundError, match="no encoder is named 'yours'"):
        export_encoder(engine, "yours", out / "e.pt")
    (tmp_path / "mine.pt").unlink()
    with pytest.raises(CheckpointError, match=r"mine\.pt"):
        export_encoder(engine, "mine", out / "e.safetensors")

    assert list(out.iterdir()) == []


def test_embeddings_when_imported_then_searches_and_neighbors_use_them(
    engine: Engine, sky: object, array: Path, tmp_path: Path
):
    done = import_vectors(engine, "astroclip", source(array))
    build_neighbors(
        engine, settings=NeighborSettings(k=5, band=None, width=None), work_folder=tmp_path / "work"
    )

    with engine.connect() as connection:
        record = store.fetch_active_encoder(connection)
        lists = connection.scalar(sa.text("SELECT count(DISTINCT galaxy_id) FROM neighbor"))
    assert (record.name, record.source, record.dimension) == ("astroclip", "embeddings", 24)
    assert (record.checkpoint, record.architecture, record.n_embedded) == (None, None, N)
    assert done.report.was_activated
    assert done.counts.n_embedded == done.report.n_total == N
    rows = stored(engine, "astroclip")
    np.testing.assert_allclose(
        np.stack([rows[galaxy] for galaxy in range(1, N + 1)]), VECTORS, atol=1e-3
    )
    result = search(engine, Query(galaxies=(7,), k=5))
    cosines = VECTORS @ VECTORS[6]
    cosines[6] = -1
    assert result.rows["galaxy_id"].to_pylist() == (np.argsort(-cosines)[:5] + 1).tolist()
    assert lists == N
    assert result.provenance.stale is None


def test_picture_when_the_encoder_has_no_network_then_says_so(
    engine: Engine, sky: object, array: Path, tmp_path: Path
):
    import_vectors(engine, "astroclip", source(array))
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "a.png")

    with pytest.raises(SettingsError, match=r"'astroclip' .* has no network to embed"):
        search(engine, Query(images=(tmp_path / "a.png",)))
    with pytest.raises(SettingsError, match=r"'astroclip' has no network: .*--embeddings"):
        embed_galaxies(engine, "astroclip")
    with pytest.raises(EncoderNotFoundError, match="there is no encoder with a network yet"):
        embed_galaxies(engine)
    with pytest.raises(SettingsError, match="no network to export"):
        export_encoder(engine, "astroclip", tmp_path / "a.onnx")


def test_rows_that_are_no_embedding_of_a_galaxy_are_counted_by_reason(
    engine: Engine, sky: object, tmp_path: Path
):
    vectors = VECTORS[:10].tolist()
    vectors[2] = [np.nan, *vectors[2][1:]]
    vectors[3] = [np.inf, *vectors[3][1:]]
    vectors[4] = [0.0] * 24
    vectors[5] = vectors[5][:7]
    vectors[6] = None
    table = pa.table(
        {
            "galaxy_id": pa.array([1, 1, 3, 4, 5, 6, 7, 9999, None, 10]),
            "embedding": pa.array(vectors, pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, tmp_path / "v.parquet")

    done = import_vectors(engine, "mine", VectorSource(tmp_path / "v.parquet"))

    assert dataclasses.asdict(done.counts) == {
        "n_rows": 10,
        "n_embedded": 2,
        "n_unnamed": 1,
        "n_unmatched": 1,
        "n_doubles": 1,
        "n_odd": 2,
        "n_not_finite": 2,
        "n_zero": 1,
    }
    assert stored(engine, "mine").keys() == {1, 10}


def test_positions_match_the_nearest_row_within_the_radius(engine: Engine, sky, tmp_path: Path):
    arcsec = np.array([0.9, 0.2, 0.4, 5.0, 0.0])
    place = np.array([0, 0, 1, 2, 3])
    table = pa.table(
        {
            "RA": sky.ra[place],
            "DEC": sky.dec[place] + arcsec / 3600,
            "embedding": list(VECTORS[10:15].astype(np.float32)),
        }
    )
    pq.write_table(table, tmp_path / "v.parquet")
    near = VectorSource(tmp_path / "v.parquet", radius_arcsec=1.0)

    done = import_vectors(engine, "near", near)
    wide = import_vectors(engine, "wide", dataclasses.replace(near, radius_arcsec=6.0))

    assert done.way == "position"
    assert (done.counts.n_doubles, done.counts.n_unmatched) == (1, 1)
    rows = stored(engine, "near")
    assert rows.keys() == {1, 2, 4}
    np.testing.assert_allclose(rows[1], VECTORS[11], atol=1e-3)
    assert wide.counts.n_embedded == 4


def test_import_when_killed_then_goes_on_where_it_was(
    engine: Engine, sky: object, array: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vector_shards, "SHARD_ROWS", 20)
    monkeypatch.setattr("skylike.embeddings.exchange.vector_files.BATCH_ROWS", 10)
    stage, staged = importing.store_staging.stage_shard, []

    def killed_at_the_second(connection, record, shard, *, as_of):
        if len(staged) == 1:
            raise KeyboardInterrupt
        staged.append(len(shard.galaxy_id))
        return stage(connection, record, shard, as_of=as_of)

    monkeypatch.setattr(importing.store_staging, "stage_shard", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        import_vectors(engine, "astroclip", source(array))
    assert stored(engine, "astroclip") == {}
    staged.clear()

    def counting(connection, record, shard, *, as_of):
        staged.append(len(shard.galaxy_id))
        return stage(connection, record, shard, as_of=as_of)

    monkeypatch.setattr(importing.store_staging, "stage_shard", counting)
    done = import_vectors(engine, "astroclip", source(array))

    assert sum(staged) == N - 20
    assert len(stored(engine, "astroclip")) == done.counts.n_embedded == done.report.n_new == N


def test_import_when_another_file_was_under_way_then_nothing_of_it_stays(
    engine: Engine, sky: object, array: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def killed(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    other = random_units(N, 24, seed=9)
    np.save(tmp_path / "other.npy", other)
    with monkeypatch.context() as patch:
        patch.setattr(importing, "publish_staged", killed)
        with pytest.raises(KeyboardInterrupt):
            import_vectors(engine, "mine", source(tmp_path / "other.npy"))

    np.save(array, VECTORS[:30])
    np.save(array.with_name("ids.npy"), (1 << 53) + 1 + np.arange(30))
    import_vectors(engine, "mine", source(array))

    rows = stored(engine, "mine")
    assert rows.keys() == set(range(1, 31))
    np.testing.assert_allclose(rows[5], VECTORS[4], atol=1e-3)


def test_same_file_again_adds_only_galaxies_that_came_since(
    engine: Engine, sky: object, array: Path
):
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE galaxy SET object_id = 5 WHERE galaxy_id = 60"))
    first = import_vectors(engine, "astroclip", source(array))
    with engine.begin() as connection:
        before = connection.execute(sa.text("SELECT galaxy_id, embedded_at FROM embedding")).all()
        connection.execute(
            sa.text("UPDATE galaxy SET object_id = (1::bigint << 53) + 60 WHERE galaxy_id = 60")
        )

    second = import_vectors(engine, "astroclip", source(array))
    third = import_vectors(engine, "astroclip", source(array))

    assert [run.report.n_new for run in (first, second, third)] == [N - 1, 1, 0]
    assert first.counts.n_unmatched == 1
    with engine.connect() as connection:
        after = connection.execute(sa.text("SELECT galaxy_id, embedded_at FROM embedding")).all()
        (record,) = store.fetch_encoders(connection)
    assert set(before) < set(after)
    assert len(after) == N
    assert len(record.origin["imports"]) == 1


def test_another_file_replaces_the_galaxies_that_it_has(
    engine: Engine, sky: object, array: Path, tmp_path: Path
):
    import_vectors(engine, "mine", source(array))
    other = random_units(2, 24, seed=9)
    np.save(tmp_path / "w.npy", other)
    np.save(tmp_path / "w_ids.npy", np.array([3, 4]))

    done = import_vectors(
        engine, "mine", VectorSource(tmp_path / "w.npy", tmp_path / "w_ids.npy", way="galaxy_id")
    )

    rows = stored(engine, "mine")
    assert (done.report.n_new, done.report.n_total, len(rows)) == (2, N, N)
    np.testing.assert_allclose(rows[4], other[1], atol=1e-3)
    np.testing.assert_allclose(rows[5], VECTORS[4], atol=1e-3)


def test_import_when_no_row_can_be_used_then_leaves_no_encoder(
    engine: Engine, sky: object, array: Path
):
    np.save(array, np.zeros((N, 24)))
    with pytest.raises(EmptyStageError, match=f"no vector can be an embedding: 0 .* {N} are zero"):
        import_vectors(engine, "mine", source(array))
    np.save(array.with_name("ids.npy"), np.arange(N))
    with pytest.raises(EmptyStageError, match="none of 60 rows is of a galaxy"):
        import_vectors(engine, "mine", source(array))

    with engine.connect() as connection:
        assert store.fetch_encoders(connection) == []
        assert connection.scalar(sa.text("SELECT to_regclass('embedding_staging_e1')")) is None


def test_import_when_it_does_not_fit_what_is_there_then_is_refused(
    engine: Engine, sky: object, array: Path, enter_encoder: Callable[..., str], tmp_path: Path
):
    enter_encoder("tiny")
    import_vectors(engine, "mine", source(array))
    np.save(tmp_path / "w.npy", VECTORS[:, :12])
    np.save(tmp_path / "short.npy", np.arange(3))

    with pytest.raises(SettingsError, match="'tiny' has a network of its own"):
        import_vectors(engine, "tiny", source(array))
    with pytest.raises(SettingsError, match="embeddings of 24 numbers, the file has 12"):
        import_vectors(engine, "mine", source(tmp_path / "w.npy"))
    with pytest.raises(SurveyFileError, match=r"has 3 rows and .* 60"):
        import_vectors(engine, "mine", source(array, ids=tmp_path / "short.npy"))
    with pytest.raises(SettingsError, match="give a file that does with --ids"):
        import_vectors(engine, "mine", source(array, ids=None))
    with pytest.raises(SettingsError, match="the catalog has test"):
        import_vectors(engine, "mine", source(array, survey="sdss"))


def test_embeddings_when_as_long_as_can_be_then_are_searched(
    engine: Engine, sky: object, array: Path, monkeypatch: pytest.MonkeyPatch
):
    # Any orthonormal axes are exact; the principal ones of 4000 numbers take half a minute.
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(4000, 8)))[0].T
    basis = CompactBasis(np.zeros(4000), axes, np.full(8, 0.1))
    monkeypatch.setattr("skylike.embeddings.publish.fit_basis", lambda *_, **__: basis)
    vectors = random_units(N, 4000, seed=4)
    np.save(array, vectors.astype(np.float16))

    import_vectors(engine, "long", source(array))

    found = search(engine, Query(galaxies=(2,), k=3)).rows["galaxy_id"].to_pylist()
    cosines = vectors @ vectors[1]
    cosines[1] = -1
    assert found == (np.argsort(-cosines)[:3] + 1).tolist()


def test_encoder_when_loaded_again_then_its_head_may_be_missing(engine: Engine, tmp_path: Path):
    torch.save(ResNet("resnet34", width=0.125).state_dict(), tmp_path / "r.pth")

    record = import_network(engine, tmp_path / "r.pth", folder=tmp_path / "e").record

    encoder = load_encoder(record.network_file, sha256=record.checkpoint_sha256)
    assert encoder.dimension == record.dimension == 64

"""Both layers of a network: one pass fills two encoders."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from cutout_factory import draw_cutouts
from skylike.embeddings import store
from skylike.embeddings.checkpoint import load_encoder
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.extract import embed_galaxies, embed_layers
from skylike.errors import SettingsError

N_GALAXIES = 40


@pytest.fixture
def name(galaxies: Callable[..., None], enter_encoder: Callable[..., str]) -> str:
    return enter_encoder()


def vectors_of(engine: Engine, name: str):
    with engine.connect() as connection:
        record = store.fetch_encoder(connection, name)
        rows = connection.execute(
            sa.text(
                "SELECT embedding, embedded_at FROM skylike.embedding WHERE encoder_id = :id"
                " ORDER BY galaxy_id"
            ),
            {"id": record.encoder_id},
        ).all()
    return np.array([row.embedding.to_numpy() for row in rows]), [row.embedded_at for row in rows]


def test_both_layers_are_what_the_network_gives_in_memory(
    engine: Engine, name: str, tmp_path: Path
):
    outcome = embed_layers(engine, name, layer="both")

    encoder, pixels = load_encoder(tmp_path / "tiny.pt"), draw_cutouts(N_GALAXIES, seed=1)[0]
    assert [report.encoder for report in outcome.reports] == ["tiny", "tiny-projection"]
    for layer, entered in (("features", "tiny"), ("projection", "tiny-projection")):
        expected = encoder.embed(pixels, "flux", layer=layer)
        np.testing.assert_allclose(vectors_of(engine, entered)[0], expected, atol=1e-3)


def test_both_layers_take_one_pass_of_the_network(
    engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch
):
    seen = 0
    embed_windows = TrainedEncoder.embed_windows

    def count(self, windows, kind, layers):
        nonlocal seen
        seen += len(windows)
        return embed_windows(self, windows, kind, layers)

    monkeypatch.setattr(TrainedEncoder, "embed_windows", count)

    embed_layers(engine, name, layer="both")

    assert seen == N_GALAXIES


def test_the_projection_is_an_encoder_of_its_own_on_the_same_file(engine: Engine, name: str):
    embed_layers(engine, name, layer="projection")

    with engine.connect() as connection:
        features = store.fetch_encoder(connection, "tiny")
        projection = store.fetch_encoder(connection, "tiny-projection")
    assert (projection.layer, projection.dimension) == ("projection", 8)
    assert projection.network_file == features.network_file
    assert projection.preprocessing == features.preprocessing
    assert (features.embedded_at, projection.is_active) == (None, True)


def test_the_layer_that_is_there_already_is_left_alone(engine: Engine, name: str):
    embed_galaxies(engine, name)
    before = vectors_of(engine, "tiny")

    outcome = embed_layers(engine, name, layer="both")

    after = vectors_of(engine, "tiny")
    assert [report.n_new for report in outcome.reports] == [0, N_GALAXIES]
    assert np.array_equal(before[0], after[0])
    assert before[1] == after[1]


def test_new_galaxies_come_to_the_projection_by_its_own_name(
    engine: Engine, galaxies: Callable[..., None], name: str
):
    embed_layers(engine, name, layer="both")
    galaxies(101, 4)

    outcome = embed_layers(engine, "tiny-projection")

    assert [report.n_total for report in outcome.reports] == [N_GALAXIES + 4]
    assert len(vectors_of(engine, "tiny")[0]) == N_GALAXIES


def test_the_projection_of_a_projection_is_refused(engine: Engine, name: str):
    embed_layers(engine, name, layer="projection")

    with pytest.raises(SettingsError, match="is the projection of another one"):
        embed_layers(engine, "tiny-projection", layer="both")


def test_another_encoder_of_that_name_is_not_overwritten(
    engine: Engine, name: str, enter_encoder: Callable[..., str]
):
    enter_encoder("tiny-projection")

    with pytest.raises(SettingsError, match="is not the projection of 'tiny'"):
        embed_layers(engine, name, layer="both")

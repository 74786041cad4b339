"""The encoder that ships: its file, its model card, and where it is copied."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from cutout_factory import draw_cutouts
from skylike.embeddings.checkpoint import file_sha256, load_encoder, save_encoder
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import preprocessing_of
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.recipes import RECIPES
from skylike.embeddings.shipped import files
from skylike.errors import CheckpointError
from skylike.images.render import render_rgb, to_uint8

MODEL_CARD = Path(__file__).resolve().parents[3] / "docs" / "model-card.md"

MAX_BYTES = 12_000_000
"""What the package may grow by."""


@pytest.fixture(scope="module")
def shipped_encoder() -> TrainedEncoder:
    if not files.is_there():
        pytest.skip(f"this checkout has no {files.FILE_NAME}; `make encoder` makes it")
    return load_encoder(files.path())


def card_value(name: str) -> str:
    text = MODEL_CARD.read_text(encoding="utf-8")
    (value,) = re.findall(rf"^\| {re.escape(name)} \| `?([^`|]+?)`? \|$", text, re.MULTILINE)
    return value


def test_file_when_it_ships_then_is_small_enough(shipped_encoder: TrainedEncoder):
    assert files.path().stat().st_size <= MAX_BYTES


def test_file_when_it_ships_then_is_the_one_of_the_model_card(shipped_encoder: TrainedEncoder):
    assert card_value("SHA-256") == files.sha256()
    assert card_value("bytes").replace(",", "") == str(files.path().stat().st_size)


def test_recipe_when_it_ships_then_is_the_committed_one(shipped_encoder: TrainedEncoder):
    assert shipped_encoder.recipe == RECIPES[card_value("recipe")]
    assert card_value("dimension") == str(shipped_encoder.dimension)


def test_record_of_training_when_it_ships_then_names_files_without_folders(
    shipped_encoder: TrainedEncoder,
):
    sources = shipped_encoder.training["sources"]

    assert isinstance(sources, list)
    assert sources
    assert all("/" not in source["name"] for source in sources)


@pytest.mark.parametrize("kind", ["flux", "rgb"])
def test_embeddings_when_it_ships_then_are_finite_unit_and_different(
    shipped_encoder: TrainedEncoder, kind: str
):
    flux, _ = draw_cutouts(4)
    pixels = flux if kind == "flux" else to_uint8(render_rgb(flux))

    rows = shipped_encoder.embed(pixels, kind)

    assert np.isfinite(rows).all()
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert (rows @ rows.T)[np.triu_indices(4, 1)].max() < 0.9999


def test_sha256_when_taken_without_torch_then_is_that_of_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "default.pt"
    file.write_bytes(b"weights")
    monkeypatch.setattr(files, "path", lambda: file)

    assert files.sha256() == file_sha256(file) == hashlib.sha256(b"weights").hexdigest()


def test_sha256_when_the_file_is_missing_then_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files, "path", lambda: tmp_path / "default.pt")

    assert not files.is_there()
    with pytest.raises(CheckpointError, match=r"without its encoder; install skylike again, or"):
        files.sha256()


def test_copy_when_one_of_other_content_lies_there_then_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "default.pt"
    file.write_bytes(b"weights")
    monkeypatch.setattr(files, "path", lambda: file)
    digest = files.sha256()

    copy = files.copy_into(tmp_path / "encoders", digest)
    copy.write_bytes(b"wei")
    files.restore(copy, digest)

    assert copy.read_bytes() == b"weights"
    assert copy.name == f"default-{digest[:8]}.pt"


def test_copy_when_the_folder_is_a_file_then_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "default.pt"
    file.write_bytes(b"weights")
    monkeypatch.setattr(files, "path", lambda: file)

    with pytest.raises(CheckpointError, match="cannot be written"):
        files.copy_into(file, files.sha256())


def test_half_when_saved_then_takes_half_the_space_and_embeds_alike(
    tmp_path: Path, tiny_recipe: TrainRecipe
):
    torch.manual_seed(0)
    network, preprocessing = build_network(tiny_recipe), preprocessing_of(tiny_recipe)
    for name, half in (("whole", False), ("half", True)):
        path = tmp_path / f"{name}.pt"
        save_encoder(path, network, tiny_recipe, preprocessing, {"images": 3}, half=half)
    pixels, _ = draw_cutouts(6)

    whole, half = (load_encoder(tmp_path / f"{name}.pt") for name in ("whole", "half"))

    assert (tmp_path / "half.pt").stat().st_size < 0.6 * (tmp_path / "whole.pt").stat().st_size
    assert {p.dtype for p in half.network.parameters()} == {torch.float32}
    assert half.training == {"images": 3}
    cosines = (whole.embed(pixels, "flux") * half.embed(pixels, "flux")).sum(axis=1)
    assert cosines.min() > 1 - 1e-6

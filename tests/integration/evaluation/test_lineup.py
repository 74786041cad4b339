import dataclasses
from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine

from skylike.embeddings import shipped, store
from skylike.embeddings.checkpoint import file_sha256, save_encoder
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import preprocessing_of
from skylike.embeddings.recipe import TrainRecipe
from skylike.errors import CheckpointError, EncoderNotFoundError
from skylike.evaluation.lineup import Lineup, choose_extractors, find_encoders

RECIPE = TrainRecipe(
    name="tiny",
    architecture="resnet18",
    width=0.125,
    input="rgb",
    bin_pix=4,
    batch_size=8,
    queue=16,
    normalization_groups=2,
    projection_hidden=16,
    projection_dimension=8,
)


def write_encoder(path: Path) -> Path:
    torch.manual_seed(1)
    save_encoder(path, build_network(RECIPE), RECIPE, preprocessing_of(RECIPE), {})
    return path


def enter(engine: Engine, name: str, path: Path, *, layer: str = "features") -> None:
    columns = {
        "name": name,
        "architecture": RECIPE.architecture,
        "width": RECIPE.width,
        "dimension": 64 if layer == "features" else 8,
        "input": RECIPE.input,
        "bands": ["g", "r", "z"],
        "pixel_scale": 0.262,
        "crop_pix": 96,
        "preprocessing": dataclasses.asdict(preprocessing_of(RECIPE)),
        "training": {},
        "checkpoint": str(path),
        "checkpoint_sha256": file_sha256(path),
        "is_active": False,
        "layer": layer,
    }
    with engine.begin() as connection:
        store.insert_encoder(connection, columns)


def test_an_encoder_of_the_database_is_found_by_name(engine: Engine, tmp_path: Path):
    path = write_encoder(tmp_path / "weights.pt")
    enter(engine, "mine", path)
    enter(engine, "mine-projection", path, layer="projection")
    lineup = Lineup(("mine", "mine-projection"), ("features", "projection"), baselines=False)

    extractors = choose_extractors(lineup, open_database=lambda: engine, device="cpu")

    found = [(m.name, m.about["layer"], m.about["sha256"]) for e in extractors for m in e.methods]
    digest = file_sha256(path)
    assert found == [
        ("mine", "features", digest),
        ("mine (projection)", "projection", digest),
        ("mine-projection (projection)", "projection", digest),
    ]


def test_a_file_that_is_no_longer_the_one_entered_is_refused(engine: Engine, tmp_path: Path):
    path = write_encoder(tmp_path / "weights.pt")
    enter(engine, "mine", path)
    path.write_bytes(path.read_bytes() + b" ")

    with pytest.raises(CheckpointError, match="is not the file that the encoder was entered with"):
        choose_extractors(Lineup(("mine",)), open_database=lambda: engine, device="cpu")


def test_an_unknown_name_is_refused(engine: Engine):
    with pytest.raises(EncoderNotFoundError, match="no encoder is named 'nobody'"):
        find_encoders(("nobody",), layers=("features",), open_database=lambda: engine)


def test_the_encoder_that_ships_needs_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_encoder(tmp_path / "default.pt")
    monkeypatch.setattr(shipped, "path", lambda: path)
    monkeypatch.setattr(shipped, "is_there", lambda: True)

    def refuse() -> Engine:
        raise AssertionError("the database was asked for")

    for names in ((), ("default",)):
        (found,) = find_encoders(names, layers=("features",), open_database=refuse)
        assert (found.name, found.path) == ("default", path)


def test_two_files_of_one_name_are_told_apart(tmp_path: Path):
    files = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        files.append(str(write_encoder(tmp_path / folder / "same.pt")))

    found = find_encoders(files, layers=("features",), open_database=lambda: pytest.fail("asked"))

    assert [file.name for file in found] == ["same", files[1]]

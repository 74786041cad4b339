"""Entering the encoder that ships: once, safely, and where nothing else is there to be used."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
import torch
from PIL import Image
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from skylike.embeddings import shipped, store
from skylike.embeddings.checkpoint import file_sha256, load_encoder, save_encoder
from skylike.embeddings.extract import embed_galaxies
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import preprocessing_of
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.shipped import files
from skylike.errors import CheckpointError, EncoderNotFoundError

Ship = Callable[..., Path]


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_recipe: TrainRecipe) -> Ship:
    """Makes this installation ship an untrained encoder; each seed another one."""
    package = tmp_path / "package" / "default.pt"
    package.parent.mkdir()
    monkeypatch.setattr(files, "path", lambda: package)

    def make(seed: int = 0) -> Path:
        torch.manual_seed(seed)
        network = build_network(tiny_recipe)
        training = {"images": 7}
        save_encoder(package, network, tiny_recipe, preprocessing_of(tiny_recipe), training)
        return package

    make()
    return make


def names(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [record.name for record in store.fetch_encoders(connection)]


@pytest.mark.usefixtures("ship")
def test_encoder_when_entered_then_has_a_copy_of_the_file_and_all_that_describes_it(
    engine: Engine, tmp_path: Path
):
    record = shipped.enter(engine, tmp_path / "encoders")

    assert (record.name, record.source, record.layer) == ("default", "shipped", "features")
    assert record.checkpoint_sha256 == file_sha256(files.path())
    assert record.network_file.parent == tmp_path / "encoders"
    assert load_encoder(record.network_file).dimension == record.dimension == 64
    assert record.training["images"] == 7
    assert record.training["recipe"]["architecture"] == "resnet18"
    assert not record.is_active


@pytest.mark.usefixtures("ship")
def test_encoder_when_entered_twice_then_is_there_once(engine: Engine, tmp_path: Path):
    first = shipped.enter(engine, tmp_path / "encoders")
    again = shipped.enter(engine, tmp_path / "elsewhere")

    assert again == first
    assert names(engine) == ["default"]
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("ship")
def test_encoder_when_entered_by_many_at_once_then_is_there_once(engine: Engine, tmp_path: Path):
    n = 4
    together = threading.Barrier(n)
    found: list[store.EncoderRecord] = []

    def enter() -> None:
        together.wait()
        found.append(shipped.enter(engine, tmp_path / "encoders"))

    threads = [threading.Thread(target=enter) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == n
    assert len({record.encoder_id for record in found}) == 1
    assert names(engine) == ["default"]
    assert len(list((tmp_path / "encoders").iterdir())) == 1


@pytest.mark.usefixtures("ship")
def test_copy_when_it_was_lost_then_entering_again_restores_it(engine: Engine, tmp_path: Path):
    record = shipped.enter(engine, tmp_path / "encoders")
    shutil.rmtree(tmp_path / "encoders")

    shipped.enter(engine, tmp_path / "encoders")

    assert file_sha256(record.network_file) == record.checkpoint_sha256


def test_newer_encoder_when_entered_then_leaves_the_older_as_it_is(
    engine: Engine, tmp_path: Path, ship: Ship
):
    older = shipped.enter(engine, tmp_path / "encoders")
    ship(1)

    newer = shipped.enter(engine, tmp_path / "encoders")

    digest = files.sha256()
    assert newer.name == f"default-{digest[:8]}"
    assert shipped.enter(engine, tmp_path / "encoders") == newer
    assert names(engine) == ["default", newer.name]
    assert file_sha256(older.network_file) == older.checkpoint_sha256 != digest


@pytest.mark.usefixtures("ship")
def test_encoder_when_a_user_trained_one_of_its_name_then_gets_another(
    engine: Engine, tmp_path: Path, enter_encoder: Callable[..., str]
):
    enter_encoder("default")

    assert shipped.enter(engine, tmp_path).name == f"default-{files.sha256()[:8]}"


def test_encoder_when_its_file_is_damaged_then_nothing_is_entered(
    engine: Engine, tmp_path: Path, ship: Ship
):
    file = ship()
    file.write_bytes(file.read_bytes()[:1000])

    with pytest.raises(CheckpointError, match="truncated"):
        shipped.enter(engine, tmp_path)

    assert names(engine) == []


@pytest.mark.usefixtures("ship")
@pytest.mark.parametrize(
    ("there", "asked", "entered"),
    [
        ((), None, "default"),
        ((), "default", "default"),
        ((), "mine", None),
        (("mine",), None, None),
        (("mine",), "mine", None),
        (("mine",), "default", "default"),
        (("default",), "default", None),
    ],
)
def test_need_when_decided_then_is_for_what_nothing_else_serves(
    engine: Engine,
    tmp_path: Path,
    enter_encoder: Callable[..., str],
    there: tuple[str, ...],
    asked: str | None,
    entered: str | None,
):
    for name in there:
        enter_encoder(name)

    record = shipped.enter_if_needed(engine, tmp_path, asked)

    assert (record and record.name) == entered


def test_need_when_the_file_is_missing_then_says_what_to_do(
    engine: Engine, tmp_path: Path, ship: Ship
):
    ship().unlink()

    assert shipped.available_name([]) is None
    assert shipped.enter_if_needed(engine, tmp_path, "mine") is None
    with pytest.raises(CheckpointError, match="train one with `skylike encoder train`"):
        shipped.enter_if_needed(engine, tmp_path, None)


@pytest.mark.usefixtures("galaxies", "ship")
class TestAdvice:
    def advice(self, engine: Engine) -> str:
        with engine.connect() as connection, pytest.raises(EncoderNotFoundError) as refusal:
            store.fetch_active_encoder(connection)
        return str(refusal.value)

    def test_without_images(self, engine: Engine):
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM skylike.cutout"))

        assert "run `skylike images add`, then `skylike embed`" in self.advice(engine)

    def test_with_images_only(self, engine: Engine):
        assert "no galaxy is embedded yet: run `skylike embed`, which uses" in self.advice(engine)

    def test_with_a_trained_encoder(self, engine: Engine, enter_encoder: Callable[..., str]):
        enter_encoder("mine")

        assert "run `skylike embed --encoder mine`" in self.advice(engine)

    def test_with_embeddings(self, engine: Engine, enter_encoder: Callable[..., str]):
        embed_galaxies(engine, enter_encoder("mine"))
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE skylike.encoder SET is_active = false"))

        assert "choose mine with `skylike encoder activate NAME`" in self.advice(engine)


@pytest.fixture
def command(
    database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs ``skylike ARGUMENTS`` in this process on the test's database."""
    from typer.testing import CliRunner

    from skylike_cli import main, session

    monkeypatch.setenv("SKYLIKE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", database_url.render_as_string(hide_password=False))

    def run(*arguments: str) -> tuple[int, str, str]:
        session.settings.cache_clear()
        done = CliRunner().invoke(main.app, list(arguments))
        session.close()
        session.settings.cache_clear()
        return done.exit_code, done.stdout, f"{done.stderr}{done.exception or ''}"

    return run


@pytest.mark.usefixtures("galaxies", "ship")
def test_commands_when_nothing_was_trained_then_lead_from_images_to_an_answer(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    picture = tmp_path / "my.jpg"
    Image.linear_gradient("L").convert("RGB").save(picture)
    search = ("search", "--image", str(picture), "-k", "3", "--format", "csv", "--device", "cpu")

    status, _, said = command(*search)
    assert status == 1
    assert "no galaxy is embedded yet: run `skylike embed`" in said
    _, listed, _ = command("encoder", "list")
    assert "default" in listed
    assert "ships with skylike" in listed

    status, done, said = command("embed", "--device", "cpu")
    assert status == 0, said
    assert "No encoder was trained: using 'default', which ships with skylike." in said
    assert "searches use 'default' now" in done

    status, answer, said = command(*search)
    assert status == 0, said
    assert len([line for line in answer.splitlines() if line[:1].isdigit()]) == 3
    _, listed, _ = command("encoder", "list")
    assert "ships with skylike" not in listed
    _, _, said = command("embed", "--device", "cpu")
    assert "ships with skylike" not in said

"""Training on image files, without a database."""

import dataclasses
import io
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from cutout_factory import draw_cutouts, write_images
from skylike.embeddings.checkpoint import load_encoder
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training import standalone
from skylike.embeddings.training.image_files import read_image_files
from skylike.embeddings.training.run_state import TrainingFiles
from skylike.embeddings.training.standalone import FileRun, train_on_files
from skylike.errors import ConflictError, EmptyStageError, ImageFileError, SettingsError
from skylike.images.inputs import find_inputs
from skylike.images.read import read_pixels
from skylike.images.render import render_rgb, to_uint8


@pytest.fixture(scope="module")
def flux_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 cutouts with what a catalog says of them; the last shows nothing."""
    path = tmp_path_factory.mktemp("flux") / "images_npix152_0_16.h5"
    pixels = draw_cutouts(16)[0]
    pixels[15] = np.nan
    write_images(path, pixels)
    with h5py.File(path, "a") as file:
        file["ra"] = np.arange(16.0)
        file["ebv"] = np.linspace(0.01, 0.16, 16).astype(np.float32)
        sizes = np.full((16, 3), 1.4, dtype=np.float32)
        sizes[2, 1], sizes[3, 2] = 0.0, -99.0
        file["psfsize"] = sizes
    return path


@pytest.fixture(scope="module")
def picture_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 pictures, one file that is none, and a CSV beside them."""
    path = tmp_path_factory.mktemp("pictures") / "zoo.tar"
    colors = to_uint8(render_rgb(draw_cutouts(12, seed=5)[0]))
    with tarfile.open(path, "w") as archive:
        for i, color in enumerate(colors):
            held = io.BytesIO()
            Image.fromarray(np.moveaxis(color, 0, -1)).save(held, "PNG")
            _add(archive, f"{i}.png", held.getvalue())
        _add(archive, "broken.jpg", b"no picture")
    rows = "".join(f"{i}.png,elliptical\n" for i in range(12))
    path.with_suffix(".csv").write_text("file,label\n" + rows)
    return path


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return load_encoder(path).network.state_dict()


def test_index_when_made_of_flux_then_knows_extinction_and_psf(flux_file: Path, tmp_path: Path):
    found = read_image_files(find_inputs([flux_file]), tmp_path)

    index = found.index
    assert len(index) == 15
    assert index.ebv == pytest.approx(np.linspace(0.01, 0.15, 15), abs=1e-6)
    assert np.isnan(index.psf_size).sum() == 2
    assert np.isnan([index.psf_size[2, 1], index.psf_size[3, 2]]).all()
    assert [(s.name, s.kind, s.images) for s in found.sources] == [(flux_file.name, "flux", 15)]
    assert found.notes == ()


def test_index_when_the_file_has_images_only_then_says_what_is_unknown(tmp_path: Path):
    path = write_images(tmp_path / "bare.h5", draw_cutouts(3)[0])

    found = read_image_files(find_inputs([path]), tmp_path)

    assert len(found.index) == 3
    assert np.isnan(found.index.ebv).all()
    assert "bare.h5: E(B-V) and PSF sizes are not in it" in found.notes[0]


def test_index_when_made_of_both_kinds_then_reads_the_pixels_of_each(
    flux_file: Path, picture_tar: Path, tmp_path: Path
):
    found = read_image_files(find_inputs([picture_tar, flux_file]), tmp_path)

    index = found.index
    assert len(np.unique(index.cutout_id)) == len(index) == 27
    first = read_pixels(index, index.of_kind("rgb")[:2])
    expected = to_uint8(render_rgb(draw_cutouts(12, seed=5)[0]))[:2]
    np.testing.assert_array_equal(first.pixels, expected)
    np.testing.assert_array_equal(
        read_pixels(index, index.of_kind("flux")[:3]).pixels, draw_cutouts(16)[0][:3]
    )
    assert any("broken.jpg" in sentence for sentence in found.refused)


def test_index_when_pictures_were_brought_to_size_before_then_uses_them_again(
    picture_tar: Path, tmp_path: Path
):
    inputs = find_inputs([picture_tar])
    first = read_image_files(inputs, tmp_path)
    (made,) = tmp_path.glob("*.h5")
    before = made.stat().st_mtime_ns

    again = read_image_files(inputs, tmp_path)

    assert made.stat().st_mtime_ns == before
    assert again.refused == first.refused
    np.testing.assert_array_equal(again.index.file_row, first.index.file_row)


def test_training_when_run_then_writes_one_file_and_leaves_only_metrics(
    flux_file: Path, picture_tar: Path, tiny_recipe: TrainRecipe, tmp_path: Path
):
    output = tmp_path / "mine.pt"

    outcome = train_on_files(
        [flux_file, picture_tar, flux_file.parent],
        tiny_recipe,
        output,
        folder=tmp_path / "work",
        options=FileRun(half=True),
    )

    encoder = load_encoder(output, sha256=outcome.sha256)
    assert encoder.recipe == tiny_recipe
    assert encoder.training["images"] == 27
    assert encoder.training["sources"] == [
        {"name": flux_file.name, "kind": "flux", "images": 15},
        {"name": "zoo.tar", "kind": "rgb", "images": 12},
    ]
    left = [p.name for p in (tmp_path / "work").rglob("*") if p.is_file()]
    assert sorted(left) == [".lock", "mine.metrics.csv"]
    assert outcome.metrics.is_file()


def test_training_when_repeated_then_gives_the_same_weights(
    flux_file: Path, picture_tar: Path, tiny_recipe: TrainRecipe, tmp_path: Path
):
    outputs = [tmp_path / name / "x.pt" for name in ("a", "b")]
    for output in outputs:
        output.parent.mkdir()
        train_on_files([picture_tar, flux_file], tiny_recipe, output, folder=output.parent)

    first, second = (weights_of(output) for output in outputs)

    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_training_when_cut_off_then_goes_on_from_its_checkpoint(
    flux_file: Path, tiny_recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "x.pt"
    recipe = dataclasses.replace(tiny_recipe, epochs=4.0)
    whole = standalone.train_encoder
    began = []

    def cut_off(index, chosen, files, **options):
        began.append(files.state.exists())
        whole(index, chosen, files, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(standalone, "train_encoder", cut_off)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_on_files([flux_file], recipe, output, folder=tmp_path / "work")
    assert began == [False, True]
    assert not output.exists()

    monkeypatch.setattr(standalone, "train_encoder", whole)
    assert train_on_files([flux_file], recipe, output, folder=tmp_path / "work").path.exists()


def test_training_when_another_process_is_at_it_then_conflicts(
    flux_file: Path, tiny_recipe: TrainRecipe, tmp_path: Path
):
    output = tmp_path / "x.pt"
    work = tmp_path / standalone._run_name(output, find_inputs([flux_file]), None)
    claimed = standalone._claimed(TrainingFiles(work, "x"), restart=False)

    with claimed, pytest.raises(ConflictError, match="another process"):
        train_on_files([flux_file], tiny_recipe, output, folder=tmp_path)


def test_training_when_no_picture_can_be_read_then_says_which(
    tiny_recipe: TrainRecipe, tmp_path: Path
):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"no picture")

    with pytest.raises(EmptyStageError, match=r"none of the images can be used: .*a\.jpg"):
        train_on_files([folder], tiny_recipe, tmp_path / "x.pt", folder=tmp_path)


@pytest.mark.parametrize(
    ("output", "message"),
    [("x.bin", r"ends in \.pt"), ("nowhere/x.pt", "there is no folder"), (".", r"ends in \.pt")],
)
def test_training_when_the_output_cannot_be_then_says_so_before_anything(
    flux_file: Path, tiny_recipe: TrainRecipe, tmp_path: Path, output: str, message: str
):
    with pytest.raises(SettingsError, match=message):
        train_on_files([flux_file], tiny_recipe, tmp_path / output, folder=tmp_path / "work")

    assert not (tmp_path / "work").exists()


def test_training_when_a_path_is_missing_then_says_so(tiny_recipe: TrainRecipe, tmp_path: Path):
    with pytest.raises(ImageFileError, match="there is no such file"):
        train_on_files([tmp_path / "no.tar"], tiny_recipe, tmp_path / "x.pt", folder=tmp_path)


def test_command_when_given_files_then_reaches_no_database(
    flux_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from typer.testing import CliRunner

    from skylike_cli import main, session

    monkeypatch.setenv("SKYLIKE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nothing")
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        'base = "small"\nwidth = 0.125\nbin_pix = 4\nbatch_size = 8\nqueue = 16\n'
        "normalization_groups = 2\nepochs = 1.0\n"
    )
    session.settings.cache_clear()

    arguments = ["--recipe", str(recipe), "--images", str(flux_file), "--output"]
    done = CliRunner().invoke(
        main.app, ["encoder", "train", *arguments, str(tmp_path / "x.pt"), "--half"]
    )

    session.settings.cache_clear()
    assert done.exit_code == 0, done.output
    assert "on 15 images" in done.output
    assert load_encoder(tmp_path / "x.pt").recipe.name == "tiny"
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["training"]

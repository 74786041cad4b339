"""Search by picture files with a small network whose weights are random, and contact sheets."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from search_factory import insert_embeddings, insert_encoder, insert_galaxies, scattered_sky
from skylike.errors import CheckpointError, ImageFileError, SettingsError
from skylike.search.pictures import fetch_tiles
from skylike.search.query import Query
from skylike.search.search import answer, search

N = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pixels of galaxies in HDF5, and the checkpoint of a network."""
    from skylike.embeddings.checkpoint import save_encoder
    from skylike.embeddings.heads import build_network
    from skylike.embeddings.preprocess import preprocessing_of
    from skylike.embeddings.recipe import TrainRecipe

    made = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(4)
    y, x = np.mgrid[-76:76, -76:76]
    images = np.empty((N, 3, 152, 152), dtype=np.float32)
    for n in range(N):
        radius = np.hypot(x * (1 + n / 6), y) / (3 + n)
        profile = np.exp(-radius)[None] * random.uniform(0.3, 3, 3)[:, None, None]
        images[n] = profile + random.normal(0, 0.01, profile.shape)
    sky = scattered_sky(np.zeros((N, 1)))
    with h5py.File(made / "cutouts.h5", "w") as file:
        file["images"], file["ra"], file["dec"] = images, sky.ra, sky.dec
    for kind in ("rgb", "flux"):
        recipe = TrainRecipe(
            name=kind,
            architecture="resnet18",
            width=0.125,
            input=kind,
            bin_pix=2,
            batch_size=16,
            queue=32,
        )
        network = build_network(recipe).eval()
        save_encoder(made / f"{kind}.pt", network, recipe, preprocessing_of(recipe), {})
    return made


@pytest.fixture
def searchable(engine, folder):
    """The galaxies of the file, embedded by the rgb network (active) and the flux network."""
    from skylike.embeddings.checkpoint import file_sha256, load_encoder

    insert_galaxies(engine, scattered_sky(np.zeros((N, 1))))
    with h5py.File(folder / "cutouts.h5") as file:
        images = file["images"][:]
    for kind in ("rgb", "flux"):
        network = load_encoder(folder / f"{kind}.pt", device="cpu")
        vectors = network.embed(images, "flux").astype(np.float16)
        encoder_id = insert_encoder(
            engine, dimension=network.dimension, name=kind, is_active=kind == "rgb"
        )
        insert_embeddings(engine, encoder_id, vectors)
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "UPDATE skylike.encoder SET checkpoint = :file, checkpoint_sha256 = :sha256,"
                    " input = :kind WHERE name = :kind"
                ),
                {
                    "file": str(folder / f"{kind}.pt"),
                    "sha256": file_sha256(folder / f"{kind}.pt"),
                    "kind": kind,
                },
            )
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE skylike.image_file SET path = :path"),
            {"path": str(folder / "cutouts.h5")},
        )
    return engine


def ids(result) -> list[int]:
    return result.rows["galaxy_id"].to_pylist()


def test_search_by_the_image_of_a_galaxy_finds_what_the_galaxy_finds(searchable, folder):
    image = Path(f"{folder / 'cutouts.h5'}:3")

    with_itself = search(searchable, Query(images=(image,), k=5, min_separation=0.0), device="cpu")
    without = search(searchable, Query(images=(image,), k=4), device="cpu")

    by_galaxy = ids(search(searchable, Query(galaxies=(4,), k=4)))
    assert ids(with_itself) == [4, *by_galaxy]
    assert with_itself.rows["similarity"][0].as_py() > 0.9999
    # The file says where the image is: the galaxy there would be the query itself.
    assert ids(without) == by_galaxy


def test_search_by_a_color_picture_finds_its_galaxy(searchable, folder, tmp_path):
    from skylike.images.render import render_rgb, to_uint8

    with h5py.File(folder / "cutouts.h5") as file:
        color = to_uint8(render_rgb(file["images"][7]))
    Image.fromarray(np.moveaxis(color, 0, -1)).save(tmp_path / "seven.png")

    result = search(searchable, Query(images=(tmp_path / "seven.png",), k=3), device="cpu")

    assert ids(result)[0] == 8
    assert result.provenance.query == f"image {tmp_path / 'seven.png'}"
    assert result.rows["separation"].null_count == 3


def test_search_by_a_color_picture_with_an_encoder_of_flux_needs_leave(searchable, tmp_path):
    Image.new("RGB", (152, 152), (90, 60, 30)).save(tmp_path / "flat.png")
    picture = (tmp_path / "flat.png",)

    with pytest.raises(SettingsError, match="--invert-pictures"):
        search(searchable, Query(images=picture), encoder="flux", device="cpu")

    allowed = Query(images=picture, invert_pictures=True)
    result = search(searchable, allowed, encoder="flux", device="cpu")
    assert "color inverted to flux" in result.provenance.query


def test_search_when_the_checkpoint_is_gone_says_so(searchable, folder):
    with searchable.begin() as connection:
        connection.execute(sa.text("UPDATE skylike.encoder SET checkpoint = '/nowhere.pt'"))

    with pytest.raises(CheckpointError, match="nowhere"):
        search(searchable, Query(images=(Path(f"{folder}/cutouts.h5:0"),)), device="cpu")


def test_search_when_the_checkpoint_is_another_one_says_so(searchable, folder):
    with searchable.begin() as connection:
        connection.execute(sa.text("UPDATE skylike.encoder SET checkpoint_sha256 = 'another'"))

    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        search(searchable, Query(images=(Path(f"{folder}/cutouts.h5:0"),)), device="cpu")


def test_tiles_are_the_query_first_then_the_results(searchable, folder):
    query = Query(galaxies=(2,), images=(Path(f"{folder / 'cutouts.h5'}:5"),), k=4)

    found = answer(searchable, query, device="cpu")
    tiles = fetch_tiles(searchable, found.examples, found.result)

    assert tiles.queries == 2
    assert len(tiles.images) == len(tiles.captions) == 6
    assert [caption.split("\n")[0] for caption in tiles.captions[:2]] == ["query", "query"]
    first = found.result.rows.slice(0, 1).to_pylist()[0]
    assert tiles.captions[2] == (
        f"1  {first['similarity']:.3f}\ngalaxy {first['galaxy_id']}  r {first['mag_r']:.1f}"
    )
    assert {image.shape for image in tiles.images} == {(152, 152, 3)}
    assert all(image.std() > 1 for image in tiles.images)
    assert not np.array_equal(tiles.images[0], tiles.images[1])


def test_tiles_when_an_example_has_no_picture_have_none(searchable):
    found = answer(searchable, Query(vectors=(np.ones(64),), k=2))

    tiles = fetch_tiles(searchable, found.examples, found.result)

    assert tiles.images[0] is None
    assert tiles.images[1] is not None


def test_tiles_when_the_file_of_cutouts_is_gone_name_it(searchable):
    with searchable.begin() as connection:
        connection.execute(sa.text("UPDATE skylike.image_file SET path = '/gone.h5'"))
    found = answer(searchable, Query(galaxies=(1,), k=2))

    with pytest.raises(ImageFileError, match=r"gone\.h5"):
        fetch_tiles(searchable, found.examples, found.result)


def test_command_when_a_sheet_is_wanted_writes_the_answer_and_the_picture(
    searchable, folder, tmp_path, monkeypatch, capsys
):
    import csv
    import sys

    from skylike_cli import main, session

    url = searchable.url.render_as_string(hide_password=False)
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", url)
    monkeypatch.setenv("SKYLIKE_HOME", str(tmp_path))
    session.settings.cache_clear()
    answer_file, sheet_file = tmp_path / "answer.csv", tmp_path / "sheet.png"
    image = f"{folder / 'cutouts.h5'}:5"
    arguments = f"--image {image} -k 4 --explain --output {answer_file} --sheet {sheet_file}"
    arguments += " --device cpu"
    monkeypatch.setattr(sys, "argv", ["skylike", "search", *arguments.split()])

    with pytest.raises(SystemExit) as exit_info:
        main.run()

    session.settings.cache_clear()
    assert exit_info.value.code == 0
    assert "the server's plan of the exact route's scan" in capsys.readouterr().err
    lines = answer_file.read_text().splitlines()
    found = [int(row["galaxy_id"]) for row in csv.DictReader(lines)]
    expected = answer(searchable, Query(images=(Path(image),), k=4), device="cpu").result
    assert found == ids(expected)
    with Image.open(sheet_file) as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 300


def test_search_by_an_incomplete_image_says_what_is_missing(searchable, folder, tmp_path):
    with h5py.File(folder / "cutouts.h5") as file, h5py.File(tmp_path / "bad.h5", "w") as bad:
        bad["images"] = file["images"][3:4]
        bad["images"][0, 0, :114] = 0
        bad["images"][0, 2, 0, 0] = np.nan

    result = search(searchable, Query(images=(tmp_path / "bad.h5",), k=3), device="cpu")
    whole = search(searchable, Query(images=(Path(f"{folder}/cutouts.h5:3"),), k=3), device="cpu")

    said = f"image {tmp_path / 'bad.h5'} is incomplete: without pixels in 75 % of g, under 1 % of z"
    assert result.provenance.note == said
    assert whole.provenance.note is None

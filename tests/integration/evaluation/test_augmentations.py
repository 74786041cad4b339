"""``evaluate augmentations`` on the catalog, and on files without a database."""

from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine

from cutout_factory import draw_cutouts, insert_cutouts, insert_galaxies, write_images
from skylike.embeddings.checkpoint import save_encoder
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import preprocessing_of
from skylike.embeddings.recipes import load_recipe
from skylike.evaluation.augmentations import CopyOptions, evaluate_augmentations
from skylike.evaluation.reports import report_lines
from skylike.evaluation.subject import ChosenEncoder, choose_encoder

N = 12
OPTIONS = CopyOptions(sample=5, among=10)


def no_database() -> Engine:
    raise AssertionError("the database is not needed")


@pytest.fixture
def chosen(tmp_path: Path) -> ChosenEncoder:
    torch.manual_seed(1)
    recipe = load_recipe("small", width=0.125, crop_pix=32)
    path = tmp_path / "tiny.pt"
    save_encoder(path, build_network(recipe), recipe, preprocessing_of(recipe), {})
    return choose_encoder(no_database, str(path), without_database=True)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "cutouts.h5", draw_cutouts(N)[0])


def test_files_are_tested_without_a_database(chosen: ChosenEncoder, images: Path):
    report = evaluate_augmentations(no_database, chosen, images=[images], options=OPTIONS)

    assert (report.source, report.results.images, report.results.among) == ("cutouts.h5", N, 10)
    assert (report.encoder.name, report.encoder.source) == ("tiny", "file")
    assert list(report.recipes) == ["paper", "own (small)"]
    assert report.recipes["paper"]["jitter_pix"] == 7.0
    assert {test.layer for test in report.results.tests} == {"features", "projection"}
    assert any("Recipe paper, projection" in line for line in report_lines(report))


def test_cutouts_of_the_catalog_give_the_same_numbers(
    engine: Engine, chosen: ChosenEncoder, images: Path
):
    with engine.begin() as connection:
        insert_galaxies(connection, N)
        insert_cutouts(connection, images, list(range(1, N + 1)))
    options = CopyOptions(sample=5, among=None)
    recipes = ["paper"]

    of_catalog = evaluate_augmentations(lambda: engine, chosen, recipes=recipes, options=options)
    of_file = evaluate_augmentations(
        no_database, chosen, images=[images], recipes=recipes, options=options
    )

    assert of_catalog.source == "catalog"
    whole = [test for test in of_catalog.results.tests if test.augmentation == "flips and rotation"]
    assert whole == [
        test for test in of_file.results.tests if test.augmentation == "flips and rotation"
    ]

"""Copies and originals in each other's lists: ranks by hand, and a small network on real views."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch

from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import preprocessing_of
from skylike.embeddings.recipes import RECIPES, load_recipe
from skylike.errors import EmptyStageError, SettingsError
from skylike.evaluation.augmentations import CopyOptions, chosen_recipes, judge_copies
from skylike.evaluation.copies import copy_ranks, summarize_ranks
from skylike.evaluation.copy_vectors import ALL, NOTHING, PARTS, variants
from skylike.images.index import CutoutFile, CutoutIndex


def at_angles(*degrees):
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)


def test_ranks_on_a_circle_are_those_counted_by_hand():
    originals = at_angles(0, 20, 60)
    copies = at_angles([4], [31])  # of the first and the second

    ranks = copy_ranks(originals, copies, np.array([0, 1]))

    # 4 is nearest to 0; 31 is nearer to 20 than to 60.
    assert ranks.of_original.tolist() == [[1], [1]]
    # From 0: 4 first. From 20: 31 at 11 degrees, before the copy at 4 (16 degrees).
    assert ranks.of_copy.tolist() == [1, 1]


def test_a_copy_behind_others_has_the_rank_of_its_place():
    originals = at_angles(0, 20, 60)
    copies = at_angles([50], [21])

    ranks = copy_ranks(originals, copies, np.array([0, 1]))

    assert ranks.of_original.tolist() == [[3], [1]]  # from 50: 60, 20, 0
    assert ranks.of_copy.tolist() == [3, 1]  # from 0: 20, the copy at 21, its own at 50


def test_the_best_of_several_copies_counts_and_the_others_are_in_nobodys_way():
    originals = at_angles(0, 90)
    copies = at_angles([80, 3], [91, 92])

    ranks = copy_ranks(originals, copies, np.array([0, 1]))

    assert ranks.of_original.tolist() == [[2, 1], [1, 1]]
    assert ranks.of_copy.tolist() == [1, 1]
    by_direction = summarize_ranks(ranks, 2)
    assert [found.among for found in by_direction] == [2, 5]
    assert by_direction[0].recall_1.value == 0.75
    assert by_direction[1].chance_1 == pytest.approx(2 / 5)


def test_ranks_equal_a_full_sort():
    random = np.random.default_rng(1)
    originals = random.normal(size=(80, 5)).astype(np.float32)
    places = np.sort(random.choice(80, 30, replace=False))
    noise = random.normal(0, 0.8, size=(30, 2, 5))
    copies = (originals[places][:, None] + noise).astype(np.float32)

    ranks = copy_ranks(originals, copies, places)

    def unit(rows):
        return rows / np.linalg.norm(rows.astype(np.float64), axis=-1, keepdims=True)

    for row, place in enumerate(places):
        for number in range(2):
            order = np.argsort(-(unit(originals) @ unit(copies[row, number])))
            assert ranks.of_original[row, number] == np.flatnonzero(order == place)[0] + 1
        candidates = np.concatenate([np.delete(originals, place, 0), copies.reshape(60, 5)])
        order = np.argsort(-(unit(candidates) @ unit(originals[place])))
        own = np.flatnonzero(np.isin(order, [79 + 2 * row, 79 + 2 * row + 1]))
        assert ranks.of_copy[row] == own[0] + 1


def test_an_encoder_that_gives_everything_the_same_finds_nothing():
    ranks = copy_ranks(np.ones((9, 4), np.float32), np.ones((3, 1, 4), np.float32), np.arange(3))

    assert ranks.of_original.tolist() == [[9]] * 3
    assert ranks.of_copy.tolist() == [11] * 3


def test_copies_without_a_direction_find_nothing():
    ranks = copy_ranks(at_angles(0, 40, 80), np.zeros((1, 1, 2), np.float32), np.array([0]))

    assert ranks.of_original.tolist() == [[3]]


def test_variants_of_the_paper_are_its_six_augmentations():
    found = variants({"paper": RECIPES["paper"].augment})

    assert [v.augmentation for v in found] == [
        ALL,
        "extinction",
        "flips and rotation",
        "size",
        "PSF blur",
        "jitter",
        "noise",
    ]


def test_every_field_that_switches_an_augmentation_on_belongs_to_a_part():
    # A view of NOTHING is the image itself, whatever the fields say that no part has.
    for name, recipe in RECIPES.items():
        neutral = {f: getattr(NOTHING, f) for fields in PARTS.values() for f in fields}
        off = dataclasses.replace(recipe.augment, **neutral)
        assert [v.augmentation for v in variants({name: off})] == [ALL], name


def test_own_names_the_recipe_of_the_encoder(encoder):
    found = chosen_recipes(["paper", "own"], encoder)

    assert list(found) == ["paper", "own (small)"]
    assert found["own (small)"] == encoder.recipe.augment
    with pytest.raises(SettingsError, match="recipe 'nothing' is unknown"):
        chosen_recipes(["nothing"], encoder)


@pytest.fixture(scope="module")
def encoder() -> TrainedEncoder:
    torch.manual_seed(0)
    recipe = load_recipe("small", width=0.125, crop_pix=32)
    network = build_network(recipe).eval().requires_grad_(requires_grad=False)
    return TrainedEncoder(network, recipe, preprocessing_of(recipe), "cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> CutoutIndex:
    """Twelve pictures of blobs, and one that holds nothing."""
    random = np.random.default_rng(2)
    path = tmp_path_factory.mktemp("images") / "cutouts.h5"
    y, x = np.mgrid[:152, :152] - 75.5
    flux = np.empty((13, 3, 152, 152), np.float32)
    for number in range(12):
        blob = 4.0 * np.exp(-np.hypot(x, y * random.uniform(1, 3)) / random.uniform(2, 8))
        flux[number] = blob * random.uniform(0.2, 1.0, (3, 1, 1)) + 1e-4
    flux[12] = 0.0
    with h5py.File(path, "w") as file:
        file["images"] = flux
    n = len(flux)
    return CutoutIndex(
        cutout_id=np.arange(1, n + 1, dtype=np.int32),
        galaxy_id=np.full(n, -1, np.int32),
        file_id=np.ones(n, np.int32),
        file_row=np.arange(n, dtype=np.int32),
        ebv=np.full(n, np.nan, np.float32),
        psf_size=np.full((n, 3), np.nan, np.float32),
        files={1: CutoutFile(1, path, "flux", ("g", "r", "z"), 152, 0.262)},
    )


def test_unchanged_copies_find_their_originals_in_both_layers(images, encoder):
    found = judge_copies(images, encoder, {"nothing": NOTHING}, options=CopyOptions(sample=13))

    assert (found.images, found.among, found.without_embedding) == (13, 12, 1)
    assert [test.layer for test in found.tests] == ["features", "projection"]
    # Resampling at the same pixels and the loss of digits leave the original first.
    for test in found.tests:
        assert [d.recall_1.value for d in test.directions] == [1.0, 1.0]


def test_a_seed_gives_the_same_numbers_again_and_parts_are_tested_alone(images, encoder):
    options = CopyOptions(sample=6, among=10, copies=2, seed=4)
    recipes = {"paper": RECIPES["paper"].augment}

    first, again = (judge_copies(images, encoder, recipes, options=options) for _ in range(2))

    assert first == again
    assert len(first.tests) == 7 * 2
    assert first.among + first.without_embedding == 10


def test_what_one_variant_draws_does_not_depend_on_the_others(images, encoder):
    paper = RECIPES["paper"].augment
    options = CopyOptions(sample=8, seed=1)

    alone = judge_copies(images, encoder, {"paper": paper}, options=options)
    beside = judge_copies(images, encoder, {"paper": paper, "n": NOTHING}, options=options)

    assert beside.tests[: len(alone.tests)] == alone.tests


def test_pictures_are_no_images_for_an_encoder_of_flux(images, encoder):
    flux_encoder = dataclasses.replace(
        encoder, preprocessing=dataclasses.replace(encoder.preprocessing, input="flux")
    )
    file = dataclasses.replace(images.files[1], kind="rgb")

    with pytest.raises(EmptyStageError, match="0 images for this encoder that sees fluxes"):
        judge_copies(dataclasses.replace(images, files={1: file}), flux_encoder, {"n": NOTHING})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample": 0}, "a sample of 0 images"),
        ({"sample": 50, "among": 20}, "less than 2 or than the sample of 50"),
        ({"copies": 0}, "--copies 0"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_options_out_of_range_are_refused(options, said):
    with pytest.raises(SettingsError, match=said):
        CopyOptions(**options)

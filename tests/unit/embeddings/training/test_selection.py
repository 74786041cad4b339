"""Which images are trained on."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from cutout_factory import index_of
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training.selection import (
    UniformReport,
    choose_images,
    column_of,
    even_counts,
)
from skylike.errors import EmptyStageError, SettingsError
from skylike.images.index import CutoutFile, CutoutIndex

N = 20_000


@pytest.fixture(scope="module")
def catalog() -> tuple[CutoutIndex, np.ndarray]:
    """20,000 cutouts and magnitudes that grow in number as those of a survey do."""
    index = dataclasses.replace(
        index_of(Path("/nowhere.h5"), N), galaxy_id=np.arange(N, dtype=np.int32)
    )
    uniform = np.random.default_rng(0).uniform(10 ** (0.6 * -6), 1, N)
    return index, 20.0 + np.log10(uniform) / 0.6


def uniform_recipe(recipe: TrainRecipe, galaxies: int, **changes: object) -> TrainRecipe:
    return dataclasses.replace(recipe, uniform_in="mag_z", galaxies=galaxies, **changes)


def both_kinds(cutout_index: CutoutIndex) -> CutoutIndex:
    """Rows 0-31 flux, 32-47 pictures; galaxy 5 has both, at rows 5 and 40."""
    galaxy_id = np.full(48, -1, dtype=np.int32)
    galaxy_id[[5, 40]] = 5
    file_id = np.where(np.arange(48) < 32, 1, 2).astype(np.int32)
    flux = cutout_index.files[1]
    files = {1: flux, 2: CutoutFile(2, flux.path, "rgb", ("R", "G", "B"), 152, None)}
    return dataclasses.replace(cutout_index, galaxy_id=galaxy_id, file_id=file_id, files=files)


def test_of_a_galaxy_with_both_the_fluxes_are_taken(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe
):
    chosen = choose_images(both_kinds(cutout_index), tiny_recipe)

    assert set(range(48)) - set(chosen.index.file_row) == {40}


def test_kind_restricts_the_choice(cutout_index: CutoutIndex, tiny_recipe: TrainRecipe):
    chosen = choose_images(both_kinds(cutout_index), tiny_recipe, kind="rgb")

    assert len(chosen.index) == 16


def test_pictures_for_a_network_of_fluxes_are_refused(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe
):
    recipe = dataclasses.replace(tiny_recipe, input="flux")

    with pytest.raises(SettingsError, match="rgb input"):
        choose_images(both_kinds(cutout_index), recipe, kind="rgb")


def test_fewer_images_than_a_batch_are_refused(cutout_index: CutoutIndex, tiny_recipe: TrainRecipe):
    with pytest.raises(SettingsError, match="5 images"):
        choose_images(cutout_index.take(np.arange(5)), tiny_recipe)


def test_no_images_name_the_command_that_adds_them(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe
):
    with pytest.raises(EmptyStageError, match="skylike images add"):
        choose_images(cutout_index.take(np.arange(0)), tiny_recipe)


def test_a_sample_is_drawn_by_the_seed(cutout_index: CutoutIndex, tiny_recipe: TrainRecipe):
    recipe = dataclasses.replace(tiny_recipe, galaxies=20)

    first, again = (choose_images(cutout_index, recipe).index.file_row for _ in range(2))
    other = choose_images(cutout_index, dataclasses.replace(recipe, seed=2)).index.file_row

    assert len(first) == 20
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_uniform_selection_takes_as_many_of_each_bin_as_there_are(tiny_recipe, catalog):
    index, magnitude = catalog

    chosen = choose_images(index, uniform_recipe(tiny_recipe, 2_000), column=magnitude)

    taken = np.array(chosen.uniform.taken)
    available = np.histogram(magnitude, chosen.uniform.edges)[0]
    counts = np.histogram(magnitude[chosen.index.galaxy_id], chosen.uniform.edges)[0]
    is_short = np.array(chosen.uniform.is_short)
    assert len(chosen.index) == len(np.unique(chosen.index.cutout_id)) == 2_000
    assert np.array_equal(counts, taken)
    assert 0 < is_short.sum() < 50
    assert np.array_equal(taken[is_short], available[is_short])
    assert np.ptp(taken[~is_short]) <= 1
    assert taken[is_short].max() < taken[~is_short].min()


def test_a_uniform_selection_is_flat_where_a_random_one_is_steep(tiny_recipe, catalog):
    index, magnitude = catalog

    chosen = choose_images(index, uniform_recipe(tiny_recipe, 1_000), column=magnitude)
    random = choose_images(index, dataclasses.replace(tiny_recipe, galaxies=1_000))

    def faintest(of) -> float:
        return float((magnitude[of.index.galaxy_id] > 19.5).mean())

    # 0.5 mag of the 4.5 that have enough galaxies; of all galaxies half are that faint.
    assert faintest(random) > 0.45
    assert faintest(chosen) < 0.2


def test_a_uniform_selection_is_drawn_by_the_seed_and_in_the_order_of_the_disk(
    tiny_recipe, catalog
):
    index, magnitude = catalog
    recipe = uniform_recipe(tiny_recipe, 500)

    first, again = (choose_images(index, recipe, column=magnitude).index for _ in range(2))
    other = choose_images(index, uniform_recipe(tiny_recipe, 500, seed=2), column=magnitude).index

    assert np.array_equal(first.cutout_id, again.cutout_id)
    assert np.array_equal(first.cutout_id, np.sort(first.cutout_id))
    assert not np.array_equal(first.cutout_id, other.cutout_id)


def test_images_without_the_magnitude_are_left_out_and_counted(tiny_recipe, catalog):
    index, magnitude = catalog
    galaxy_id = np.where(np.arange(N) < 300, -1, index.galaxy_id).astype(np.int32)
    column = np.where(np.arange(N) < 1000, np.nan, magnitude)

    chosen = choose_images(
        dataclasses.replace(index, galaxy_id=galaxy_id),
        uniform_recipe(tiny_recipe, 5_000),
        column=column,
    )

    assert (chosen.uniform.without_galaxy, chosen.uniform.without_value) == (300, 700)
    assert chosen.index.file_row.min() >= 1000
    assert "left out: 300 images that belong to no galaxy, 700" in chosen.uniform.sentences()[-1]


def test_more_images_than_there_are_takes_all(tiny_recipe, catalog):
    index, magnitude = catalog

    chosen = choose_images(index, uniform_recipe(tiny_recipe, 10 * N), column=magnitude)

    assert len(chosen.index) == N


def test_a_column_of_one_value_is_one_crowded_bin(tiny_recipe, catalog):
    index, _ = catalog

    chosen = choose_images(index, uniform_recipe(tiny_recipe, 100), column=np.full(N, 17.0))

    assert len(chosen.index) == 100


def test_a_uniform_selection_without_values_says_so(tiny_recipe, catalog):
    with pytest.raises(SettingsError, match=r"--uniform-in mag_z: none of the 20,000 images"):
        choose_images(catalog[0], uniform_recipe(tiny_recipe, 100), column=np.full(N, np.nan))


def test_a_uniform_selection_of_images_outside_the_catalog_is_refused(tiny_recipe, catalog):
    with pytest.raises(SettingsError, match="not in it"):
        choose_images(catalog[0], uniform_recipe(tiny_recipe, 100))


def test_a_uniform_recipe_needs_a_number_of_galaxies(tiny_recipe):
    with pytest.raises(SettingsError, match=r"uniform_in 'mag_z' needs galaxies.*--galaxies N"):
        dataclasses.replace(tiny_recipe, uniform_in="mag_z")


def test_the_report_survives_json_and_tells_every_image(tiny_recipe, catalog):
    report = choose_images(
        catalog[0], uniform_recipe(tiny_recipe, 2_000), column=catalog[1]
    ).uniform

    read = UniformReport.from_dict(json.loads(json.dumps(report.to_dict())))

    assert read == report
    assert "(short: all there are)" in read.sentences()[0]
    assert f"{sum(report.is_short)} of 50 bins ran short" == read.summary()


@pytest.mark.parametrize(
    ("available", "wanted", "expected"),
    [
        ([5, 5, 5], 9, [3, 3, 3]),
        ([1, 9, 9], 11, [1, 5, 5]),
        ([0, 2, 50], 20, [0, 2, 18]),
        ([1, 2, 3], 60, [1, 2, 3]),
        ([4, 0, 4], 0, [0, 0, 0]),
    ],
)
def test_even_counts(available: list[int], wanted: int, expected: list[int]):
    generator = np.random.default_rng(0)

    assert even_counts(np.array(available), wanted, generator).tolist() == expected


def test_what_does_not_divide_goes_to_bins_that_have_it():
    taken = even_counts(np.array([1, 9, 9, 9]), 12, np.random.default_rng(0))

    assert sorted(taken.tolist()) == [1, 3, 4, 4]


def test_values_of_galaxies_come_to_their_cutouts():
    index = dataclasses.replace(
        index_of(Path("/nowhere.h5"), 5), galaxy_id=np.array([7, -1, 3, 9, 7], dtype=np.int32)
    )

    column = column_of(index, np.array([3, 7]), np.array([17.5, 20.0]))

    np.testing.assert_array_equal(column, [20.0, np.nan, 17.5, np.nan, 20.0])
    assert np.isnan(column_of(index, np.empty(0, np.int32), np.empty(0))).all()

"""``skylike evaluate augmentations``: augmented copies look for their originals.

Section 3 of the paper: a random sample of images is transformed as in training, and the similarity
search, with either layer of the network, is to bring originals and copies together. The network
runs here, in memory: no embedding of the database is used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine

from skylike.database.engine import connect
from skylike.embeddings.augmentation.recipe import AugmentRecipe
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.recipes import load_recipe
from skylike.embeddings.training.image_files import read_image_files
from skylike.errors import EmptyStageError, SettingsError
from skylike.evaluation.copies import CopyRecall, copy_ranks, summarize_ranks
from skylike.evaluation.copy_vectors import embed_with_copies, variants
from skylike.evaluation.subject import ChosenEncoder, Subject
from skylike.images.index import NO_GALAXY, CutoutIndex
from skylike.images.inputs import find_inputs
from skylike.images.store import fetch_cutout_index
from skylike.progress import SILENT, Progress

OWN: Final = "own"
"""Names the recipe that the encoder was trained by."""

DEFAULT_RECIPES: Final = ("paper", OWN)
"""The paper's six at the paper's strength, and what the encoder has seen in training."""


@dataclass(frozen=True)
class CopyTest:
    """What one way to make copies gave in one layer."""

    recipe: str
    augmentation: str
    layer: str
    """``features`` or ``projection``."""

    dimension: int
    directions: tuple[CopyRecall, ...]


@dataclass(frozen=True)
class CopyOptions:
    """How much is tested.

    Raises
    ------
    SettingsError
        A number is out of range.
    """

    sample: int = 1000
    """Images of which copies are made."""

    among: int | None = 10_000
    """Originals to be told apart, drawn at random, the sample among them; None takes all."""

    copies: int = 1
    """Of each image of the sample."""

    seed: int = 0

    def __post_init__(self) -> None:
        if self.sample < 1:
            raise SettingsError(f"a sample of {self.sample} images: use at least 1")
        if self.among is not None and self.among < max(2, self.sample):
            raise SettingsError(
                f"--among {self.among} is less than 2 or than the sample of {self.sample}; "
                "raise it, or lower --sample"
            )
        if not 1 <= self.copies <= 100:
            raise SettingsError(f"--copies {self.copies}: use 1 to 100")
        if not 0 <= self.seed < 2**31:
            raise SettingsError(f"seed {self.seed}: use 0 to 2147483647")


@dataclass(frozen=True)
class CopyResults:
    """All tests of one encoder."""

    images: int
    """Images that there were to choose from."""

    among: int
    """Originals."""

    sample: int
    """Of these, images of which copies were made."""

    without_embedding: int
    """Images drawn that show nothing, and count nowhere."""

    tests: tuple[CopyTest, ...]


def judge_copies(
    index: CutoutIndex,
    encoder: TrainedEncoder,
    recipes: Mapping[str, AugmentRecipe],
    *,
    options: CopyOptions | None = None,
    progress: Progress = SILENT,
) -> CopyResults:
    """Embed images and augmented copies of some of them, and look for each by the other.

    Parameters
    ----------
    index
        Images, with or without a galaxy; of a galaxy with a flux cutout and a picture the fluxes
        are taken, and an encoder of flux takes no picture.
    recipes
        Augmentations by the name of their recipe, each tested whole and part by part.

    Raises
    ------
    EmptyStageError
        There are fewer than two images that the encoder can take.
    ImageFileError
        A file of images is gone or damaged.
    """
    chosen = options or CopyOptions()
    usable = usable_images(index, encoder.input)
    generator = np.random.default_rng(chosen.seed)
    n = len(usable) if chosen.among is None else min(chosen.among, len(usable))
    drawn = np.sort(generator.choice(usable, n, replace=False))
    is_sample = np.zeros(n, np.bool_)
    is_sample[generator.choice(n, min(chosen.sample, n), replace=False)] = True
    tested = variants(recipes)
    with progress.task("Embedding copies", total=n, unit="images") as task:
        parts = []
        for part in embed_with_copies(
            index.take(drawn), is_sample, encoder, tested, copies=chosen.copies, seed=chosen.seed
        ):
            parts.append(part)
            task.advance(part.n_read)
    originals = {
        layer: np.concatenate([part.originals[layer] for part in parts])
        for layer in parts[0].originals
    }
    sampled = np.concatenate([p.is_sample for p in parts])  # (m,)
    places = np.flatnonzero(sampled)
    if len(sampled) < 2 or not len(places):
        raise EmptyStageError(
            f"of {n:,} images {len(sampled):,} show anything, {len(places):,} of them in the "
            "sample; two are the least: give other images, or a larger --sample"
        )
    tests = []
    for number, variant in enumerate(tested):
        for layer, vectors in originals.items():
            copies = np.concatenate([p.copies[number][layer] for p in parts])  # (s, c, d)
            ranks = copy_ranks(vectors, copies, places)
            tests.append(
                CopyTest(
                    recipe=variant.recipe,
                    augmentation=variant.augmentation,
                    layer=layer,
                    dimension=vectors.shape[1],
                    directions=tuple(summarize_ranks(ranks, len(vectors), seed=chosen.seed)),
                )
            )
    return CopyResults(len(usable), len(sampled), len(places), n - len(sampled), tuple(tests))


def usable_images(index: CutoutIndex, input_kind: str) -> npt.NDArray[np.int64]:
    """Return the positions of one image of each galaxy that an encoder can take, ascending.

    Raises
    ------
    EmptyStageError
        There are fewer than two.
    """
    flux, pictures = index.of_kind("flux"), index.of_kind("rgb")
    usable = flux
    if input_kind == "rgb":
        galaxy = index.galaxy_id[pictures]
        is_double = (galaxy != NO_GALAXY) & np.isin(galaxy, index.galaxy_id[flux])
        usable = np.sort(np.concatenate([flux, pictures[~is_double]]))
    if len(usable) < 2:
        left = " that sees fluxes, and pictures are left out" if input_kind == "flux" else ""
        raise EmptyStageError(
            f"there are {len(usable)} images for this encoder{left}; two are the least: "
            "add cutouts with `skylike images add`, or name files with --images"
        )
    return usable


@dataclass(frozen=True)
class AugmentationReport:
    """The test of section 3 of the paper, and on what it was made."""

    encoder: Subject
    source: str
    """``catalog``, or the names of the files of images."""

    notes: tuple[str, ...]
    """What should be known of the files, a sentence each."""

    copies: int
    seed: int
    recipes: Mapping[str, Mapping[str, object]]
    """By name, the choices of each."""

    results: CopyResults


def chosen_recipes(names: Sequence[str], encoder: TrainedEncoder) -> dict[str, AugmentRecipe]:
    """Look recipes up; ``own`` is what the encoder was trained with.

    Raises
    ------
    SettingsError
        A recipe is unknown, or its file wrong.
    """
    found: dict[str, AugmentRecipe] = {}
    for name in names:
        if name == OWN:
            found[f"{OWN} ({encoder.recipe.name})"] = encoder.recipe.augment
        else:
            recipe = load_recipe(name)
            found[recipe.name] = recipe.augment
    return found


def evaluate_augmentations(
    open_engine: Callable[[], Engine],
    chosen: ChosenEncoder,
    *,
    images: Sequence[Path] = (),
    recipes: Sequence[str] = DEFAULT_RECIPES,
    options: CopyOptions | None = None,
    progress: Progress = SILENT,
) -> AugmentationReport:
    """Test an encoder on the cutouts of the catalog, or on files of images without a database.

    Parameters
    ----------
    open_engine
        Connects with the database; called only where there are no ``images``.
    images
        Files and folders as :func:`skylike.images.inputs.find_inputs` takes them; none takes the
        cutouts of the catalog.
    recipes
        Names of recipes or TOML files; ``own`` is the encoder's.

    Raises
    ------
    SettingsError
        A recipe is unknown.
    ImageFileError
        A file cannot be read.
    EmptyStageError
        There are fewer than two images that the encoder can take.
    """
    settings = options or CopyOptions()
    encoder = chosen.encoder
    augmentations = chosen_recipes(recipes, encoder)
    notes: tuple[str, ...] = ()
    if not images:
        source = "catalog"
        with connect(open_engine()) as connection:
            index = fetch_cutout_index(connection)
        results = judge_copies(index, encoder, augmentations, options=settings, progress=progress)
    else:
        with TemporaryDirectory(prefix="skylike-images-") as folder:
            read = read_image_files(find_inputs(images), Path(folder), progress=progress)
            source = ", ".join(each.name for each in read.sources)
            notes = (*read.refused, *read.notes)
            results = judge_copies(
                read.index, encoder, augmentations, options=settings, progress=progress
            )
    return AugmentationReport(
        encoder=chosen.subject,
        source=source,
        notes=notes,
        copies=settings.copies,
        seed=settings.seed,
        recipes={name: asdict(choices) for name, choices in augmentations.items()},
        results=results,
    )

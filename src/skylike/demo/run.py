"""Run the whole job: simulate, load, embed, neighbors, and ask three questions."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
from sqlalchemy import Engine

from skylike.catalog.load import load_file
from skylike.catalog.plan import LoadOptions
from skylike.database.engine import connect
from skylike.demo.questions import QUESTIONS, Question, cone_around, pick_example
from skylike.demo.store import check_no_other_survey, fetch_embedded
from skylike.devices import choose_device
from skylike.embeddings import shipped
from skylike.embeddings.extract import embed_galaxies
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.recipes import load_recipe
from skylike.embeddings.store import EncoderRecord, activate_encoder, fetch_encoders
from skylike.embeddings.training.register import train_on_catalog
from skylike.errors import SkylikeError
from skylike.evaluation.precision import ClassPrecision, class_precision
from skylike.images.add import add_images
from skylike.images.report import refusals
from skylike.interfaces.sheet import make_sheet, save_sheet
from skylike.neighbors.build import NeighborSettings, build_neighbors
from skylike.neighbors.store import fetch_changes, fetch_runs
from skylike.progress import SILENT, Progress
from skylike.search.pictures import fetch_tiles
from skylike.search.query import Query
from skylike.search.result import SearchResult
from skylike.search.search import answer
from skylike.simulation.simulate import simulate
from skylike.simulation.truth import read_truth

SURVEY: Final = "simulation"
"""Survey that the demo's galaxies are loaded into."""

TRAINED: Final = "demo"
"""Encoder that the demo trains where it is asked to."""

RESULTS: Final = 10
"""Galaxies in each answer: they fit a screen, and retrieval papers report precision@10."""


@dataclass(frozen=True)
class DemoOptions:
    """What a demo is asked to do."""

    galaxies: int
    """How many to simulate."""

    output: Path
    """Folder for the survey's files and the contact sheets."""

    home: Path
    """Data folder, for the encoder and scratch files."""

    device: str = "auto"
    """As torch names it, or auto."""

    seed: int = 1
    """Of the simulation."""

    train: bool = False
    """Train an encoder on the demo's own cutouts, by the recipe ``small``; otherwise the one that
    ships is used."""


@dataclass(frozen=True)
class Answered:
    """One question and what came of it."""

    question: Question
    galaxy_id: int
    """The galaxy asked about."""

    result: SearchResult
    n_of_kind: int
    """Galaxies of the same true class among the results."""

    sheet: Path
    """Contact sheet, PNG."""


@dataclass(frozen=True)
class DemoReport:
    """What the demo did and found."""

    answers: tuple[Answered, ...]
    precision: tuple[ClassPrecision, ...]
    seconds: Mapping[str, float]
    """Time of each stage."""

    n_galaxies: int
    """Galaxies with an embedding."""

    encoder: str
    """The encoder that was used, in words."""


@dataclass
class _Stages:
    """Announces each stage and keeps its time."""

    tell: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, words: str) -> Iterator[None]:
        self.tell(words)
        begun = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begun


def run_demo(
    engine: Engine,
    options: DemoOptions,
    *,
    tell: Callable[[str], None] = lambda _words: None,
    progress: Progress = SILENT,
) -> DemoReport:
    """Do the main job on a simulated survey, through the same functions as the commands.

    What an earlier run of the same demo finished is kept: a run that was interrupted goes on.

    Parameters
    ----------
    tell
        Called with a sentence when a stage begins.

    Raises
    ------
    ConflictError
        The database holds galaxies of other surveys, with which the demo's would mix.
    SkylikeError
        A stage failed.
    """
    stages = _Stages(tell)
    home = options.home
    check_no_other_survey(engine, SURVEY)
    with stages.stage("simulate", f"Simulate {options.galaxies:,} galaxies with known classes"):
        survey = simulate(
            options.output / "survey",
            galaxies=options.galaxies,
            seed=options.seed,
            progress=progress,
        )
    with stages.stage("load", "Load the catalog and the cutouts"):
        load_file(engine, survey.catalog, options=LoadOptions(survey=SURVEY), progress=progress)
        added = add_images(
            engine, list(survey.images), folder=home / "cutouts", survey=SURVEY, progress=progress
        )
        for sentence in refusals(added):
            raise SkylikeError(sentence)
    encoder = _choose_encoder(engine, options, stages, progress)
    with stages.stage("embed", f"Embed every galaxy with the {_in_words(encoder)}"):
        embedded = embed_galaxies(
            engine, encoder.name, device=choose_device(options.device), progress=progress
        )
        with engine.begin() as connection:
            activate_encoder(connection, encoder.name)
    with stages.stage(
        "neighbors", "Find the 999 most similar galaxies of each, within 0.5 mag in r"
    ):
        if embedded.n_new or not _has_fresh_lists(engine, encoder):
            build_neighbors(
                engine,
                encoder.name,
                settings=NeighborSettings(),
                work_folder=home / "jobs",
                progress=progress,
            )
    with stages.stage("search", "Ask three questions"):
        truth, vectors = fetch_embedded(engine, encoder.name, read_truth(survey.truth))
        answers = tuple(_ask(engine, truth, question, options.output) for question in QUESTIONS)
    precision = class_precision(vectors, truth["class"].to_pylist(), k=RESULTS)
    return DemoReport(answers, tuple(precision), stages.seconds, truth.num_rows, _in_words(encoder))


def _choose_encoder(
    engine: Engine, options: DemoOptions, stages: _Stages, progress: Progress
) -> EncoderRecord:
    if not options.train:
        return shipped.enter(engine, options.home / "encoders")
    with stages.stage("train", "Train an encoder on the cutouts, without labels"):
        return _train_once(engine, options, progress)


def _train_once(engine: Engine, options: DemoOptions, progress: Progress) -> EncoderRecord:
    with connect(engine) as connection:
        for record in fetch_encoders(connection):
            if record.name == TRAINED:
                return record
    return train_on_catalog(
        engine,
        _recipe_for(options.galaxies),
        folder=options.home / "encoders",
        name=TRAINED,
        device=choose_device(options.device),
        progress=progress,
    )


def _in_words(encoder: EncoderRecord) -> str:
    images = encoder.training.get("images")
    learned = f"trained without labels on {images:,} images" if isinstance(images, int) else ""
    if encoder.source == "shipped":
        origin = f"encoder {encoder.name!r} that ships with skylike"
    else:
        origin = f"encoder {encoder.name!r} of this demo"
    return f"{origin}, {learned}" if learned else origin


def _has_fresh_lists(engine: Engine, encoder: EncoderRecord) -> bool:
    """Tell whether lists are published that nothing has outdated: a kill may come before those."""
    with connect(engine) as connection:
        for run in fetch_runs(connection, encoder_id=encoder.encoder_id):
            if run.state == "published":
                changes = fetch_changes(connection, run)
                return not changes.new_embeddings and not changes.changed_galaxies
    return False


def _recipe_for(galaxies: int) -> TrainRecipe:
    """Return the recipe ``small``, with a smaller batch where there are few galaxies.

    An epoch needs a batch, and 8 batches or more make it worth its name.
    """
    recipe = load_recipe("small")
    batch_size = recipe.batch_size
    while batch_size > 32 and batch_size * 8 > galaxies:
        batch_size //= 2
    return load_recipe("small", batch_size=batch_size)


def _ask(engine: Engine, truth: pa.Table, question: Question, output: Path) -> Answered:
    galaxy_id, ra, dec = pick_example(truth, question.kind)
    query = Query(
        galaxies=(galaxy_id,),
        where=question.where,
        cone=cone_around(ra, dec, question),
        k=RESULTS,
    )
    found = answer(engine, query)
    tiles = fetch_tiles(engine, found.examples, found.result)
    sheet = output / f"{question.kind}.png"
    drawn = make_sheet(tiles.images, tiles.captions, title=question.words, queries=tiles.queries)
    save_sheet(drawn, sheet)
    kinds = dict(zip(truth["galaxy_id"].to_pylist(), truth["class"].to_pylist(), strict=True))
    n_of_kind = sum(
        kinds.get(result_id) == question.kind
        for result_id in found.result.rows["galaxy_id"].to_pylist()
    )
    return Answered(question, galaxy_id, found.result, n_of_kind, sheet)

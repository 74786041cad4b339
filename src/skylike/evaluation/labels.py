"""How well images of one class find each other: encoders and baselines on the same images."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skylike.errors import SettingsError
from skylike.evaluation.images import LabeledBatch, LabeledImages, open_labeled
from skylike.evaluation.label_metrics import NDCG_AT, MethodScores, Truth, measure_vectors
from skylike.evaluation.label_table import LabelColumns, LabelTable, read_label_table
from skylike.evaluation.methods import Array, Extractor, Method
from skylike.progress import SILENT, Progress

QUERY_FRACTION = 0.9
"""Galaxies with a larger vote fraction are asked with (AION-Search, arXiv 2512.11982)."""

MINIMUM_VOTES = 3
"""Of a galaxy that is asked with (AION-Search)."""


@dataclass(frozen=True)
class LabelQuestion:
    """What is to be measured.

    Attributes
    ----------
    images
        HDF5 files, FITS cutouts, folders or tars of pictures.
    labels
        CSV of classes or vote fractions.
    ignored
        Classes whose images do not take part at all.
    query_fraction, minimum_votes
        Galaxies with a fraction above the one and at least so many votes are asked with.
    seed
        Of the folds, the bootstrap, the random decomposition and the untrained network.
    """

    images: tuple[Path, ...]
    labels: Path
    columns: LabelColumns = field(default_factory=LabelColumns)
    ignored: tuple[str, ...] = ()
    query_fraction: float = QUERY_FRACTION
    minimum_votes: float = MINIMUM_VOTES
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be measured.

        Raises
        ------
        SettingsError
            No image is named, or a number is out of its range.
        """
        if not self.images:
            raise SettingsError("no images are named; give --images a tar, folder or HDF5 file")
        if not 0 <= self.query_fraction < 1:
            raise SettingsError(
                f"--query-fraction {self.query_fraction:g} is not from 0 to below 1; try 0.9"
            )
        if self.seed < 0:
            raise SettingsError(f"--seed {self.seed} is negative; use 0 or more")


@dataclass(frozen=True)
class MeasuredMethod:
    """A method, what it reached, and what it cost.

    Attributes
    ----------
    n_without_direction
        Images that it gives no vector of; they count as failures.
    seconds
        ``extract``: images to vectors; ``measure``: searching, probes, bootstrap.
    """

    method: Method
    dimension: int
    n_without_direction: int
    scores: MethodScores
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class LabelReport:
    """The answer of :func:`evaluate_labels`.

    Attributes
    ----------
    n_by_class
        Images of each class; empty where only fractions are measured.
    n_queries
        Galaxies asked with, for each fraction.
    left_out
        Images and rows that did not take part, by reason.
    """

    question: LabelQuestion
    n_images: int
    n_by_class: Mapping[str, int]
    n_queries: Mapping[str, int]
    left_out: Mapping[str, int]
    methods: tuple[MeasuredMethod, ...]
    seconds: float


def evaluate_labels(
    question: LabelQuestion,
    extractors: Sequence[Extractor],
    *,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> LabelReport:
    """Read labeled images once, turn them into vectors by each method, and score all methods.

    Parameters
    ----------
    extractors
        Of :mod:`skylike.evaluation.methods` and :mod:`skylike.evaluation.baselines`.

    Raises
    ------
    SurveyFileError, ImageFileError
        The CSV or the images cannot be read, or do not belong together.
    SettingsError
        There is nothing to measure: too few images, or no galaxy to ask with.
    """
    began = time.perf_counter()
    table = read_label_table(question.labels, question.columns)
    images = open_labeled(question.images, table, _wanted(table, question))
    rows, extracted, seconds = _extract(images, extractors, progress)
    truth = _truth(table, rows, question)
    measured = []
    for extractor, outputs, spent in zip(extractors, extracted, seconds, strict=True):
        for method, values in zip(extractor.methods, outputs, strict=True):
            share = spent / len(extractor.methods)
            measured.append(_measure(method, values, share, truth, question.seed, device, progress))
    n_by_class = (
        {}
        if truth.classes is None
        else {name: int((truth.classes == i).sum()) for i, name in enumerate(truth.names)}
    )
    return LabelReport(
        question=question,
        n_images=len(rows),
        n_by_class=n_by_class,
        n_queries={name: len(places) for name, places in truth.queries.items()},
        left_out={reason: n for reason, n in _left_out(images, question).items() if n},
        methods=tuple(measured),
        seconds=time.perf_counter() - began,
    )


def _wanted(table: LabelTable, question: LabelQuestion) -> npt.NDArray[np.bool_]:
    """Return the rows that take part: with a class, and not one that is ignored, (n,)."""
    if table.labels is None:
        return np.ones(len(table), dtype=bool)
    unknown = set(question.ignored) - set(table.labels.tolist())
    if unknown:
        raise SettingsError(
            f"--ignore {sorted(unknown)[0]}: {table.path} has no such class; it has "
            f"{', '.join(sorted(set(table.labels.tolist()) - {''}))}"
        )
    return np.asarray((table.labels != "") & ~np.isin(table.labels, question.ignored))


def _left_out(images: LabeledImages, question: LabelQuestion) -> dict[str, int]:
    labels = images.table.labels
    counts = dict(images.left_out)
    if labels is not None:
        counts["rows of the table without a class"] = int((labels == "").sum())
        counts["rows of ignored classes"] = int(np.isin(labels, question.ignored).sum())
    return counts


def _extract(
    images: LabeledImages, extractors: Sequence[Extractor], progress: Progress
) -> tuple[npt.NDArray[np.int64], list[list[Array]], list[float]]:
    """Read all images once; return their rows in the table, ascending, and what was extracted."""
    rows: list[npt.NDArray[np.int64]] = []
    parts: list[list[list[Array]]] = [[[] for _ in e.methods] for e in extractors]
    seconds = [0.0] * len(extractors)
    for batch in images.batches(progress=progress):
        rows.append(batch.rows)
        for place, extractor in enumerate(extractors):
            began = time.perf_counter()
            outputs = _extract_batch(extractor, batch)
            seconds[place] += time.perf_counter() - began
            for collected, values in zip(parts[place], outputs, strict=True):
                collected.append(values)
    joined = np.concatenate(rows)
    # In the order of the table: ties do not depend on the order within a tar.
    order = np.argsort(joined)
    extracted = [[np.concatenate(p)[order] for p in by_method] for by_method in parts]
    return joined[order], extracted, seconds


def _extract_batch(extractor: Extractor, batch: LabeledBatch) -> Sequence[Array]:
    return extractor.extract(np.ascontiguousarray(batch.pixels), batch.kind)


def _truth(table: LabelTable, rows: npt.NDArray[np.int64], question: LabelQuestion) -> Truth:
    if len(rows) < NDCG_AT + 1:
        raise SettingsError(
            f"{table.path}: only {len(rows)} of its images are there; {NDCG_AT + 1} are the least"
        )
    names: tuple[str, ...] = ()
    classes = None
    if table.labels is not None:
        found, classes = np.unique(table.labels[rows], return_inverse=True)
        names = tuple(found.tolist())
        if len(names) < 2 and not table.fractions:
            raise SettingsError(
                f"{table.path}: all images are {names[0]!r}; two classes are the least"
            )
        classes = classes.astype(np.int64)
    fractions = {name: values[rows] for name, values in table.fractions.items()}
    enough = (
        np.ones(len(rows), dtype=bool)
        if table.votes is None
        else table.votes[rows] >= question.minimum_votes
    )
    queries = {
        name: np.flatnonzero((values > question.query_fraction) & enough)
        for name, values in fractions.items()
    }
    for name, places in queries.items():
        if not len(places):
            raise SettingsError(
                f"{table.path}: no image has {name!r} above {question.query_fraction:g} with "
                "enough votes, so that there is nothing to ask with; lower --query-fraction"
            )
    return Truth(names, classes, fractions, queries)


def _measure(
    method: Method,
    values: Array,
    seconds: float,
    truth: Truth,
    seed: int,
    device: str,
    progress: Progress,
) -> MeasuredMethod:
    began = time.perf_counter()
    stored = method.finish(values)
    finished = time.perf_counter()
    scores = measure_vectors(stored, truth, seed=seed, device=device, progress=progress)
    return MeasuredMethod(
        method=method,
        dimension=int(stored.shape[1]),
        n_without_direction=int((stored == 0).all(axis=1).sum()),
        scores=scores,
        seconds={
            "extract": seconds + finished - began,
            "measure": time.perf_counter() - finished,
        },
    )

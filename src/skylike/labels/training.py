"""``skylike label train``: from labels to a classifier and the scores of all galaxies."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine

from skylike.catalog.report import counted
from skylike.catalog.store_labels import fetch_names, no_such_label
from skylike.database.engine import connect
from skylike.database.snapshot import begin_snapshot
from skylike.embeddings.store import EncoderRecord, fetch_named_or_active_encoder
from skylike.errors import EmptyStageError, NotFoundError, SettingsError
from skylike.labels import store, store_classifier
from skylike.labels.classifier import Examples, assign_folds, cross_validate
from skylike.labels.names import check_name
from skylike.labels.sky_groups import SAME_SKY_ARCSEC, group_positions, hash_fractions
from skylike.progress import SILENT, Progress

GalaxyIds = npt.NDArray[np.int32]

FEWEST_MEMBERS: Final = 5
"""With fewer, nothing is left to cross-validate with."""

NEGATIVES: Final = 1000
"""So many not-members at least, or :data:`NEGATIVES_PER_MEMBER` for each member: random unlabeled
galaxies make up for those that nobody has rejected. The paper's authors trained their lens finder
against random galaxies too (ssl-legacysurvey, make_lens_train_set.py)."""

NEGATIVES_PER_MEMBER: Final = 10

LARGEST_SHARE: Final = 0.25
"""At most this part of the unlabeled galaxies is taken for not-members: among few galaxies a random
one may well be a member."""

MAX_RANDOM: Final = 20_000
"""Most random galaxies: 0.3 GB of memory for 2048 dimensions."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Examples with what they are of.

    Attributes
    ----------
    galaxy_ids
        (n,) by kind (members, not-members, random), then identifier.
    examples
        Their embeddings, in that order.
    n_without_embedding
        Labeled galaxies that the encoder has not embedded: left out.
    n_disputed
        Labeled galaxies that as many authors call members as not: left out.
    unlabeled
        (u,) all embedded galaxies that nobody has labeled, ascending.
    """

    galaxy_ids: GalaxyIds
    examples: Examples
    n_without_embedding: int
    n_disputed: int
    unlabeled: GalaxyIds

    @property
    def n_members(self) -> int:
        """Members that are learned from."""
        return int(self.examples.is_member.sum())

    @property
    def n_random(self) -> int:
        """Random galaxies that are taken for not-members."""
        return int(self.examples.is_random.sum())

    @property
    def n_not_members(self) -> int:
        """Labeled not-members that are learned from."""
        return len(self.galaxy_ids) - self.n_members - self.n_random


@dataclass(frozen=True)
class TrainReport:
    """What came of a training."""

    trained: store_classifier.TrainedClassifier
    encoder: str
    n_scored: int
    n_without_embedding: int


def train_classifier(
    engine: Engine,
    name: str,
    *,
    encoder: str | None = None,
    n_random: int | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> TrainReport:
    """Train the classifier of a label and score every embedded galaxy with it.

    Parameters
    ----------
    encoder
        Whose embeddings to learn from; None takes the active one. A classifier of another encoder
        is replaced.
    n_random
        Random unlabeled galaxies to take for not-members; None takes as many as are missing to
        :data:`NEGATIVES` and :data:`NEGATIVES_PER_MEMBER` times the members.
    seed
        Of the random galaxies and of the folds.

    Raises
    ------
    NotFoundError
        Nothing was said under this label; the message lists those there are.
    SettingsError
        It has too few members, or nothing to tell them from; or a number is out of range.
    EncoderNotFoundError, EmptyStageError
        There is no such encoder, or it has embedded nothing.
    ConflictError
        Another process trains the same label.
    """
    check_name(name)
    check_random(n_random, seed)
    with store_classifier.training_lock(engine, name), connect(engine) as reading:
        trained_at = begin_snapshot(reading).time
        record = fetch_named_or_active_encoder(reading, encoder)
        gathered = gather(reading, record, name, n_random=n_random, seed=seed)
        _check_enough(name, gathered)
        folds = _folds(reading, name, gathered, seed=seed)
        model, metrics, _ = cross_validate(gathered.examples, folds)
        trained = store_classifier.TrainedClassifier(
            name=name,
            encoder_id=record.encoder_id,
            model=model,
            metrics=metrics,
            n_members=gathered.n_members,
            n_not_members=gathered.n_not_members,
            n_random=gathered.n_random,
            n_disputed=gathered.n_disputed,
            n_folds=int(folds.max()) + 1,
            seed=seed,
            version=version("skylike"),
            embedded_at=record.embedded_at,
            trained_at=trained_at,
        )
        n_embedded = len(gathered.unlabeled) + gathered.n_members + gathered.n_not_members
        with progress.task(f"score_{name}", total=n_embedded) as task:
            n_scored = store_classifier.replace_classifier(
                engine, reading, record, trained, advance=task.advance
            )
    return TrainReport(trained, record.name, n_scored, gathered.n_without_embedding)


def gather(
    connection: Connection, record: EncoderRecord, name: str, *, n_random: int | None, seed: int
) -> TrainingSet:
    """Fetch what a label says with the embeddings, and random galaxies where not-members are few.

    Raises
    ------
    NotFoundError
        Nothing was said under this label.
    EmptyStageError
        The encoder has embedded nothing.
    """
    consensus = store.fetch_consensus(connection, name)
    if not len(consensus.labeled):
        raise NotFoundError(no_such_label(name, fetch_names(connection)))
    embedded = store_classifier.fetch_embedded_ids(connection, record)
    if not len(embedded):
        raise EmptyStageError(
            f"encoder {record.name} has embedded no galaxy yet; "
            f"run `skylike embed --encoder {record.name}`"
        )
    members, member_vectors = store_classifier.fetch_vectors(connection, record, consensus.members)
    others, other_vectors = store_classifier.fetch_vectors(
        connection, record, consensus.not_members
    )
    unlabeled = np.setdiff1d(embedded, consensus.labeled, assume_unique=True)
    if n_random is None:
        n_random = missing_negatives(len(members), len(others), n_unlabeled=len(unlabeled))
    drawn = np.random.default_rng(seed).choice(
        unlabeled, size=min(n_random, len(unlabeled)), replace=False
    )
    random, random_vectors = store_classifier.fetch_vectors(connection, record, np.sort(drawn))
    sizes = [len(members), len(others), len(random)]
    examples = Examples(
        np.concatenate([member_vectors, other_vectors, random_vectors]),
        np.repeat([True, False, False], sizes),
        np.repeat([False, False, True], sizes),
    )
    n_said = len(consensus.members) + len(consensus.not_members)
    return TrainingSet(
        np.concatenate([members, others, random]),
        examples,
        n_without_embedding=n_said - len(members) - len(others),
        n_disputed=len(consensus.disputed),
        unlabeled=unlabeled,
    )


def missing_negatives(n_members: int, n_not_members: int, *, n_unlabeled: int) -> int:
    """Return how many random galaxies to take for not-members."""
    wanted = max(NEGATIVES, NEGATIVES_PER_MEMBER * n_members) - n_not_members
    return max(0, min(wanted, int(LARGEST_SHARE * n_unlabeled), MAX_RANDOM))


def check_random(n_random: int | None, seed: int) -> None:
    """Check the number of random galaxies and the seed.

    Raises
    ------
    SettingsError
        One is out of range.
    """
    if n_random is not None and not 0 <= n_random <= MAX_RANDOM:
        raise SettingsError(f"--random {n_random} is out of range; take 0 to {MAX_RANDOM}")
    if not 0 <= seed < 2**63:
        raise SettingsError(f"--seed {seed} is out of range; take 0 to {2**63 - 1}")


def _check_enough(name: str, gathered: TrainingSet) -> None:
    left_out = (
        f" ({gathered.n_without_embedding} more labeled galaxies have no embedding; "
        "run `skylike embed`)"
        if gathered.n_without_embedding
        else ""
    )
    if gathered.n_members < FEWEST_MEMBERS:
        raise SettingsError(
            f"label {name} has {gathered.n_members} members with an embedding and training needs "
            f"{FEWEST_MEMBERS}{left_out}; find more with `skylike label suggest {name}` or "
            f"`skylike search`, then `skylike label add {name} --galaxy ID`"
        )
    if gathered.n_members == len(gathered.galaxy_ids):
        raise SettingsError(
            f"label {name} has no galaxies to tell its members from{left_out}; "
            f"add some with `skylike label add {name} --not --galaxy ID`, or allow --random"
        )


def _folds(
    connection: Connection, name: str, gathered: TrainingSet, *, seed: int
) -> npt.NDArray[np.int64]:
    ra, dec = store.fetch_positions(connection, gathered.galaxy_ids)
    groups = group_positions(ra, dec, within_arcsec=SAME_SKY_ARCSEC)
    is_member = gathered.examples.is_member
    hashed = hash_fractions(map(str, gathered.galaxy_ids.tolist()), seed=seed)
    folds = assign_folds(groups, is_member, hashed)
    for fold in range(int(folds.max()) + 1):
        if len(np.unique(is_member[folds != fold])) < 2:
            raise SettingsError(
                f"the members of label {name}, or its not-members, are too few places of the sky "
                f"to test a classifier on (those within {SAME_SKY_ARCSEC:g} arcsec of each other "
                "are one place); add others elsewhere"
            )
    return folds


def train_lines(report: TrainReport) -> list[str]:
    """Say for people what was trained, and what it is worth."""
    trained, metrics = report.trained, report.trained.metrics
    lines = [
        f"label {trained.name}: trained on {counted(trained.n_members, 'member')}, "
        f"{counted(trained.n_not_members, 'not-member')} and "
        f"{counted(trained.n_random, 'random unlabeled galaxy', 'random unlabeled galaxies')} "
        f"taken for not-members, encoder {report.encoder}",
        f"  average precision {metrics.average_precision:.3f} (chance {metrics.chance:.3f}), "
        f"ROC AUC {metrics.roc_auc:.3f}, precision of the best {metrics.top_n} "
        f"{metrics.precision_top_n:.3f}: cross-validated in {trained.n_folds} parts, "
        f"L2 penalty {trained.model.penalty:g}",
        f"  scored {counted(report.n_scored, 'galaxy', 'galaxies')}: "
        f"use score_{trained.name} in cuts, such as --where 'score_{trained.name} > 0.9'",
    ]
    if trained.n_disputed:
        lines.append(
            f"  left out, {counted(trained.n_disputed, 'galaxy', 'galaxies')} "
            "that authors differ on"
        )
    if report.n_without_embedding:
        lines.append(
            f"  left out, {counted(report.n_without_embedding, 'galaxy', 'galaxies')} "
            "without an embedding"
        )
    return lines

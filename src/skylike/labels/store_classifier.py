"""The tables ``classifier`` and ``classifier_score``, and the embeddings that classifiers read."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from skylike.database.copy import copy_into, iter_fixed_rows, iter_halfvec_rows
from skylike.database.engine import SCHEMA, connect
from skylike.database.partitions import qualified
from skylike.database.tables import classifier, classifier_score
from skylike.embeddings.store import EncoderRecord, hold_lock
from skylike.labels.classifier import LinearModel
from skylike.labels.metrics import Metrics
from skylike.neighbors import store_input

GalaxyIds = npt.NDArray[np.int32]
Vectors = npt.NDArray[np.float16]

_BATCH_ROWS: Final = 4096
"""Embeddings scored at a time: 32 MB in float32 for 2048 dimensions."""


@dataclass(frozen=True)
class TrainedClassifier:
    """What is stored of a classifier, beside its scores.

    Attributes
    ----------
    embedded_at
        When the embeddings that it scored were published.
    trained_at
        When labels and embeddings were read.
    """

    name: str
    encoder_id: int
    model: LinearModel
    metrics: Metrics
    n_members: int
    n_not_members: int
    n_random: int
    n_disputed: int
    n_folds: int
    seed: int
    version: str
    embedded_at: datetime | None
    trained_at: datetime


def fetch_embedded_ids(connection: Connection, record: EncoderRecord) -> GalaxyIds:
    """Fetch all galaxies that an encoder has embedded, (n,) ascending."""
    query = sql.SQL("SELECT galaxy_id FROM {} WHERE encoder_id = {}").format(
        qualified("embedding"), sql.Literal(record.encoder_id)
    )
    batches = iter_fixed_rows(connection, query, [("id", ">i4")], batch_rows=1 << 20)
    parts = [rows["id"].astype(np.int32) for rows in batches]
    return np.sort(np.concatenate([np.empty(0, np.int32), *parts]))


def fetch_vectors(
    connection: Connection, record: EncoderRecord, galaxy_ids: GalaxyIds
) -> tuple[GalaxyIds, Vectors]:
    """Fetch the embeddings of some galaxies that have a direction: (n,) ascending and (n, d).

    Galaxies without an embedding, or with one of length 0, are missing from the answer.
    """
    ids, vectors = store_input.fetch_vectors(connection, record, galaxy_ids)
    usable = np.flatnonzero(vectors.any(axis=1))
    order = usable[np.argsort(ids[usable])]
    return ids[order], vectors[order]


def training_lock(engine: Engine, name: str) -> AbstractContextManager[None]:
    """Let one process at a time train the classifier of a label.

    Raises
    ------
    ConflictError
        Another process is at it.
    """
    return hold_lock(engine, "label train", name)


def replace_classifier(
    engine: Engine,
    reading: Connection,
    record: EncoderRecord,
    trained: TrainedClassifier,
    *,
    advance: Callable[[int], None],
) -> int:
    """Write a classifier and its scores of all embedded galaxies, in one transaction.

    Readers see the old scores until all new ones are there. A kill leaves the old ones.

    Parameters
    ----------
    reading
        Another connection, in the snapshot that the classifier was trained in; embeddings are
        streamed from it while scores are written.
    advance
        Called with the number of galaxies of each batch.

    Returns
    -------
    int
        Galaxies scored; those with an embedding of length 0 have no score.
    """
    query = sql.SQL("SELECT galaxy_id, embedding FROM {} WHERE encoder_id = {}").format(
        qualified("embedding"), sql.Literal(record.encoder_id)
    )
    batches = iter_halfvec_rows(reading, query, dimension=record.dimension, batch_rows=_BATCH_ROWS)
    n_scored = 0
    with connect(engine) as connection, connection.begin():
        connection.execute(
            sa.delete(classifier_score).where(classifier_score.c.name == trained.name)
        )
        for ids, vectors in batches:
            scores = trained.model.scores(vectors)
            n_scored += _copy_scores(connection, trained.name, ids, scores)
            advance(len(ids))
        _write_classifier(connection, trained, n_scored=n_scored)
    with connect(engine).execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE skylike.classifier_score"))
    return n_scored


def _copy_scores(
    connection: Connection, name: str, ids: GalaxyIds, scores: npt.NDArray[np.float32]
) -> int:
    known = np.isfinite(scores)
    batch = pa.table(
        {
            "name": pa.array([name] * int(known.sum()), pa.string()),
            "galaxy_id": pa.array(ids[known]),
            "score": pa.array(scores[known]),
        }
    )
    return copy_into(connection, f"{SCHEMA}.classifier_score", batch)


def _write_classifier(connection: Connection, trained: TrainedClassifier, *, n_scored: int) -> None:
    values = {
        "name": trained.name,
        "encoder_id": trained.encoder_id,
        "weights": trained.model.weights.tolist(),
        "intercept": trained.model.intercept,
        "regularization": trained.model.penalty,
        "n_members": trained.n_members,
        "n_not_members": trained.n_not_members,
        "n_random": trained.n_random,
        "n_disputed": trained.n_disputed,
        "n_scored": n_scored,
        "n_folds": trained.n_folds,
        "average_precision": trained.metrics.average_precision,
        "chance": trained.metrics.chance,
        "roc_auc": trained.metrics.roc_auc,
        "top_n": trained.metrics.top_n,
        "precision_top_n": trained.metrics.precision_top_n,
        "seed": trained.seed,
        "version": trained.version,
        "embedded_at": trained.embedded_at,
        "trained_at": trained.trained_at,
    }
    connection.execute(
        insert(classifier)
        .values(values)
        .on_conflict_do_update(index_elements=["name"], set_=values)
    )


def delete_classifier(connection: Connection, name: str) -> bool:
    """Remove the classifier of a label with its scores; tell whether there was one."""
    connection.execute(sa.delete(classifier_score).where(classifier_score.c.name == name))
    return connection.execute(sa.delete(classifier).where(classifier.c.name == name)).rowcount > 0

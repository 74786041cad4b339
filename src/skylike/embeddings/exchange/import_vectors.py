"""Enter embeddings that were made elsewhere, as an encoder without a network."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.embeddings import store, store_staging, store_sums
from skylike.embeddings.checkpoint import file_sha256
from skylike.embeddings.compact import Moments
from skylike.embeddings.embed_job import EmbedReport
from skylike.embeddings.exchange import store_import
from skylike.embeddings.exchange.identifiers import Way, read_names
from skylike.embeddings.exchange.matching import NO_GALAXY, MatchedRows, match_rows
from skylike.embeddings.exchange.vector_files import VectorFile, open_vectors
from skylike.embeddings.exchange.vector_shards import Tally, VectorCounts, iter_shards
from skylike.embeddings.names import check_name
from skylike.embeddings.publish import publish_staged, report_published
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_locks import hold_publication, join_work
from skylike.errors import EmptyStageError, EncoderNotFoundError, SettingsError, SurveyFileError
from skylike.jobs.store_sessions import open_session
from skylike.progress import SILENT, Progress


@dataclass(frozen=True)
class VectorSource:
    """What is imported, and how its rows tell their galaxies."""

    vectors: Path
    """NumPy array or Parquet table."""

    ids: Path | None = None
    """File that names the galaxy of each row; None looks in the table itself."""

    vector_column: str | None = None
    """See :func:`skylike.embeddings.exchange.vector_files.open_vectors`."""

    way: Way | None = None
    columns: Mapping[str, str] | None = None
    """See :func:`skylike.embeddings.exchange.identifiers.read_names`."""

    survey: str | None = None
    radius_arcsec: float = 1.0
    """See :func:`skylike.embeddings.exchange.matching.match_rows`."""


@dataclass(frozen=True)
class VectorImport:
    """What :func:`import_vectors` did."""

    report: EmbedReport
    counts: VectorCounts
    way: Way


def import_vectors(
    engine: Engine,
    name: str,
    source: VectorSource,
    *,
    components: int | None = None,
    progress: Progress = SILENT,
) -> VectorImport:
    """Enter embeddings from a file and publish them, as ``skylike embed`` does with its own.

    The file is streamed. An import that was killed goes on where it was; the same file again adds
    only what is missing (galaxies that have come into the catalog since); another file under the
    same name adds galaxies, and replaces those that it has, too.

    Parameters
    ----------
    name
        Of the encoder.
    components
        m of the compact vectors; None takes the default.

    Raises
    ------
    SurveyFileError
        A file cannot be read, holds no embeddings, or does not tell galaxies.
    SettingsError
        The name belongs to another kind of encoder, or an option does not fit.
    EmptyStageError
        Not one row is the embedding of a galaxy; the message says why.
    ConflictError
        Another process imports under this name.
    """
    check_name(name)
    if not 0 < source.radius_arcsec <= 3600:
        raise SettingsError(
            f"--match-radius {source.radius_arcsec:g}: give more than 0 and at most 3600 arcsec"
        )
    file = open_vectors(source.vectors, column=source.vector_column)
    if components is not None and not 1 <= components <= file.dimension:
        raise SettingsError(f"--components {components}: these allow 1 to {file.dimension}")
    if source.ids is None and not file.has_columns:
        raise SettingsError(
            f"{source.vectors}: an array does not tell galaxies; give a file that does with --ids"
        )
    names = read_names(source.ids or source.vectors, way=source.way, columns=source.columns)
    if len(names) != file.n_rows:
        raise SurveyFileError(
            f"{source.ids}: has {len(names):,} rows and {source.vectors} {file.n_rows:,}; the two "
            "must go together row by row"
        )
    fingerprint = _fingerprint(source)
    with store.hold_lock(engine, "encoder import", name):
        with connect(engine) as connection:
            known = _find(connection, name, file.dimension)
            rows = match_rows(
                connection,
                names,
                radius_arcsec=source.radius_arcsec,
                survey=source.survey,
                progress=progress,
            )
        if not (rows.galaxy_id != NO_GALAXY).any():
            raise EmptyStageError(_why_none(source, rows, names.way))
        record = _enter(engine, name, file.dimension, known, fingerprint)
        job = _Job(record, file, rows, fingerprint, is_again=_is_again(record, fingerprint))
        counts = _stage(engine, job, progress)
        report = _publish(engine, job, source, counts, components=components, progress=progress)
    return VectorImport(report, counts, names.way)


@dataclass(frozen=True, eq=False)
class _Job:
    record: EncoderRecord
    file: VectorFile
    rows: MatchedRows
    fingerprint: str
    is_again: bool
    """The same file was the last to be published."""


def _fingerprint(source: VectorSource) -> str:
    """Return a digest of the files and of all that decides which row is of which galaxy."""
    told = {
        "vectors": file_sha256(source.vectors),
        "ids": None if source.ids is None else file_sha256(source.ids),
        "how": [source.vector_column, source.way, source.survey, source.radius_arcsec],
        "columns": dict(source.columns or {}),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _find(connection: Connection, name: str, dimension: int) -> EncoderRecord | None:
    """Find the encoder that the embeddings are added to."""
    try:
        record = store.fetch_encoder(connection, name)
    except EncoderNotFoundError:
        return None
    if record.source != "embeddings":
        raise SettingsError(
            f"encoder {name!r} has a network of its own; choose another name with --name"
        )
    if record.dimension != dimension:
        raise SettingsError(
            f"encoder {name!r} has embeddings of {record.dimension} numbers, the file has "
            f"{dimension}; choose another name with --name"
        )
    return record


def _enter(
    engine: Engine, name: str, dimension: int, known: EncoderRecord | None, fingerprint: str
) -> EncoderRecord:
    """Make the encoder, or clear away what an unfinished import of another file has staged."""
    with engine.begin() as connection:
        if known is None:
            origin: dict[str, object] = {"importing": fingerprint, "imports": []}
            return store_import.enter_embeddings(
                connection, name, dimension=dimension, origin=origin
            )
        origin = dict(known.origin or {})
        if origin.get("importing") != fingerprint:
            store_staging.drop_staging(connection, known)
        return store_import.record_origin(connection, known, {**origin, "importing": fingerprint})


def _is_again(record: EncoderRecord, fingerprint: str) -> bool:
    imports = (record.origin or {}).get("imports")
    last = imports[-1] if isinstance(imports, list) and imports else {}
    return record.embedded_at is not None and last.get("fingerprint") == fingerprint


def _stage(engine: Engine, job: _Job, progress: Progress) -> VectorCounts:
    """Write the vectors out of readers' sight; what is there already is passed by."""
    record, tally = job.record, Tally()
    with open_session(engine) as session, join_work(session, [record]):
        with session.begin():
            as_of = store_staging.begin_staging(session, record)
            done = store_import.fetch_galaxies_with(session, record, staged=True)
            if job.is_again:
                published = store_import.fetch_galaxies_with(session, record, staged=False)
                done = np.union1d(done, published)
        moments, shards = Moments(record.dimension), []
        with progress.task("embeddings", total=job.file.n_rows, unit="rows") as task:
            for shard, n_read in iter_shards(job.file, job.rows, done, tally):
                if len(shard.galaxy_id):
                    with session.begin():
                        number = store_staging.stage_shard(session, record, shard, as_of=as_of)
                    moments.add(shard.vectors)
                    shards.append(number)
                task.advance(n_read)
        if shards:
            with session.begin():
                store_sums.write_sums(session, record, moments, shards, sum_id=None)
    return tally.counts(job.rows)


def _publish(
    engine: Engine,
    job: _Job,
    source: VectorSource,
    counts: VectorCounts,
    *,
    components: int | None,
    progress: Progress,
) -> EmbedReport:
    record = job.record
    with open_session(engine) as session, hold_publication(session, record):
        with session.begin():
            record = store.fetch_encoder(session, record.name)
            n_staged = store_staging.count_staged(session, record).galaxies
        if not n_staged and record.embedded_at is None:
            with session.begin():
                store_import.discard_unpublished(session, record)
            raise EmptyStageError(_why_invalid(source, counts))
        if n_staged or components not in {None, record.compact_components}:
            report = publish_staged(engine, record, components=components, progress=progress)
        else:
            with session.begin():
                store_staging.drop_staging(session, record)
            report = report_published(engine, record)
        with session.begin():
            imports = (record.origin or {}).get("imports")
            before = imports if isinstance(imports, list) else []
            if job.is_again:
                before = before[:-1]
            entry = {
                "file": str(source.vectors.absolute()),
                "ids": None if source.ids is None else str(source.ids.absolute()),
                "fingerprint": job.fingerprint,
                **asdict(counts),
            }
            store_import.record_origin(session, record, {"imports": [*before, entry]})
    return report


def _why_none(source: VectorSource, rows: MatchedRows, way: Way) -> str:
    other = {
        "position": "see where the catalog is (`skylike catalog info`), or widen --match-radius",
        "galaxy_id": "galaxy_id is of this database; choose object_id or position with --id-column",
        "object_id": "choose position with --id-column, or another survey with --survey",
    }
    return (
        f"{source.ids or source.vectors}: none of {len(rows.galaxy_id):,} rows is of a galaxy of "
        f"the catalog, by {way} ({rows.n_unnamed:,} have none); {other[way]}"
    )


def _why_invalid(source: VectorSource, counts: VectorCounts) -> str:
    return (
        f"{source.vectors}: no vector can be an embedding: {counts.n_not_finite:,} hold NaN or "
        f"infinity, {counts.n_zero:,} are zero, {counts.n_odd:,} are missing or of another length"
    )

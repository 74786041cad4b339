"""Embed galaxies: cutouts stream through an encoder into shards, published all at once."""

import logging

from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.embeddings import store, store_pending, store_staging
from skylike.embeddings.checkpoint import load_encoder
from skylike.embeddings.embed_job import (
    EmbedOptions,
    EmbedOutcome,
    EmbedReport,
    LayerChoice,
    check_components,
    choose_encoders,
)
from skylike.embeddings.embed_shards import ShardWork, embed_shards
from skylike.embeddings.publish import publish_staged, report_published
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_locks import hold_publication, join_work
from skylike.embeddings.store_pending import SHARD_ROWS, Sight
from skylike.images.store import fetch_files
from skylike.jobs.shares import Cluster, Part, load_dask_client
from skylike.jobs.store_sessions import SharedSession, open_session
from skylike.progress import SILENT, Progress

__all__ = [
    "SHARD_ROWS",
    "EmbedOptions",
    "EmbedOutcome",
    "EmbedReport",
    "embed_galaxies",
    "embed_layers",
]

logger = logging.getLogger(__name__)


def embed_galaxies(
    engine: Engine,
    name: str | None = None,
    *,
    device: str = "cpu",
    batch_size: int = 256,
    components: int | None = None,
    invert_pictures: bool = False,
    progress: Progress = SILENT,
) -> EmbedReport:
    """Embed every galaxy that has no embedding of its present cutout, in this process, and publish.

    :func:`embed_layers` with one layer: that of the encoder. Parameters and errors are its own.
    """
    options = EmbedOptions(
        batch_size=batch_size, components=components, invert_pictures=invert_pictures
    )
    outcome = embed_layers(engine, name, device=device, options=options, progress=progress)
    return outcome.reports[0]


def embed_layers(
    engine: Engine,
    name: str | None = None,
    *,
    layer: LayerChoice | None = None,
    device: str = "cpu",
    options: EmbedOptions | None = None,
    share: Part | Cluster | None = None,
    progress: Progress = SILENT,
) -> EmbedOutcome:
    """Embed every galaxy that has no embedding of its present cutout, and publish.

    Of a galaxy that has both a flux cutout and a picture, the fluxes are taken: they are not
    clipped, and an encoder of color renders them by the rule it was trained with.

    An embedding that was killed goes on where it was when it is called again. Any number of
    processes, on any number of machines, may embed with the same encoder at the same time: they
    share the work, and one of them publishes.

    Parameters
    ----------
    name
        Encoder; None takes the active one, or the only one there is.
    layer
        What to fill: ``features``, ``projection`` (of encoder NAME, as encoder NAME-projection,
        entered where it is new), or ``both`` in one pass of the network. None takes the layer that
        the encoder has.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; with a cluster, that of its workers.
    share
        None: embed all that no other process does, and return when it is published. A part: embed
        the shards of that part, and return; who does the last one of all publishes. A cluster: let
        its workers embed, and publish.

    Raises
    ------
    EncoderNotFoundError, SettingsError
        See :func:`skylike.embeddings.store.fetch_encoder_to_embed`; or a number is out of range, or
        the network has no such layer.
    CheckpointError
        The encoder's file is missing, damaged or another one.
    EmptyStageError
        No galaxy has a cutout that the encoder can use, or none gave an embedding.
    ConflictError
        What is staged was computed in another precision.
    ImageFileError
        A file of cutouts is gone or damaged; what is staged is kept for the next run.
    ClusterError
        The cluster cannot be reached, or its workers do not survive.
    """
    options = options or EmbedOptions()
    if isinstance(share, Cluster):
        load_dask_client().check_scheduler(share)
    with connect(engine) as connection:
        record = store.fetch_encoder_to_embed(connection, name)
    encoder = load_encoder(
        record.network_file,
        device="cpu" if isinstance(share, Cluster) else device,
        sha256=record.checkpoint_sha256,
        precision=options.precision,
    )
    records = choose_encoders(engine, record, encoder, layer)
    check_components(records, options.components)
    with open_session(engine) as session:
        with join_work(session, records):
            work = _begin(session, records, options)
            with session.begin():
                pending = store_pending.count_pending(session, work.sight)
            with progress.task("embedding", total=sum(pending.values()), unit="galaxies") as task:
                if isinstance(share, Cluster):
                    from skylike.embeddings.embed_cluster import (  # noqa: PLC0415 - Dask is an extra
                        embed_on_cluster,
                    )

                    n_here = embed_on_cluster(
                        engine, session, work, pending, share, device=device, task=task
                    )
                else:
                    mine = {s: n for s, n in pending.items() if share is None or share.owns(s)}
                    task.skip(sum(pending.values()) - sum(mine.values()))
                    n_here = embed_shards(SharedSession(session), work, encoder, mine, task=task)
            with session.begin():
                n_left = sum(store_pending.count_pending(session, work.sight).values())
        logger.info("%d galaxies embedded here, %d left to others", n_here, n_left)
        if n_left:
            return EmbedOutcome(n_here, n_left, ())
        reports = [_publish(engine, session, record, options, progress) for record in records]
    return EmbedOutcome(n_here, 0, tuple(reports))


def _begin(
    session: Connection, records: tuple[EncoderRecord, ...], options: EmbedOptions
) -> ShardWork:
    """Make the staging tables where they are missing, and fix what there is to embed."""
    with_pictures = records[0].input == "rgb" or options.invert_pictures
    with session.begin():
        as_of = min([store_staging.begin_staging(session, record) for record in records])
        for record in records:
            store_staging.check_precision(session, record, options.precision)
        files = fetch_files(session)
    return ShardWork(Sight(records, as_of, with_pictures=with_pictures), files, options)


def _publish(
    engine: Engine,
    session: Connection,
    record: EncoderRecord,
    options: EmbedOptions,
    progress: Progress,
) -> EmbedReport:
    """Publish, unless another process that found all shards done has done so."""
    with hold_publication(session, record):
        with session.begin():
            record = store.fetch_encoder(session, record.name)
            is_staged = store_staging.has_staging(session, record)
        if not is_staged:
            return report_published(engine, record)
        return publish_staged(
            engine,
            record,
            components=options.components,
            invert_pictures=options.invert_pictures,
            progress=progress,
        )

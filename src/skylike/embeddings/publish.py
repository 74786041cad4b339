"""Publication of what is staged: axes, compact vectors, and all of it shown at once.

Every embedding is read once after it was computed: to make its compact vector. Mean and axes come
from sums that were added up while embedding (:mod:`skylike.embeddings.store_sums`); embeddings are
read a second time only where no sums hold them: those published before, when new ones are so many
that the axes change, and those of a process that was killed before it wrote its sums.
"""

from dataclasses import replace
from datetime import datetime
from itertools import chain

import numpy as np
from sqlalchemy import Engine

from skylike.database.engine import connect
from skylike.embeddings import (
    store,
    store_compact,
    store_pending,
    store_publication,
    store_staging,
    store_sums,
    store_vectors,
)
from skylike.embeddings.compact import CompactBasis, default_components, project
from skylike.embeddings.embed_job import EmbedReport
from skylike.embeddings.prefetch import prefetch
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_staging import StagedCounts
from skylike.embeddings.store_tables import GalaxyIds
from skylike.errors import EmptyStageError
from skylike.progress import SILENT, Progress

NEW_BASIS_SHARE = 0.2
"""When more than this share of the embeddings is new, the principal axes are computed again. The
bound of compact distances holds for any basis; only its tightness suffers meanwhile."""


def publish_staged(
    engine: Engine,
    record: EncoderRecord,
    *,
    components: int | None = None,
    invert_pictures: bool = False,
    progress: Progress = SILENT,
) -> EmbedReport:
    """Publish what is staged of an encoder, and remove what has no image any more.

    Nobody else may stage or publish meanwhile:
    :func:`skylike.embeddings.store_locks.hold_publication`.

    Parameters
    ----------
    record
        As it is now; an encoder without a network keeps embeddings of galaxies without images.
    components
        m of the compact vectors; None keeps what there is, or takes :func:`default_components`. A
        change computes a new basis.
    invert_pictures
        Have pictures been taken for an encoder of flux?

    Raises
    ------
    EmptyStageError
        There is no embedding, neither new nor old.
    """
    staged, without, kept, left = _look(engine, record, invert_pictures=invert_pictures)
    if staged.galaxies + kept == 0:
        with engine.begin() as connection:
            store_staging.drop_staging(connection, record)
        raise EmptyStageError(_why_nothing(record, staged, left))
    with connect(engine) as connection:
        old_basis = store.fetch_compact_basis(connection, record.encoder_id)
    wanted = components or record.compact_components or default_components(record.dimension)
    basis = old_basis
    if (
        basis is None
        or staged.galaxies > NEW_BASIS_SHARE * (staged.galaxies + kept)
        or len(basis.directions) != wanted
    ):
        basis = fit_basis(engine, record, wanted, staged.galaxies + kept, without, progress)
    is_new_basis = basis is not old_basis
    record = replace(record, compact_components=len(basis.directions))
    if staged.galaxies or len(without) or is_new_basis:
        n = staged.galaxies + (kept if is_new_basis else 0)
        record = _show(engine, record, basis, without, n, is_new_basis=is_new_basis, told=progress)
    with engine.begin() as connection:
        store_staging.drop_staging(connection, record)
        n_total = store_vectors.count_published(connection, record)
        was_activated = store_publication.activate_if_none_is(connection, record)
    return EmbedReport(
        encoder=record.name,
        n_new=staged.galaxies,
        n_total=n_total,
        n_removed=len(without),
        n_degenerate=staged.blank,
        n_pictures_left=left,
        n_inverted=staged.inverted,
        components=len(basis.directions),
        explained=float(basis.explained_variance.sum()),
        slack=record.compact_slack or 0.0,
        is_new_basis=is_new_basis,
        was_activated=was_activated,
    )


def report_published(engine: Engine, record: EncoderRecord) -> EmbedReport:
    """Report of an encoder that another process has just published.

    Raises
    ------
    EmptyStageError
        It found nothing to publish.
    """
    with engine.begin() as connection:
        basis = store.fetch_compact_basis(connection, record.encoder_id)
        n_total = store_vectors.count_published(connection, record)
    if basis is None:
        raise EmptyStageError(_why_nothing(record, StagedCounts(0, 0, 0), 0))
    return EmbedReport(
        encoder=record.name,
        n_new=0,
        n_total=n_total,
        n_removed=0,
        n_degenerate=0,
        n_pictures_left=0,
        n_inverted=0,
        components=len(basis.directions),
        explained=float(basis.explained_variance.sum()),
        slack=record.compact_slack or 0.0,
        is_new_basis=False,
        was_activated=False,
    )


def _look(
    engine: Engine, record: EncoderRecord, *, invert_pictures: bool
) -> tuple[StagedCounts, GalaxyIds, int, int]:
    """Return what is staged, which galaxies lose their embedding, and how many keep theirs.

    The last number is that of the galaxies with pictures only that an encoder of flux passes by.
    """
    with engine.begin() as connection:
        staged = store_staging.count_staged(connection, record)
        without = np.empty(0, dtype=np.int32)
        if record.source != "embeddings":
            without = store_vectors.fetch_outlived(connection, record)
        kept = store_vectors.count_kept(connection, record, without=without)
        left = 0
        if record.input == "flux" and not invert_pictures:
            left = store_pending.count_galaxies_with_pictures_only(connection)
    return staged, without, kept, left


def fit_basis(
    engine: Engine,
    record: EncoderRecord,
    components: int,
    n: int,
    without: GalaxyIds,
    progress: Progress = SILENT,
) -> CompactBasis:
    """Find mean and principal axes of the embeddings as they will be after publication.

    Parameters
    ----------
    n
        How many they are.
    without
        Galaxies whose published embedding will go.
    """
    with engine.begin() as connection:
        moments, counted = store_sums.fetch_sums(connection, record)
    if moments.n == n:
        return moments.basis(components)
    parts = chain(
        store_sums.iter_not_summed(engine, record, counted),
        store_vectors.iter_vectors(engine, record, without=without, staged=False),
    )
    with progress.task("principal components", total=n - moments.n, unit="galaxies") as task:
        for ids, vectors in prefetch(parts):
            moments.add(vectors)
            task.advance(len(ids))
    return moments.basis(components)


def _show(
    engine: Engine,
    record: EncoderRecord,
    basis: CompactBasis,
    without: GalaxyIds,
    n: int,
    *,
    is_new_basis: bool,
    told: Progress,
) -> EncoderRecord:
    """Make n compact vectors and show everything at once; return the record with its slack."""
    slack = stage_compact_vectors(
        engine, record, basis, without, n=n, staged_only=not is_new_basis, progress=told
    )
    if not is_new_basis:
        slack = max(slack, record.compact_slack or 0.0)
    with engine.begin() as connection:
        published_at = store_staging.wait_for_cutouts(connection)
    show_vectors(
        engine,
        record,
        basis,
        without,
        slack=slack,
        published_at=published_at,
        is_new_basis=is_new_basis,
    )
    return replace(record, compact_slack=slack)


def show_vectors(
    engine: Engine,
    record: EncoderRecord,
    basis: CompactBasis,
    without: GalaxyIds,
    *,
    slack: float,
    published_at: datetime,
    is_new_basis: bool,
) -> None:
    """Show what is staged, embeddings and compact vectors, in one transaction.

    Parameters
    ----------
    without
        Galaxies whose published embedding goes.
    published_at
        From :func:`skylike.embeddings.store_staging.wait_for_cutouts`.
    """
    with engine.begin() as connection:
        store_publication.publish_vectors(
            connection, record, without=without, published_at=published_at
        )
        store_publication.publish_compact(
            connection, record, merge=not is_new_basis, without=without
        )
        store_publication.record_basis(
            connection, record, basis, slack=slack, published_at=published_at
        )
    store_publication.analyze_vectors(engine, record)


def stage_compact_vectors(
    engine: Engine,
    record: EncoderRecord,
    basis: CompactBasis,
    without: GalaxyIds,
    *,
    staged_only: bool,
    n: int | None = None,
    progress: Progress = SILENT,
) -> float:
    """Write compact vectors to their staging table; return their slack.

    The next embeddings are read while these are projected and written.

    Parameters
    ----------
    without
        Galaxies whose published embedding will go.
    staged_only
        Leave the published embeddings aside: their compact vectors stay.
    n
        How many they are, if that is known.
    """
    slack = 0.0
    batches = store_vectors.iter_vectors(engine, record, without=without, kept=not staged_only)
    with (
        engine.begin() as connection,
        progress.task("compact vectors", total=n, unit="galaxies") as task,
    ):
        store_compact.begin_compact_staging(connection, record)
        for ids, vectors in prefetch(batches):
            compact, own_slack = project(vectors, basis)
            slack = max(slack, own_slack)
            store_compact.stage_compact(connection, record, ids, compact)
            task.advance(len(ids))
    return slack


def _why_nothing(record: EncoderRecord, staged: StagedCounts, pictures_left: int) -> str:
    if staged.blank:
        return (
            f"none of {staged.blank:,} cutouts gave encoder {record.name!r} an embedding; "
            "look at them with `skylike images info`, or train the encoder again"
        )
    if pictures_left:
        return (
            f"encoder {record.name!r} sees fluxes and the {pictures_left:,} galaxies have "
            "pictures only; use an encoder with rgb input, or give --invert-pictures"
        )
    return "no galaxy has a cutout; run `skylike images add` first"

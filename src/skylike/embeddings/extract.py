"""Embed galaxies: cutouts stream through an encoder into shards, published all at once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine

from skylike.database.engine import connect
from skylike.embeddings import store, store_publication, store_vectors
from skylike.embeddings.checkpoint import TrainedEncoder, load_encoder
from skylike.embeddings.compact import CompactBasis, Moments, default_components, project
from skylike.embeddings.prefetch import prefetch
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_vectors import Shard
from skylike.errors import EmptyStageError, SettingsError
from skylike.images.index import CutoutIndex
from skylike.images.read import iter_pixels
from skylike.images.store import fetch_cutout_index
from skylike.progress import SILENT, Progress

SHARD_ROWS = 1024
"""Galaxies staged at a time: what a kill loses. 4 MB of the paper's vectors."""

NEW_BASIS_SHARE = 0.2
"""When more than this share of the embeddings is new, the principal axes are computed again. The
bound of compact distances holds for any basis; only its tightness suffers meanwhile."""

_NO_GALAXIES = np.empty(0, dtype=np.int32)


@dataclass(frozen=True)
class EmbedReport:
    """What a run of :func:`embed_galaxies` did."""

    encoder: str
    """Name of the encoder."""

    n_new: int
    """Galaxies embedded and published, new or again, those staged by a run that was killed
    included."""

    n_total: int
    """Galaxies that have an embedding now."""

    n_removed: int
    """Embeddings taken away: the galaxy's image is gone, or its new one shows nothing."""

    n_degenerate: int
    """Galaxies without one because their image shows nothing or the network gives no direction."""

    n_pictures_left: int
    """Galaxies that an encoder of flux passed by because they have a picture only."""

    n_inverted: int
    """Pictures turned into fluxes, in this run."""

    components: int
    """m of the compact vectors."""

    explained: float
    """Fraction of the variance within these components."""

    slack: float
    """Of the compact vectors."""

    is_new_basis: bool
    """Were the principal axes computed again?"""

    was_activated: bool
    """Did this run make the encoder the active one?"""


@dataclass
class _Tally:
    degenerate: npt.NDArray[np.int32]
    n_inverted: int = 0


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
    """Embed every galaxy that has no embedding of its present cutout, and publish.

    Of a galaxy that has both a flux cutout and a picture, the fluxes are taken: they are not
    clipped, and an encoder of color renders them by the rule it was trained with.

    Parameters
    ----------
    name
        Encoder; None takes the active one, or the only one there is.
    batch_size
        Images that go through the network together.
    components
        m of the compact vectors; None takes :func:`default_components`. A change computes a new
        basis.
    invert_pictures
        Let an encoder of flux take pictures; their embeddings are marked.

    Raises
    ------
    EncoderNotFoundError, SettingsError
        See :func:`skylike.embeddings.store.fetch_encoder_to_embed`; or a number is out of range.
    CheckpointError
        The encoder's file is missing, damaged or another one.
    EmptyStageError
        No galaxy has a cutout that the encoder can use, or none gave an embedding.
    ConflictError
        Another process embeds with this encoder.
    ImageFileError
        A file of cutouts is gone or damaged; what is staged is kept for the next run.
    """
    if batch_size < 1:
        raise SettingsError(f"--batch-size {batch_size} is not above 0")
    with connect(engine) as connection:
        record = store.fetch_encoder_to_embed(connection, name)
    if components is not None and not 1 <= components <= record.dimension:
        raise SettingsError(
            f"--components {components}: encoder {record.name!r} allows 1 to {record.dimension}"
        )
    with store.hold_lock(engine, "embed", record.name):
        with connect(engine) as connection:  # another run may have published before we had the lock
            record = store.fetch_encoder(connection, record.name)
        encoder = load_encoder(record.checkpoint, device=device, sha256=record.checkpoint_sha256)
        tally = _stage(engine, record, encoder, batch_size, invert_pictures, progress)
        return _publish(engine, record, tally, components, progress)


def _stage(
    engine: Engine,
    record: EncoderRecord,
    encoder: TrainedEncoder,
    batch_size: int,
    invert_pictures: bool,
    progress: Progress,
) -> _Tally:
    with_pictures = record.input == "rgb" or invert_pictures
    with engine.begin() as connection:
        as_of = store_vectors.begin_staging(connection, record)
    with engine.begin() as connection:
        pending = store_vectors.fetch_pending_cutouts(
            connection, record, with_pictures=with_pictures
        )
        index = fetch_cutout_index(connection, with_galaxy_only=True)
    index = index.take(np.isin(index.cutout_id, pending))
    tally = _Tally(_NO_GALAXIES)
    with progress.task("embedding", total=len(index), unit="galaxies") as task:
        for shard in _shards(index, encoder, batch_size):
            with engine.begin() as connection:
                store_vectors.stage_shard(connection, record, shard, as_of=as_of)
            tally.degenerate = np.concatenate([tally.degenerate, shard.degenerate])
            tally.n_inverted += len(shard.galaxy_id) if shard.is_inverted else 0
            task.advance(len(shard.galaxy_id) + len(shard.degenerate))
    return tally


def _shards(index: CutoutIndex, encoder: TrainedEncoder, batch_size: int) -> Iterator[Shard]:
    for kind in ("flux", "rgb"):
        held: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]] = []
        for positions, pixels in prefetch(iter_pixels(index, batch_size=batch_size, kind=kind)):
            rows = encoder.embed(pixels, kind, invert_pictures=True).astype(np.float16)
            held.append((positions, rows))
            if sum(len(p) for p, _ in held) >= SHARD_ROWS:
                yield _shard(index, held, is_inverted=kind == "rgb" and encoder.input == "flux")
                held = []
        if held:
            yield _shard(index, held, is_inverted=kind == "rgb" and encoder.input == "flux")


def _shard(
    index: CutoutIndex,
    held: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]],
    *,
    is_inverted: bool,
) -> Shard:
    positions = np.concatenate([p for p, _ in held])
    vectors = np.concatenate([v for _, v in held])
    is_good = vectors.any(axis=1)
    good = positions[is_good]
    return Shard(
        galaxy_id=index.galaxy_id[good],
        cutout_id=index.cutout_id[good],
        vectors=vectors[is_good],
        is_inverted=is_inverted,
        degenerate=index.galaxy_id[positions[~is_good]],
    )


def _publish(
    engine: Engine,
    record: EncoderRecord,
    tally: _Tally,
    components: int | None,
    progress: Progress,
) -> EmbedReport:
    with engine.begin() as connection:
        without = store_vectors.fetch_outlived(connection, record, tally.degenerate)
        n_new, n_kept = store_vectors.count_vectors(connection, record, without=without)
        old_basis = store.fetch_compact_basis(connection, record.encoder_id)
        left = 0
        if record.input == "flux" and not tally.n_inverted:
            left = store_vectors.count_galaxies_with_pictures_only(connection)
    if n_new + n_kept == 0:
        raise EmptyStageError(_why_nothing(record, tally, left))
    wanted = components or record.compact_components or default_components(record.dimension)
    basis = old_basis
    if (
        basis is None
        or n_new > NEW_BASIS_SHARE * (n_new + n_kept)
        or len(basis.directions) != wanted
    ):
        basis = _fit(engine, record, wanted, n_new + n_kept, without, progress)
    is_new_basis = basis is not old_basis
    record = replace(record, compact_components=len(basis.directions))
    if n_new or len(without) or is_new_basis:
        record = _publish_with_basis(engine, record, basis, without, is_new_basis=is_new_basis)
    with engine.begin() as connection:
        store_vectors.drop_staging(connection, record)
        n_total = store_vectors.count_published(connection, record)
        was_activated = store_publication.activate_if_none_is(connection, record)
    return EmbedReport(
        encoder=record.name,
        n_new=n_new,
        n_total=n_total,
        n_removed=len(without),
        n_degenerate=len(tally.degenerate),
        n_pictures_left=left,
        n_inverted=tally.n_inverted,
        components=len(basis.directions),
        explained=float(basis.explained_variance.sum()),
        slack=record.compact_slack or 0.0,
        is_new_basis=is_new_basis,
        was_activated=was_activated,
    )


def _publish_with_basis(
    engine: Engine,
    record: EncoderRecord,
    basis: CompactBasis,
    without: npt.NDArray[np.int32],
    *,
    is_new_basis: bool,
) -> EncoderRecord:
    """Make compact vectors and show everything at once; return the record with its slack."""
    slack = stage_compact_vectors(engine, record, basis, without, staged_only=not is_new_basis)
    if not is_new_basis:
        slack = max(slack, record.compact_slack or 0.0)
    with engine.begin() as connection:
        store_publication.publish_vectors(connection, record, without=without)
        store_publication.publish_compact(
            connection, record, merge=not is_new_basis, without=without
        )
        store_publication.record_basis(connection, record, basis, slack=slack)
    store_publication.analyze_vectors(engine, record)
    return replace(record, compact_slack=slack)


def _why_nothing(record: EncoderRecord, tally: _Tally, pictures_left: int) -> str:
    if len(tally.degenerate):
        return (
            f"none of {len(tally.degenerate):,} cutouts gave encoder {record.name!r} an embedding; "
            "look at them with `skylike images info`, or train the encoder again"
        )
    if pictures_left:
        return (
            f"encoder {record.name!r} sees fluxes and the {pictures_left:,} galaxies have "
            "pictures only; use an encoder with rgb input, or give --invert-pictures"
        )
    return "no galaxy has a cutout; run `skylike images add` first"


def _fit(
    engine: Engine,
    record: EncoderRecord,
    components: int,
    n: int,
    without: npt.NDArray[np.int32],
    progress: Progress,
) -> CompactBasis:
    moments = Moments(record.dimension)
    with progress.task("principal components", total=n, unit="galaxies") as task:
        for ids, vectors in store_vectors.iter_vectors(
            engine, record, staged_only=False, without=without
        ):
            moments.add(vectors)
            task.advance(len(ids))
    return moments.basis(components)


def stage_compact_vectors(
    engine: Engine,
    record: EncoderRecord,
    basis: CompactBasis,
    without: npt.NDArray[np.int32],
    *,
    staged_only: bool,
) -> float:
    """Write compact vectors to their staging table; return their slack.

    Parameters
    ----------
    without
        Galaxies whose published embedding will go.
    staged_only
        Leave the published embeddings aside: their compact vectors stay.
    """
    slack = 0.0
    with engine.begin() as connection:
        store_vectors.begin_compact_staging(connection, record)
        for ids, vectors in store_vectors.iter_vectors(
            engine, record, staged_only=staged_only, without=without
        ):
            compact, own_slack = project(vectors, basis)
            slack = max(slack, own_slack)
            store_vectors.stage_compact(connection, record, ids, compact)
    return slack

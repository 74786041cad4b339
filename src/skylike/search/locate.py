"""Look up what a query names: galaxies, the galaxies at positions, pictures, raw vectors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.cuts.coordinates import Position, said_angle
from skylike.embeddings.store import EncoderRecord
from skylike.errors import (
    CutoutNotFoundError,
    EmptyStageError,
    GalaxyNotFoundError,
    SettingsError,
)
from skylike.progress import SILENT, Progress
from skylike.search import store
from skylike.search.examples import Example, normalize, unique
from skylike.search.locate_table import ARCSEC_PER_DEG, table_examples
from skylike.search.query import Query
from skylike.search.tell import joined_notes

_WIDENING = 8
"""Factor between the cones of a search for the nearest galaxy: 6 steps to the whole sky."""


@dataclass(frozen=True, eq=False)
class Located:
    """What a query names, looked up.

    Attributes
    ----------
    examples
        In the order galaxies, positions, the table's rows, pictures, vectors; several may be the
        same galaxy (:func:`skylike.search.examples.unique`).
    rejects
        No two are the same galaxy.
    note
        Which rows of the table of positions are no example and why, and which images lack pixels;
        or None.
    """

    examples: tuple[Example, ...]
    rejects: tuple[Example, ...] = ()
    note: str | None = None


def locate(
    connection: Connection,
    query: Query,
    encoder: EncoderRecord,
    *,
    device: str,
    progress: Progress = SILENT,
) -> Located:
    """Look up the examples and rejects of a query.

    Raises
    ------
    SettingsError
        A galaxy is both an example and a reject, or a vector or picture does not fit the encoder.
    GalaxyNotFoundError
        No such galaxy, none near a position, or none near any position of the table.
    CutoutNotFoundError, EmptyStageError
        A galaxy has no image or no embedding.
    ImageFileError, CheckpointError
        A picture cannot be read, or the weights that would embed it.
    """
    examples = [galaxy_example(connection, galaxy_id, encoder) for galaxy_id in query.galaxies]
    limit = query.position_limit / ARCSEC_PER_DEG
    examples += [
        position_example(connection, position, encoder, limit=limit) for position in query.positions
    ]
    note = None
    if query.position_table is not None:
        listed, note = table_examples(connection, query.position_table, encoder, limit=limit)
        examples += listed
    if query.images:
        from skylike.search.pictures import (  # noqa: PLC0415 - FITS and HDF5 take a second to import
            embed_pictures,
        )

        examples += embed_pictures(
            query.images,
            encoder=encoder,
            device=device,
            invert_pictures=query.invert_pictures,
            progress=progress,
        )
    examples += [
        vector_example(vector, number, encoder) for number, vector in enumerate(query.vectors, 1)
    ]
    rejects = [galaxy_example(connection, galaxy_id, encoder) for galaxy_id in query.rejects]
    _check_no_contradiction(examples, query.rejects)
    note = joined_notes(note, *(example.note for example in examples))
    return Located(tuple(examples), tuple(unique(rejects)), note)


def _check_no_contradiction(examples: Sequence[Example], rejects: Sequence[int]) -> None:
    for example in examples:
        if example.galaxy_id is not None and example.galaxy_id in rejects:
            raise SettingsError(
                f"{example.label} is an example, and galaxy {example.galaxy_id} is a reject; "
                "drop one of them"
            )


def galaxy_example(connection: Connection, galaxy_id: int, encoder: EncoderRecord) -> Example:
    """Look up a galaxy by its identifier.

    Raises
    ------
    GalaxyNotFoundError
        There is no such galaxy.
    CutoutNotFoundError
        It has no image that could be embedded.
    EmptyStageError
        It has an image, but the encoder has not embedded it yet.
    """
    found = store.fetch_example(connection, encoder_id=encoder.encoder_id, galaxy_id=galaxy_id)
    if found is None:
        raise GalaxyNotFoundError(
            f"galaxy {galaxy_id} is not in the database; look its galaxy_id up in skylike.galaxy, "
            "or search by a position"
        )
    if found.vector is None and not found.has_cutout:
        raise CutoutNotFoundError(
            f"galaxy {galaxy_id} has no image; add one with `skylike images add`, "
            "then run `skylike embed`"
        )
    if found.vector is None:
        raise EmptyStageError(
            f"galaxy {galaxy_id} has an image but no embedding by {encoder.name}; "
            f"run `skylike embed --encoder {encoder.name}`"
        )
    unit = normalize(
        found.vector,
        label=f"the embedding of galaxy {galaxy_id}",
        dimension=encoder.dimension,
    )
    return Example(
        f"galaxy {galaxy_id}",
        unit,
        found.ra,
        found.dec,
        galaxy_id,
        stored=found.vector,
        compact=found.compact,
    )


def position_example(
    connection: Connection, position: Position, encoder: EncoderRecord, *, limit: float
) -> Example:
    """Look up the nearest embedded galaxy to a position, at most ``limit`` degrees away.

    Raises
    ------
    GalaxyNotFoundError
        None is so near; the message says how far the nearest is.
    CutoutNotFoundError, EmptyStageError
        A galaxy is there, but has no image or no embedding.
    """
    place = f"{position.ra:.6f} {position.dec:+.6f}"
    near = _nearest(connection, position, encoder, radius=limit, embedded_only=True)
    if near is None:
        without = _nearest(connection, position, encoder, radius=limit, embedded_only=False)
        if without is not None:
            # It says which galaxy is there and what is missing.
            galaxy_example(connection, without[0], encoder)
        raise GalaxyNotFoundError(_nothing_near(connection, position, encoder, place, limit))
    galaxy_id, separation = near
    example = galaxy_example(connection, galaxy_id, encoder)
    label = f"position {place} (galaxy {galaxy_id}, {separation * ARCSEC_PER_DEG:.2f} arcsec away)"
    return replace(example, label=label, caption=f"{place} galaxy {galaxy_id}")


def _nearest(
    connection: Connection,
    position: Position,
    encoder: EncoderRecord,
    *,
    radius: float,
    embedded_only: bool,
) -> tuple[int, float] | None:
    return store.fetch_nearest(
        connection,
        encoder_id=encoder.encoder_id,
        ra=position.ra,
        dec=position.dec,
        radius=radius,
        embedded_only=embedded_only,
    )


def _nothing_near(
    connection: Connection,
    position: Position,
    encoder: EncoderRecord,
    place: str,
    limit: float,
) -> str:
    said = f"no embedded galaxy lies within {limit * ARCSEC_PER_DEG:g} arcsec of {place}"
    radius = limit
    while radius < 180:
        radius = min(180.0, radius * _WIDENING)
        found = _nearest(connection, position, encoder, radius=radius, embedded_only=True)
        if found is not None:
            galaxy_id, separation = found
            away = f"{said_angle(separation)} away"
            return f"{said}; the nearest is galaxy {galaxy_id}, {away}"
    return f"{said}; run `skylike embed` first"


def vector_example(
    vector: npt.NDArray[np.floating], number: int, encoder: EncoderRecord
) -> Example:
    """Check a raw vector; ``number`` counts from 1.

    Raises
    ------
    SettingsError
        Its dimension is not the encoder's, it is not finite, or it is zero.
    """
    return Example(
        f"vector {number}",
        normalize(vector, label=f"vector {number}", dimension=encoder.dimension),
    )

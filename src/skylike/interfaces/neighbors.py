"""The neighbor list of a galaxy in Python, with the catalog columns of the neighbors."""

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection

from skylike.database.comments import ColumnMeaning, read_meanings
from skylike.embeddings.store import fetch_active_encoder
from skylike.errors import EmptyStageError, GalaxyNotFoundError, NeighborRunNotFoundError
from skylike.interfaces import store
from skylike.interfaces.provenance import Plain
from skylike.labels.store import fetch_known
from skylike.search.store import fetch_galaxies, fetch_meanings
from skylike.search.store_stale import fetch_published_run
from skylike.search.store_vocabulary import fetch_vocabulary


def catalog_row(connection: Connection, galaxy_id: int) -> dict[str, object]:
    """Fetch what is known of a galaxy, derived columns and scores too; without those NULL.

    Raises
    ------
    GalaxyNotFoundError
        There is none.
    """
    words = fetch_vocabulary(connection, ())
    rows = fetch_galaxies(connection, np.array([galaxy_id], dtype=np.int32), words).to_pylist()
    if not rows:
        raise _no_galaxy(galaxy_id)
    return {name: value for name, value in rows[0].items() if value is not None}


def check_galaxy(connection: Connection, galaxy_id: int) -> None:
    """Check that there is a galaxy, without fetching what is known of it.

    Raises
    ------
    GalaxyNotFoundError
        There is none.
    """
    if not fetch_known(connection, np.array([galaxy_id])).all():
        raise _no_galaxy(galaxy_id)


def _no_galaxy(galaxy_id: int) -> GalaxyNotFoundError:
    return GalaxyNotFoundError(
        f"galaxy {galaxy_id} is not in the database; look its galaxy_id up in skylike.galaxy"
    )


def neighbor_rows(
    connection: Connection, galaxy_id: int, *, k: int | None
) -> tuple[pa.Table, dict[str, ColumnMeaning], dict[str, Plain]]:
    """Fetch the published neighbors of a galaxy by the active encoder, most similar first.

    Returns
    -------
    tuple
        rank, galaxy_id, similarity and the catalog columns; what they mean; provenance.

    Raises
    ------
    GalaxyNotFoundError
        There is no such galaxy.
    NeighborRunNotFoundError
        No lists are published.
    EmptyStageError
        The run has no list of this galaxy.
    """
    encoder = fetch_active_encoder(connection)
    run = fetch_published_run(connection, encoder_id=encoder.encoder_id)
    check_galaxy(connection, galaxy_id)
    if run is None:
        raise NeighborRunNotFoundError(
            f"no neighbor lists of encoder {encoder.name} are published; "
            f"run `skylike neighbors build --encoder {encoder.name}`"
        )
    ids, similarities = store.fetch_neighbors(connection, galaxy_id, k=k)
    if not len(ids):
        raise EmptyStageError(
            f"neighbor run {run.run_id} has no list of galaxy {galaxy_id}: it had no embedding, or "
            "there was nothing to compare it with; run `skylike neighbors build` if that changed"
        )
    words = fetch_vocabulary(connection, ())
    catalog = fetch_galaxies(connection, ids, words)
    of_view = read_meanings(connection, "neighbor")
    meanings = of_view | fetch_meanings(connection) | words.meanings()
    own = {
        "rank": pa.array(np.arange(1, len(ids) + 1, dtype=np.int32)),
        "galaxy_id": catalog["galaxy_id"],
        "similarity": pa.array(similarities),
    }
    rows = pa.table(own | {n: catalog[n] for n in catalog.column_names if n not in own})
    provenance: dict[str, Plain] = {
        "query": f"neighbors of galaxy {galaxy_id}",
        "encoder": encoder.name,
        "run_id": run.run_id,
    }
    return rows, {name: meanings[name] for name in rows.column_names}, provenance

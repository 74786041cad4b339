"""``skylike neighbors verify``: a sample of stored lists against the database as it is now."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine

from skylike.database.engine import connect
from skylike.embeddings.store import fetch_encoder
from skylike.errors import NeighborRunNotFoundError, SettingsError
from skylike.neighbors import store, store_input, store_lists
from skylike.neighbors.store import Changes, NeighborRun
from skylike.neighbors.verify import Rules, Verification, verify_lists
from skylike.progress import SILENT, Progress


@dataclass(frozen=True)
class CheckedRun:
    """A run, how its sample compares, and what has changed since it was built."""

    run: NeighborRun
    verification: Verification
    changes: Changes


def check_run(
    engine: Engine,
    run_id: int | None = None,
    *,
    sample: int = 200,
    seed: int = 0,
    progress: Progress = SILENT,
) -> CheckedRun:
    """Recompute the lists of randomly drawn galaxies in float64 and compare.

    Parameters
    ----------
    run_id
        None takes the published run of the active encoder.
    sample
        Galaxies to draw.

    Raises
    ------
    NeighborRunNotFoundError
        There is no such run, it is not complete, or none is published.
    """
    if sample < 1:
        raise SettingsError(f"a sample of {sample} galaxies: use at least 1")
    with connect(engine) as connection:
        store_input.begin_snapshot(connection)
        if run_id is None:
            run = store.fetch_published_run(connection)
        else:
            run = store.fetch_run(connection, run_id)
        if run.state == "building":
            raise NeighborRunNotFoundError(
                f"neighbor run {run.run_id} is not complete; go on with `skylike neighbors build`"
            )
        record = fetch_encoder(connection, run.encoder)
        generator = np.random.default_rng(seed)
        drawn = store_lists.fetch_sample(connection, run.run_id, size=sample, generator=generator)
        stored = store_lists.fetch_lists(connection, run.run_id, drawn)
        queries = store_input.fetch_vectors(connection, record, drawn)
        ids, magnitudes = store_input.fetch_magnitudes(connection, run.encoder_id, run.band)
        rules = Rules(ids, magnitudes, run.width, run.k)
        with progress.task("Comparing with float64", total=len(ids)) as task:
            batches = store_input.iter_embeddings(connection, record)
            verification = verify_lists(stored, queries, batches, rules, task)
        return CheckedRun(run, verification, store.fetch_changes(connection, run))

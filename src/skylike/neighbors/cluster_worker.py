"""What a worker of a Dask cluster does for a run: some shards, with plain arguments, for a count.

The functions here run where the workers run; :mod:`skylike.neighbors.cluster` sends them there.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from distributed import get_worker
from sqlalchemy import Connection

from skylike.database.engine import DatabaseUrl, make_engine
from skylike.embeddings.store import fetch_encoder
from skylike.errors import ConflictError
from skylike.jobs.store_sessions import open_session
from skylike.neighbors import store
from skylike.neighbors.begin import staged_input, staged_path
from skylike.neighbors.engine.faiss_library import choose_search_device
from skylike.neighbors.engine.search import SearchPlan
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.job import BuildJob, NeighborSettings
from skylike.neighbors.shards import search_shards
from skylike.neighbors.stage import open_staged
from skylike.neighbors.staged_folder import hold_folder, remove_unused
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.store_locks import join_run
from skylike.progress import SILENT

logger = logging.getLogger(__name__)

_one_search = threading.Lock()
"""A search uses all processors and its share of memory: a worker with several threads does one
after the other."""

_staged_here: set[Path] = set()
"""Folders that this worker has written."""


def search_part(
    url: DatabaseUrl, run_id: int, shards: list[int], plan: SearchPlan, folder: str
) -> int:
    """Compute some shards of a run, on a worker; return how many were not done already.

    Parameters
    ----------
    url
        Of the database, with its password, which it does not show in logs.
    plan
        Its device may be ``auto``: the worker looks what it has.
    folder
        Work folder.
    """
    engine = make_engine(url, application="skylike neighbors worker")
    here = replace(plan, device=choose_search_device(plan.device))
    try:
        with _one_search, open_session(engine) as session:
            join_run(session, run_id)
            with session.begin():
                run = store.fetch_run(session, run_id)
                record = fetch_encoder(session, run.encoder)
            if run.state != "building":
                return 0
            settings = NeighborSettings(run.k, run.band, run.width)
            job = BuildJob(engine, record, settings, here, _own_folder(Path(folder)), 0, SILENT)
            with _opened(job, session, run) as vectors:
                return search_shards(session, run, vectors, shards, plan=here, progress=SILENT)
    finally:
        engine.dispose()


@contextmanager
def _opened(job: BuildJob, session: Connection, run: NeighborRun) -> Iterator[StagedVectors]:
    """Open the staged input of a run, or stage it on this machine."""
    fingerprint = str(run.software["input"])
    with hold_folder(staged_path(job, fingerprint)) as held:
        vectors = open_staged(held.path, fingerprint)
        if vectors is not None:
            yield vectors
            return
    with staged_input(job, session) as given:
        if given.fingerprint != fingerprint:
            raise ConflictError(
                f"embeddings or magnitudes have changed since neighbor run {run.run_id} began; "
                f"`skylike neighbors drop {run.run_id}`, then build again"
            )
        _staged_here.add(given.folder.path)
        yield given.vectors


def _own_folder(folder: Path) -> Path:
    """Return the work folder, or the worker's scratch folder where it may not write there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError as error:
        logger.info("%s cannot be used: %s", folder, error.strerror)
    return Path(get_worker().local_directory) / "skylike"


def remove_staged() -> None:
    """Remove what this worker has staged, unless another process uses it."""
    while _staged_here:
        path = _staged_here.pop()
        remove_unused(path.parent, path.name)

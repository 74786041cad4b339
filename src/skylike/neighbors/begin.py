"""How a build begins: stage the input, and find the interrupted run on it or enter a new one."""

import logging
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.database.engine import connect
from skylike.errors import EmptyStageError, SettingsError
from skylike.neighbors import store, store_input
from skylike.neighbors.faiss_library import installed_faiss
from skylike.neighbors.job import SHARD_PAIRS, BuildJob
from skylike.neighbors.stage import StageInput, open_staged, stage_vectors
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.vectors import StagedVectors

logger = logging.getLogger(__name__)

_SAME_INPUT = ("input", "shard_galaxies", "shard_pairs")
"""What must agree for the shards of an interrupted run to fit; the device need not."""


def begin(job: BuildJob) -> tuple[NeighborRun, StagedVectors]:
    """Stage the input, and find the unfinished run on it or enter a new one.

    Raises
    ------
    EmptyStageError
        The encoder has no embeddings, or all of them are zero.
    SettingsError
        No galaxy has a magnitude in the band of the window, but some have one in others.
    """
    with connect(job.engine) as connection:
        moment = store_input.begin_snapshot(connection)
        ids, magnitudes = store_input.fetch_magnitudes(
            connection, job.record.encoder_id, job.settings.band
        )
        if not len(ids):
            raise EmptyStageError(
                f"encoder {job.record.name!r} has no embeddings of galaxies yet; "
                f"run `skylike embed --encoder {job.record.name}` first"
            )
        _check_band(connection, job, magnitudes)
        fingerprint = store_input.fingerprint(connection, job.record, ids, magnitudes)
        staged = open_staged(job.folder, fingerprint)
        if staged is None:
            given = StageInput(fingerprint, ids, magnitudes, job.record.dimension)
            with job.progress.task("Reading embeddings", total=len(ids)) as task:
                batches = store_input.iter_embeddings(connection, job.record)
                staged = stage_vectors(job.folder, given, batches, task)
    if not len(staged):
        raise EmptyStageError(
            f"all {staged.n_excluded} embeddings of encoder {job.record.name!r} are zero; "
            "train another with `skylike encoder train`"
        )
    values: dict[str, object] = {
        "encoder_id": job.record.encoder_id,
        "k": job.settings.k,
        "band": job.settings.band,
        "width": job.settings.width,
        "n_galaxies": len(staged),
        "n_without_magnitude": _count_without_magnitude(job, staged),
        "n_excluded": staged.n_excluded,
        "started_at": moment.time,
        "input_snapshot": moment.snapshot,
    }
    return _continue_or_create(job, values, _software(job, fingerprint)), staged


def _check_band(connection: Connection, job: BuildJob, magnitudes: npt.NDArray[np.float32]) -> None:
    """Refuse a band that no galaxy has where another would do: the lists would have no window.

    A catalog without any magnitude is compared as a whole, as its galaxies are.
    """
    if job.settings.band is None or np.isfinite(magnitudes).any():
        return
    filled = store_input.fetch_filled_bands(connection, job.record.encoder_id)
    if filled:
        raise SettingsError(
            f"no galaxy with an embedding has mag_{job.settings.band}; use --band with one of "
            f"{', '.join(filled)}, or --no-window"
        )


def _count_without_magnitude(job: BuildJob, staged: StagedVectors) -> int:
    if job.settings.band is None:
        return 0
    return int(np.count_nonzero(~np.isfinite(staged.magnitudes)))


def _software(job: BuildJob, fingerprint: str) -> dict[str, object]:
    return {
        "skylike": version("skylike"),
        "numpy": version("numpy"),
        **installed_faiss(),
        "device": job.plan.device,
        "engine": "faiss" if job.plan.uses_faiss else "product",
        "input": fingerprint,
        "shard_galaxies": job.shard_galaxies,
        "shard_pairs": SHARD_PAIRS,
    }


def _continue_or_create(
    job: BuildJob, values: dict[str, object], software: dict[str, object]
) -> NeighborRun:
    wanted = (job.settings.k, job.settings.band, job.settings.width)
    with job.engine.begin() as connection:
        for run in store.fetch_runs(connection, encoder_id=job.record.encoder_id):
            if run.state != "building" or (run.k, run.band, run.width) != wanted:
                continue
            if all(run.software.get(key) == software[key] for key in _SAME_INPUT):
                return run
            # We hold the encoder's lock: nobody works on it any more.
            logger.info("neighbor run %d was interrupted and its input has changed", run.run_id)
            store.drop_run(connection, run)
        return store.create_run(connection, {**values, "software": software})

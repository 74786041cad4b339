"""How a build begins: stage the input, and find the run on it or enter a new one."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.database.snapshot import Moment, begin_snapshot
from skylike.errors import ConflictError, EmptyStageError, SettingsError
from skylike.jobs.shares import Part
from skylike.neighbors import store, store_input
from skylike.neighbors.engine.faiss_library import installed_faiss
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.job import SHARD_PAIRS, BuildJob, device_kind
from skylike.neighbors.stage import StageInput, open_staged, stage_vectors
from skylike.neighbors.staged_folder import HeldFolder, check_space, hold_folder, remove_unused
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.store_locks import hold_turn, join_run, refuse_if_worked_on

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StagedInput:
    """The input of a run, opened."""

    moment: Moment
    """When it was read, or found to be what had been read."""

    fingerprint: str
    vectors: StagedVectors
    folder: HeldFolder


@contextmanager
def staged_input(job: BuildJob, session: Connection) -> Iterator[StagedInput]:
    """Open the staged embeddings as the database has them now; stage them where they are not.

    Of all processes that share the work folder, one writes and the others wait for it. The folder
    is held until the block ends. Memory for n galaxies, here and later, is in arrays of numbers
    only: identifiers, magnitudes, norms, hashes, places and windows, about 100 n bytes while
    staging and 60 n afterwards (4.2 and 2.5 GB at 42 million). Embeddings are mapped, not held.

    Parameters
    ----------
    session
        In no transaction.

    Raises
    ------
    EmptyStageError
        The encoder has no embeddings, or all of them are zero.
    SettingsError
        No galaxy has a magnitude in the band of the window, but some have one in others; the work
        folder cannot be used; the disk is too small.
    """
    with ExitStack() as stack:
        with session.begin():
            moment = begin_snapshot(session)
            given = _read_input(job, session)
            held = stack.enter_context(hold_folder(staged_path(job, given.fingerprint)))
            vectors = open_staged(held.path, given.fingerprint)
            if vectors is None:
                vectors = _stage(job, session, given, held)
        if not len(vectors):
            raise EmptyStageError(
                f"all {vectors.n_excluded} embeddings of encoder {job.record.name!r} are zero; "
                "train another with `skylike encoder train`"
            )
        yield StagedInput(moment, given.fingerprint, vectors, held)


def staged_path(job: BuildJob, fingerprint: str) -> Path:
    """Return the folder of an input; inputs beside each other do not disturb each other."""
    return job.folder / f"neighbors-{job.record.encoder_id}-{fingerprint[:16]}"


def _read_input(job: BuildJob, session: Connection) -> StageInput:
    ids, magnitudes = store_input.fetch_magnitudes(
        session, job.record.encoder_id, job.settings.band
    )
    if not len(ids):
        raise EmptyStageError(
            f"encoder {job.record.name!r} has no embeddings of galaxies yet; "
            f"run `skylike embed --encoder {job.record.name}` first"
        )
    _check_band(session, job, magnitudes)
    fingerprint = store_input.fingerprint(session, job.record, ids, magnitudes)
    return StageInput(fingerprint, ids, magnitudes, job.record.dimension)


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


def _stage(
    job: BuildJob, session: Connection, given: StageInput, held: HeldFolder
) -> StagedVectors:
    """Write the folder, unless another process has done so before we held it alone."""
    held.take()
    vectors = open_staged(held.path, given.fingerprint)
    if vectors is None:
        remove_unused(job.folder, f"neighbors-{job.record.encoder_id}-*")
        check_space(job.folder, 2 * given.dimension * len(given.galaxy_ids))
        with job.progress.task("Reading embeddings", total=len(given.galaxy_ids)) as task:
            batches = store_input.iter_embeddings(session, job.record)
            vectors = stage_vectors(held.path, given, batches, task)
    held.share()
    return vectors


def begin(
    job: BuildJob, session: Connection, given: StagedInput, *, part: Part | None
) -> NeighborRun:
    """Find the run on the staged input, or enter a new one; the session joins it.

    A process that computes a part of the shards (one of an array) belongs to the run that the first
    of them began: it never begins another one because the input has changed since, and where the
    others have left it nothing to do it finds the run complete.

    Raises
    ------
    ConflictError
        The input has changed since an unfinished run began, and other processes work on it, or this
        one is to compute a part of it.
    """
    with hold_turn(session, job.record.name):
        with session.begin():
            runs = [
                run
                for run in store.fetch_runs(session, encoder_id=job.record.encoder_id)
                if _has_settings(run, job) and run.base_run_id is None
            ]
            run = _same_input(runs, given.fingerprint, may_be_complete=part is not None)
            if run is None:
                _give_up([run for run in runs if run.state == "building"], session, part)
                run = store.create_run(session, run_values(job, given))
        join_run(session, run.run_id)
    return run


def _has_settings(run: NeighborRun, job: BuildJob) -> bool:
    settings = job.settings
    return (run.k, run.band, run.width) == (settings.k, settings.band, settings.width)


def _same_input(
    runs: list[NeighborRun], fingerprint: str, *, may_be_complete: bool
) -> NeighborRun | None:
    same = [run for run in runs if run.software.get("input") == fingerprint and not run.revision]
    building = [run for run in same if run.state == "building"]
    if building:
        return building[-1]
    # A part begins no run beside an unfinished one of another input.
    waits = any(run.state == "building" for run in runs)
    return same[-1] if same and may_be_complete and not waits else None


def _give_up(outdated: list[NeighborRun], session: Connection, part: Part | None) -> None:
    """Drop unfinished runs whose input is not there any more."""
    for run in outdated:
        if part is not None:
            raise ConflictError(
                f"part {part} does not fit neighbor run {run.run_id}: embeddings or magnitudes "
                f"have changed since it began; `skylike neighbors drop {run.run_id}`, then start "
                "all parts again"
            )
        what = (
            f"embeddings or magnitudes have changed since neighbor run {run.run_id} began, "
            "and it cannot be dropped"
        )
        refuse_if_worked_on(session, run.run_id, what)
        logger.info("neighbor run %d was interrupted and its input has changed", run.run_id)
        store.drop_run(session, run)


def run_values(job: BuildJob, given: StagedInput) -> dict[str, object]:
    """Return what a new run says of its settings, its input and the software."""
    unknown = ~np.isfinite(given.vectors.magnitudes)
    return {
        "encoder_id": job.record.encoder_id,
        "k": job.settings.k,
        "band": job.settings.band,
        "width": job.settings.width,
        "n_galaxies": len(given.vectors),
        "n_without_magnitude": int(np.count_nonzero(unknown)) if job.settings.band else 0,
        "n_excluded": given.vectors.n_excluded,
        "started_at": given.moment.time,
        "input_snapshot": given.moment.snapshot,
        "software": {
            "skylike": version("skylike"),
            "numpy": version("numpy"),
            **installed_faiss(),
            "device": job.plan.device,
            # The workers of a cluster look for themselves what they have.
            "engine": "auto" if job.plan.device == "auto" else job.plan.chosen_engine,
            "input": given.fingerprint,
            "shard_galaxies": job.shard_galaxies,
            "shard_pairs": SHARD_PAIRS[device_kind(job.plan.device)],
        },
    }

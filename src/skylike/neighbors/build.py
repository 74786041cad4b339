"""The job: stage embeddings, search shard after shard, check a sample, publish."""

import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine

from skylike.bands import BANDS
from skylike.database.engine import connect
from skylike.embeddings.store import EncoderRecord, fetch_encoder_to_embed, hold_lock
from skylike.errors import EmptyStageError, SettingsError
from skylike.neighbors import store
from skylike.neighbors.faiss_library import installed_faiss
from skylike.neighbors.rescore import Lists
from skylike.neighbors.search import NeighborSearch, SearchPlan
from skylike.neighbors.stage import StageInput, open_staged, stage_vectors
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.vectors import StagedVectors
from skylike.neighbors.verify import Rules, Verification, verify_lists
from skylike.neighbors.windows import Windows, cut_shards, magnitude_windows
from skylike.progress import SILENT, Progress

logger = logging.getLogger(__name__)

RECALL_SAMPLE = 200
"""Lists that every build checks against float64."""

SHARD_GALAXIES = 8192
"""Most lists in a shard: 65 MB with k = 999, and four times that while they are written."""

SHARD_PAIRS = 1 << 31
"""Similarities in a shard, about: half a minute at d = 2048 and 250 GFLOP/s."""


@dataclass(frozen=True)
class NeighborSettings:
    """What a run is: with these and the input its lists are determined.

    Attributes
    ----------
    k
        Longest list; 999 as in the paper (section 4).
    band, width
        Candidates differ by at most ``width`` magnitudes in ``band`` (the paper: 0.5 in r). Both
        None: every galaxy is a candidate.
    """

    k: int = 999
    band: str | None = "r"
    width: float | None = 0.5

    def __post_init__(self) -> None:
        if (self.band is None) != (self.width is None):
            raise SettingsError("a magnitude window needs both a band and a width, or neither")
        if self.band is not None and self.band not in BANDS:
            raise SettingsError(f"band {self.band!r} is unknown; use one of {', '.join(BANDS)}")
        if self.width is not None and not (np.isfinite(self.width) and self.width >= 0):
            raise SettingsError(f"window width {self.width!r}: use magnitudes, such as 0.5")


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    run: NeighborRun
    verification: Verification
    shards: int
    shards_before: int
    """Found done by an earlier build that was interrupted."""

    seconds: float


@dataclass(frozen=True)
class _Job:
    engine: Engine
    record: EncoderRecord
    settings: NeighborSettings
    plan: SearchPlan
    folder: Path
    progress: Progress


def build_neighbors(
    engine: Engine,
    encoder: str | None = None,
    *,
    settings: NeighborSettings,
    work_folder: Path,
    plan: SearchPlan | None = None,
    publish: bool = True,
    shard_galaxies: int = SHARD_GALAXIES,
    progress: Progress = SILENT,
) -> BuildReport:
    """Compute the neighbor lists of all embeddings of an encoder, and publish them.

    A build that was killed goes on where it was when it is called again with the same settings and
    the input is still the same; otherwise its remains are removed and it begins anew.

    Parameters
    ----------
    encoder
        Name; None takes the active one, or the only one there is.
    work_folder
        For the staged embeddings (2 d bytes for each galaxy); emptied at the end.
    plan
        How to search; its k must be that of the settings. Default: on the processor.
    publish
        Let readers see the lists at the end. Lists whose sample does not equal the truth are never
        published.
    shard_galaxies
        Most lists that are computed and written together.

    Raises
    ------
    EmptyStageError
        The encoder has no embeddings.
    ConflictError
        Another process builds neighbors of this encoder, or readers hold the tables for long.
    """
    started = time.monotonic()
    with connect(engine) as connection:
        record = fetch_encoder_to_embed(connection, encoder)
    chosen = plan if plan is not None else SearchPlan(k=settings.k)
    if chosen.k != settings.k:
        raise SettingsError(f"the search plan has k = {chosen.k}, the settings {settings.k}")
    folder = work_folder / f"neighbors-{record.encoder_id}"
    job = _Job(engine, record, settings, chosen, folder, progress)
    with hold_lock(engine, "neighbors build", record.name):
        run, staged = _begin(job, shard_galaxies)
        windows = magnitude_windows(staged.magnitudes, settings.width)
        bounds = cut_shards(windows, galaxies=shard_galaxies, pairs=SHARD_PAIRS)
        _search_shards(job, run, staged, windows, bounds)
        verification = _check_sample(job, run, staged)
        finished = _finish(job, run, staged, verification, publish=publish)
    shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - started
    logger.info("neighbor run %d: %d lists in %.0f s", run.run_id, len(staged), seconds)
    return BuildReport(finished, verification, len(bounds) - 1, run.shards_done, seconds)


def _begin(job: _Job, shard_galaxies: int) -> tuple[NeighborRun, StagedVectors]:
    """Stage the input, and find the unfinished run on it or enter a new one."""
    with connect(job.engine) as connection:
        moment = store.begin_snapshot(connection)
        ids, magnitudes = store.fetch_magnitudes(
            connection, job.record.encoder_id, job.settings.band
        )
        if not len(ids):
            raise EmptyStageError(
                f"encoder {job.record.name!r} has no embeddings of galaxies yet; "
                f"run `skylike embed --encoder {job.record.name}` first"
            )
        given = StageInput(
            store.fingerprint(connection, job.record, ids, magnitudes),
            ids,
            magnitudes,
            job.record.dimension,
        )
        staged = open_staged(job.folder, given.fingerprint)
        if staged is None:
            with job.progress.task("Reading embeddings", total=len(ids)) as task:
                batches = store.iter_embeddings(connection, job.record)
                staged = stage_vectors(job.folder, given, batches, task)
    if not len(staged):
        raise EmptyStageError(
            f"all {staged.n_excluded} embeddings of encoder {job.record.name!r} are zero; "
            "train another with `skylike encoder train`"
        )
    software: dict[str, object] = {
        "skylike": version("skylike"),
        "numpy": version("numpy"),
        **installed_faiss(),
        "device": job.plan.device,
        "engine": "faiss" if job.plan.uses_faiss else "product",
        "input": given.fingerprint,
        "shard_galaxies": shard_galaxies,
        "shard_pairs": SHARD_PAIRS,
    }
    values: dict[str, object] = {
        "encoder_id": job.record.encoder_id,
        "k": job.settings.k,
        "band": job.settings.band,
        "width": job.settings.width,
        "n_galaxies": len(staged),
        "n_without_magnitude": _count_without_magnitude(job.settings, staged),
        "n_excluded": staged.n_excluded,
        "software": software,
        "started_at": moment,
    }
    return _continue_or_create(job.engine, values), staged


def _count_without_magnitude(settings: NeighborSettings, staged: StagedVectors) -> int:
    if settings.band is None:
        return 0
    return int(np.count_nonzero(~np.isfinite(staged.magnitudes)))


_SAME_INPUT = ("input", "shard_galaxies", "shard_pairs")
"""What must agree for the shards of an interrupted run to fit; the device need not."""


def _continue_or_create(engine: Engine, values: dict[str, object]) -> NeighborRun:
    software = values["software"]
    assert isinstance(software, dict)  # noqa: S101 - made above
    with engine.begin() as connection:
        encoder_id = values["encoder_id"]
        assert isinstance(encoder_id, int)  # noqa: S101 - made above
        for run in store.fetch_runs(connection, encoder_id=encoder_id):
            settings = (run.k, run.band, run.width)
            if run.state != "building" or settings != (
                values["k"],
                values["band"],
                values["width"],
            ):
                continue
            if all(run.software.get(key) == software[key] for key in _SAME_INPUT):
                return run
            # We hold the encoder's lock: nobody works on it any more.
            logger.info("neighbor run %d was interrupted and its input has changed", run.run_id)
            store.drop_run(connection, run)
        return store.create_run(connection, values)


def _search_shards(
    job: _Job,
    run: NeighborRun,
    staged: StagedVectors,
    windows: Windows,
    bounds: npt.NDArray[np.int64],
) -> None:
    with connect(job.engine) as connection:
        done = store.fetch_finished_shards(connection, run.run_id)
        connection.rollback()
        with (
            job.progress.task("Searching neighbors", total=len(staged)) as task,
            NeighborSearch(staged, windows, job.plan) as search,
        ):
            for shard, (start, stop) in enumerate(pairwise(bounds.tolist())):
                if shard in done:
                    task.advance(stop - start)
                    continue
                found = []
                for lists in search.lists(start, stop):
                    found.append(lists)
                    task.advance(len(lists.rows))
                with connection.begin():
                    _write(connection, run.run_id, shard, staged, found)


def _write(
    connection: Connection, run_id: int, shard: int, staged: StagedVectors, found: list[Lists]
) -> None:
    store.write_shard(
        connection,
        run_id,
        shard,
        galaxy_ids=staged.galaxy_ids[np.concatenate([lists.rows for lists in found])],
        neighbor_ids=staged.galaxy_ids[np.concatenate([lists.positions for lists in found])],
        similarities=np.concatenate([lists.similarities for lists in found]),
        lengths=np.concatenate([lists.lengths for lists in found]),
    )


def _check_sample(job: _Job, run: NeighborRun, staged: StagedVectors) -> Verification:
    """Verify a sample of the lists as they are stored, on the embeddings as they were staged."""
    generator = np.random.default_rng(run.run_id)
    chosen = generator.choice(len(staged), size=min(RECALL_SAMPLE, len(staged)), replace=False)
    by_id = np.argsort(staged.galaxy_ids)
    rules = Rules(
        staged.galaxy_ids[by_id], staged.magnitudes[by_id], job.settings.width, job.settings.k
    )

    def batches() -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.float16]]]:
        for first in range(0, len(staged), 4096):
            rows = slice(first, first + 4096)
            yield staged.galaxy_ids[rows], staged.vectors[rows]

    with job.engine.begin() as connection:
        store.index_lists(connection, run.run_id)
        stored = store.fetch_lists(connection, run.run_id, staged.galaxy_ids[chosen])
    with job.progress.task("Checking a sample", total=len(staged)) as task:
        sample = (staged.galaxy_ids[chosen], staged.vectors[chosen])
        return verify_lists(stored, sample, batches(), rules, task)


def _finish(
    job: _Job,
    run: NeighborRun,
    staged: StagedVectors,
    verification: Verification,
    *,
    publish: bool,
) -> NeighborRun:
    """Attach, complete and publish in one transaction: a kill leaves all of it or nothing."""
    with job.engine.begin() as connection:
        loaded = store.fetch_run(connection, run.run_id).galaxies_done
        if loaded != len(staged):  # a defect of ours: say it rather than publish
            raise RuntimeError(f"{loaded} lists are stored, {len(staged)} were computed")
        store.complete_run(
            connection,
            run.run_id,
            recall=verification.recall,
            recall_sample=verification.galaxies,
        )
        if not verification.is_perfect:
            logger.warning("neighbor run %d differs from float64: %s", run.run_id, verification)
        elif publish:
            store.publish_run(connection, store.fetch_run(connection, run.run_id))
    with job.engine.begin() as connection:
        store.analyze_lists(connection)
        return store.fetch_run(connection, run.run_id)


def drop_neighbors(engine: Engine, run_id: int) -> None:
    """Remove a run that is not published, with its lists.

    Raises
    ------
    NeighborRunNotFoundError
        It does not exist.
    SettingsError
        Readers see it.
    ConflictError
        It is being built, or queries on it hold the tables.
    """
    with connect(engine) as connection:
        run = store.fetch_run(connection, run_id)
    with hold_lock(engine, "neighbors build", run.encoder), engine.begin() as connection:
        store.drop_run(connection, store.fetch_run(connection, run_id))

"""Shards on a Dask cluster: workers write lists straight into the database and return counts.

Needs ``dask.distributed`` here and where the workers run, the same skylike in both, and a database
that the workers reach under the address that this process uses.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path

from distributed import Client, Future, wait
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker
from sqlalchemy import Connection

from skylike.errors import ClusterError, SettingsError
from skylike.neighbors import store, store_lists
from skylike.neighbors.begin import StagedInput
from skylike.neighbors.cluster_worker import remove_staged, search_part
from skylike.neighbors.job import BuildJob, Cluster
from skylike.neighbors.shards import plan_shards
from skylike.neighbors.store import NeighborRun
from skylike.progress import Task

logger = logging.getLogger(__name__)

PARTS = 64
"""Into how many contiguous parts the shards are cut, at least: a worker that is killed, or joins
late, leaves or finds work of about this grain. A choice, not tuned."""

PARTS_OF_A_WORKER = 4
"""And at least so many for each worker, so that they end at about the same time."""

_CONNECT_TIMEOUT = "10s"
_LOOK_S = 2.0
"""Time between two looks at how far the workers are."""


def check_scheduler(cluster: Cluster) -> None:
    """Connect to the scheduler once; errors as of :func:`search_on_cluster`."""
    with _connected(cluster):
        pass


def search_on_cluster(
    job: BuildJob, session: Connection, run: NeighborRun, given: StagedInput, cluster: Cluster
) -> int:
    """Let the workers of a cluster compute all shards that are not done.

    Each worker opens the staged embeddings in the work folder where it sees them, and stages them
    there for all workers of its machine where it does not (or in its own scratch folder where it
    may not write there). The tasks of a worker that is killed go to another one.

    Returns
    -------
    int
        Shards that the workers computed.

    Raises
    ------
    SettingsError
        The address is not one, or the scheduler file is not there.
    ClusterError
        The scheduler does not answer, or the same tasks have killed several workers.
    """
    cut = plan_shards(run, given.vectors)
    done = store_lists.fetch_finished_shards(session, run.run_id)
    session.rollback()
    left = [shard for shard in range(len(cut)) if shard not in done]
    if not left:
        return 0
    url = job.engine.url  # Dask logs the arguments of what fails: in words this hides the password
    with _connected(cluster) as client, _in_sentences():
        workers = len(client.ncores())
        if not workers:
            logger.warning("%s has no workers yet; waiting for some", cluster.scheduler)
        parts = _cut(left, max(PARTS, PARTS_OF_A_WORKER * workers))
        futures = [
            client.submit(
                search_part, url, run.run_id, part, job.plan, str(job.folder.absolute()), pure=False
            )
            for part in parts
        ]
        with job.progress.task("Searching neighbors", total=cut.count_rows(left)) as task:
            computed = _collect(futures, session, run, task)
        client.run(remove_staged, on_error="ignore")
    return computed


def _cut(shards: Sequence[int], parts: int) -> list[list[int]]:
    parts = min(parts, len(shards))
    return [
        list(shards[i * len(shards) // parts : (i + 1) * len(shards) // parts])
        for i in range(parts)
    ]


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Client]:
    scheduler = cluster.scheduler
    is_file = Path(scheduler).suffix == ".json" or "/" in scheduler.partition("://")[0]
    if is_file:
        scheduler = _read_address(Path(scheduler))
    if not scheduler.rpartition(":")[2].isdecimal():
        raise SettingsError(
            f"scheduler {cluster.scheduler!r}: use its address, such as tcp://host:8786, "
            "or its scheduler file"
        )
    with _quiet_dask(), _client(scheduler) as client:
        yield client


@contextmanager
def _quiet_dask() -> Iterator[None]:
    """Keep the tracebacks that Dask logs of what we say in a sentence from who has not asked."""
    if logger.isEnabledFor(logging.INFO):
        yield
        return
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _client(scheduler: str) -> Iterator[Client]:
    try:
        client = Client(address=scheduler, timeout=_CONNECT_TIMEOUT, name="skylike")
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no Dask scheduler answers at {scheduler}; start one with `dask scheduler`, "
            "or correct --scheduler"
        ) from error
    with client:
        yield client


def _read_address(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["address"])
    except OSError as error:
        raise SettingsError(
            f"scheduler file {path} cannot be read ({error.strerror}); "
            "`dask scheduler --scheduler-file` writes one"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} is no scheduler file of Dask") from error


def _collect(
    futures: Sequence[Future[int]], session: Connection, run: NeighborRun, task: Task
) -> int:
    """Wait for all tasks; tell how far they are by what the database holds."""
    told, pending = run.galaxies_done, set(futures)
    computed = 0
    while pending:
        finished, pending = _wait(pending)
        computed += sum(int(future.result()) for future in finished)
        with session.begin():
            stored = store.fetch_run(session, run.run_id).galaxies_done
        task.advance(stored - told)
        told = stored
    return computed


def _wait(pending: set[Future[int]]) -> tuple[set[Future[int]], set[Future[int]]]:
    """Return the tasks that have ended, after a while also if none has, and the others."""
    try:
        ended, others = wait(pending, timeout=_LOOK_S, return_when="FIRST_COMPLETED")
    except TimeoutError:
        return set(), pending
    return ended, others


@contextmanager
def _in_sentences() -> Iterator[None]:
    """Say what became of a cluster in a sentence."""
    try:
        yield
    except KilledWorker as error:
        raise ClusterError(
            f"workers died while they computed neighbors, the last {error.last_worker.address}; "
            "see their logs (out of memory?), and run the same command again to go on"
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise ClusterError(
            "the Dask scheduler has gone; start one, and run the same command again to go on"
        ) from error

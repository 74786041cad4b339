"""A Dask cluster: connecting to its scheduler, dividing work, waiting, and saying what went wrong.

Needs ``dask.distributed``, an extra: import this module where a cluster was asked for.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from distributed import Client, Future, wait
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from skylike.errors import ClusterError, SettingsError
from skylike.jobs.shares import Cluster

logger = logging.getLogger(__name__)

T = TypeVar("T")

PARTS: Final = 64
"""Into how many contiguous parts the shards are cut, at least: a worker that is killed, or joins
late, leaves or finds work of about this grain. A choice, not tuned."""

PARTS_OF_A_WORKER: Final = 4
"""And at least so many for each worker, so that they end at about the same time."""

CONNECT_TIMEOUT = "10s"

LOOK_S: Final = 2.0
"""Time between two looks at how far the workers are."""


def check_scheduler(cluster: Cluster) -> None:
    """Connect to the scheduler once; errors as of :func:`connected`."""
    with connected(cluster):
        pass


def cut_for_workers(client: Client, shards: Sequence[int]) -> list[list[int]]:
    """Cut shards into parts for the workers that a cluster has; say so where it has none yet."""
    workers = len(client.ncores())
    if not workers:
        logger.warning("the cluster has no workers yet; waiting for some")
    return cut(shards, max(PARTS, PARTS_OF_A_WORKER * workers))


def cut(shards: Sequence[int], parts: int) -> list[list[int]]:
    """Cut shards into contiguous parts of nearly the same size, none empty."""
    parts = min(parts, len(shards))
    return [
        list(shards[i * len(shards) // parts : (i + 1) * len(shards) // parts])
        for i in range(parts)
    ]


@contextmanager
def connected(cluster: Cluster) -> Iterator[Client]:
    """Connect to the scheduler of a cluster until the block ends.

    Raises
    ------
    SettingsError
        The address is not one, or the scheduler file is not there.
    ClusterError
        The scheduler does not answer.
    """
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
        client = Client(address=scheduler, timeout=CONNECT_TIMEOUT, name="skylike")
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


def wait_a_while(pending: set[Future[T]]) -> tuple[set[Future[T]], set[Future[T]]]:
    """Return the tasks that have ended, after a while also if none has, and the others."""
    try:
        ended, others = wait(pending, timeout=LOOK_S, return_when="FIRST_COMPLETED")
    except TimeoutError:
        return set(), pending
    return ended, others


@contextmanager
def in_sentences(what: str) -> Iterator[None]:
    """Say what became of a cluster in a sentence.

    Parameters
    ----------
    what
        What its workers did, in the past tense: "computed neighbors".

    Raises
    ------
    ClusterError
        The same tasks have killed several workers, or the scheduler has gone.
    """
    try:
        yield
    except KilledWorker as error:
        raise ClusterError(
            f"workers died while they {what}, the last {error.last_worker.address}; "
            "see their logs (out of memory?), and run the same command again to go on"
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise ClusterError(
            "the Dask scheduler has gone; start one, and run the same command again to go on"
        ) from error

"""Builds of neighbor lists in processes of their own, slow enough to be killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from skylike.neighbors import job, store_input, store_lists

SHARD_GALAXIES = 20

_COMMAND = "import sys, neighbor_jobs; neighbor_jobs.run_command(sys.argv[1:])"


def make_slow(*, write_s: float = 0.03, staging_s: float = 0.0) -> None:
    """Cut small shards, and take time, in this process.

    Parameters
    ----------
    write_s
        How long each shard is left uncommitted: a kill there loses it.
    staging_s
        How long the staged file is left without an end.
    """
    write_shard, iter_embeddings = store_lists.write_shard, store_input.iter_embeddings

    def write_slowly(*arguments, **options):
        write_shard(*arguments, **options)
        time.sleep(write_s)

    def iter_slowly(*arguments):
        yield from iter_embeddings(*arguments)
        time.sleep(staging_s)

    store_lists.write_shard, store_input.iter_embeddings = write_slowly, iter_slowly
    job.SHARD_GALAXIES["cpu"] = SHARD_GALAXIES


def run_command(arguments: list[str]) -> None:
    """Run ``skylike`` with small, slow shards."""
    from skylike_cli import main

    make_slow(**json.loads(os.environ["SLOW"]))
    sys.argv = ["skylike", *arguments]
    main.run()


@contextmanager
def started(
    url: URL, home: Path, *arguments: str, **slow: float
) -> Iterator[subprocess.Popen[str]]:
    """Run ``skylike neighbors build`` in a process of its own, which ends with the block.

    Parameters
    ----------
    slow
        As of :func:`make_slow`.
    """
    environment = {
        **os.environ,
        "SKYLIKE_DATABASE_URL": url.render_as_string(hide_password=False),
        "SKYLIKE_HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parent),
        "OMP_NUM_THREADS": "1",
        "SLOW": json.dumps(slow),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, "neighbors", "build", "--device", "cpu", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def output_of(process: subprocess.Popen[str]) -> str:
    """Wait for a command that should succeed; return what it said."""
    said, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    return said


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process that is at work, at once."""
    assert process.poll() is None, process.communicate()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def wait_for(
    is_so: Callable[[], bool], *, during: subprocess.Popen[str] | None = None, seconds: float = 60
) -> None:
    """Wait until something is so; fail when it takes long, or when the process ends before."""
    end = time.monotonic() + seconds
    while not is_so():
        assert during is None or during.poll() is None, during.communicate()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def count_shards(connection: Connection, state: str = "building") -> int:
    """Count the shards that are stored of runs in a state."""
    count = sa.text("SELECT count(*) FROM neighbor_shard JOIN neighbor_run USING (run_id)"
                    " WHERE state = :state")  # fmt: skip
    number = connection.scalar(count, {"state": state})
    connection.rollback()
    return int(number or 0)


def count_locks(connection: Connection) -> int:
    """Count the locks that processes hold in the database; of a killed one they go soon."""
    locks = sa.text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    number = connection.scalar(locks)
    connection.rollback()
    return int(number or 0)

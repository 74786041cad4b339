"""Server settings that fit the machine: memory (the container's), cores, shared memory."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from skylike.processors import count_cores

_MB: Final = 1024**2
_GB: Final = 1024**3

MAX_CONNECTIONS: Final = 150
"""Reader (40) and service (80) at their limits, and room for jobs and the superuser."""


@dataclass(frozen=True)
class Machine:
    """What the server may use.

    Attributes
    ----------
    memory
        Bytes of RAM, or of the container where that is less.
    cores
        Processors that we may run on.
    shared_memory
        Bytes of /dev/shm (64 MB in a container unless told otherwise), where parallel queries meet.
    """

    memory: int
    cores: int
    shared_memory: int


def measure_machine() -> Machine:
    """Look at this machine, respecting control groups (containers, Slurm) and CPU affinity."""
    memory = min([psutil.virtual_memory().total, *_memory_limits()])
    shm = Path("/dev/shm")  # noqa: S108 - its size, no file in it
    return Machine(memory, count_cores(), shutil.disk_usage(shm).total if shm.is_dir() else memory)


def _memory_limits(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> Iterator[int]:
    """Yield the memory limits of every control group around this process, version 2 and 1."""
    try:
        lines = membership.read_text(encoding="ascii").split()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, name = (
            (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        )
        # A container sees its own group as the root, though its path may be that of the host.
        place = Path(group.lstrip("/"))
        for folder in [base / place, *(base / parent for parent in place.parents)]:
            try:
                text = (folder / name).read_text(encoding="ascii").strip()
            except OSError:
                continue
            if text.isdigit():
                yield int(text)


def server_settings(machine: Machine) -> dict[str, str]:
    """Return settings of postgresql.conf for a machine that runs other work too (training, NumPy).

    Notes
    -----
    A quarter of the memory for shared_buffers, three for effective_cache_size: PostgreSQL's
    documentation (Resource Consumption); more than 8 GB helps little where the system caches as
    well. random_page_cost 1.1: data lie on SSDs or in memory. jit off: a misestimated cone search
    loses up to 400 ms to compilation (our measurement; the wheel has none, another server may).
    """
    memory, cores = machine.memory, machine.cores
    settings = {
        "max_connections": str(MAX_CONNECTIONS),
        "shared_buffers": _megabytes(min(memory // 4, 8 * _GB), at_least=64),
        "effective_cache_size": _megabytes(memory * 3 // 4, at_least=128),
        # Several sorts or hashes in each of a few busy sessions must fit beside shared_buffers.
        "work_mem": _megabytes(min(memory // 256, 256 * _MB), at_least=8),
        "maintenance_work_mem": _megabytes(min(memory // 16, 2 * _GB), at_least=64),
        # Bulk COPY without a checkpoint every few seconds.
        "max_wal_size": _megabytes(min(memory // 2, 8 * _GB), at_least=1024),
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "max_worker_processes": str(8 + cores),
        "max_parallel_workers": str(cores),
        "max_parallel_workers_per_gather": str(min(8, max(1, cores // 2))),
        "max_parallel_maintenance_workers": str(min(8, max(1, cores // 2))),
        "random_page_cost": "1.1",
        "effective_io_concurrency": "64",
        "jit": "off",
    }
    # Parallel index builds share maintenance_work_mem through /dev/shm; where that is small they
    # die with "could not resize shared memory segment". Files below the data folder serve instead.
    if machine.shared_memory < min(memory // 16, 2 * _GB) + _GB // 4:
        settings["dynamic_shared_memory_type"] = "'mmap'"
    return settings


def _megabytes(number: int, *, at_least: int) -> str:
    return f"{max(number // _MB, at_least)}MB"

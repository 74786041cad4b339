"""The processors that this process may use."""

import os


def count_cores() -> int:
    """Count the cores that this process may run on.

    In a container or a Slurm task these are fewer than the machine has.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)

"""Which shards of a job a process computes: all, one part of several, or those of a cluster."""

from dataclasses import dataclass
from types import ModuleType
from typing import Self

from typing_extensions import override

from skylike.errors import SettingsError


@dataclass(frozen=True)
class Part:
    """One of n parts of a job's shards, which one process computes.

    Attributes
    ----------
    number
        From 1.
    of
        How many parts there are.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise SettingsError(
                f"part {self.number}/{self.of}: use i/n with 1 <= i <= n, such as 3/8"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``i/n``.

        Raises
        ------
        SettingsError
            It is something else, or i is not between 1 and n.
        """
        number, slash, of = text.partition("/")
        if not (slash and number.strip().isdecimal() and of.strip().isdecimal()):
            raise SettingsError(f"part {text!r}: use i/n with 1 <= i <= n, such as 3/8")
        return cls(int(number), int(of))

    def shards(self, n: int) -> range:
        """Return the numbers of this part's shards, of n; none where there are more parts.

        Contiguous, for jobs whose neighboring shards share most of what they read.
        """
        return range((self.number - 1) * n // self.of, self.number * n // self.of)

    def owns(self, shard: int) -> bool:
        """Tell whether a shard is this part's, where shards are not all known: every n-th is."""
        return shard % self.of == self.number - 1

    @override
    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster that computes the shards.

    Attributes
    ----------
    scheduler
        Its address (``tcp://host:8786``), or the path of the file that ``dask scheduler
        --scheduler-file`` writes.
    """

    scheduler: str


def choose_share(part: str | None, scheduler: str | None) -> Part | Cluster | None:
    """Return what a process computes, of ``i/n`` or the address of a scheduler.

    Raises
    ------
    SettingsError
        Both are given, or the part is none.
    """
    if part is not None and scheduler is not None:
        raise SettingsError("--shard and --scheduler exclude each other; use one of them")
    if part is not None:
        return Part.parse(part)
    return Cluster(scheduler) if scheduler is not None else None


def load_dask_client() -> ModuleType:
    """Return :mod:`skylike.jobs.dask_client`, for a process that was given a cluster.

    Raises
    ------
    SettingsError
        Dask is not installed.
    """
    try:
        from skylike.jobs import dask_client  # noqa: PLC0415 - dask.distributed is an extra
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"a cluster needs dask.distributed ({error}); pip install 'skylike[dask]', here and "
            "where the workers run"
        ) from error
    return dask_client

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


def _nothing(folder: Path) -> None:
    pass


@dataclass(frozen=True)
class BadInput:
    """A wrong command line and what must be said about it.

    ``{folder}`` in an argument is a temporary folder that ``prepare`` has filled; ``error`` is a
    regular expression that the one line on stderr must match.
    """

    name: str
    arguments: tuple[str, ...]
    error: str
    prepare: Callable[[Path], None] = _nothing
    exit_status: int = 1
    environment: dict[str, str] = field(default_factory=dict)

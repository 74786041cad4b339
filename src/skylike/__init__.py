"""Find galaxies that look alike, inside PostgreSQL: ``skylike.connect()`` is the way in."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from skylike.connection import connect
    from skylike.errors import SkylikeError
    from skylike.interfaces.rows import Rows
    from skylike.interfaces.similar import Similar
    from skylike.interfaces.sky import Sky

    __version__: str

__all__ = ["Rows", "Similar", "Sky", "SkylikeError", "__version__", "connect"]

_MODULES: Final = {
    "connect": "skylike.connection",
    "Rows": "skylike.interfaces.rows",
    "Similar": "skylike.interfaces.similar",
    "Sky": "skylike.interfaces.sky",
    "SkylikeError": "skylike.errors",
}
"""Imported when they are first used: the command line imports this package and none of them."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - takes longer than all else here

        value: object = version("skylike")
    elif name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'skylike' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

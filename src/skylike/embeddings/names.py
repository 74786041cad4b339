"""Names of encoders, which are names of files too."""

import re
from pathlib import Path
from typing import Final

from skylike.errors import SettingsError

MAX_NAME_BYTES: Final = 200
"""File systems take 255 bytes; ours add endings."""


def check_name(name: str) -> None:
    """Check that a name can be one of an encoder, and of its file.

    Raises
    ------
    SettingsError
        It is empty, too long, a path, hidden or not printable.
    """
    is_file_name = bool(name) and Path(name).name == name and not name.startswith(".")
    if not is_file_name or not name.isprintable() or len(name.encode()) > MAX_NAME_BYTES:
        raise SettingsError(
            f"encoder name {name!r}: it becomes a file name; use letters and digits, "
            f"at most {MAX_NAME_BYTES}"
        )


def name_after(path: Path) -> str:
    """Make the name of an encoder of the name of its file.

    Raises
    ------
    SettingsError
        Nothing is left of it.
    """
    name = re.sub(r"[^\w.=+-]+", "-", path.stem, flags=re.ASCII).strip("-.")
    if not name:
        raise SettingsError(f"{path}: its name gives the encoder none; give one with --name")
    return name[:MAX_NAME_BYTES]

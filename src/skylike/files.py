"""Files appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def is_utf8(path: Path) -> bool:
    """Tell whether a path is text, as PostgreSQL can hold it; file systems allow any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield ``NAME.part`` to write; it becomes ``path`` when the block ends, and goes if it fails.

    What was at ``path`` stays until then. The new content is on the disk before its name is, so
    that neither a kill nor a power cut leaves half a file under the name.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise

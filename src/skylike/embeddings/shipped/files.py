"""The file of the encoder that ships: inside the package, and a copy in the data folder."""

import hashlib
import shutil
from pathlib import Path
from typing import Final

from skylike.errors import CheckpointError
from skylike.files import replaced_file

NAME: Final = "default"
"""Name of the encoder, unless another has it."""

FILE_NAME: Final = f"{NAME}.pt"
"""The file beside this module."""


def path() -> Path:
    """Return where the encoder's file is in this installation, whether it is there or not."""
    return Path(__file__).resolve().with_name(FILE_NAME)


def is_there() -> bool:
    """Tell whether this installation has the encoder; a checkout may be without."""
    return path().is_file()


def sha256() -> str:
    """Return the SHA-256 of the encoder's file, hexadecimal; this needs no torch.

    Raises
    ------
    CheckpointError
        The file is missing or cannot be read.
    """
    return _sha256(path())


def copy_into(folder: Path, digest: str) -> Path:
    """Copy the encoder's file to where encoders are kept; return the copy.

    The name holds the hash, so that a later version of skylike, whose encoder is another, never
    changes what embeddings were made with.

    Parameters
    ----------
    digest
        From :func:`sha256`.

    Raises
    ------
    CheckpointError
        It cannot be written.
    """
    copy = folder.absolute() / f"{NAME}-{digest[:8]}.pt"
    restore(copy, digest)
    return copy


def restore(copy: Path, digest: str) -> None:
    """Write the encoder's file at a place unless the same is there already.

    Raises
    ------
    CheckpointError
        It cannot be written.
    """
    if copy.is_file() and _sha256(copy) == digest:
        return
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(copy) as part:
            shutil.copyfile(path(), part)
    except OSError as error:
        raise CheckpointError(
            f"{copy}: cannot be written ({error.strerror}); make room or give another data folder "
            "with SKYLIKE_HOME"
        ) from error


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{file}: this copy of skylike comes without its encoder; install skylike again, or "
            "train one with `skylike encoder train`"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{file}: cannot be read ({error.strerror}); install skylike again"
        ) from error

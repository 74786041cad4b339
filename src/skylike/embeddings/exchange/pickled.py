"""Read what ``torch.save`` wrote elsewhere, executing nothing of it.

torch's restricted unpickler builds tensors and plain containers. Training frameworks put other
objects beside the weights; those of a short list become dummies that keep their values, whatever
else is inside is refused by name.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import torch
from torch import serialization

from skylike.errors import CheckpointError

HARMLESS: Final = frozenset(
    {
        "argparse.Namespace",
        "collections.defaultdict",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.WindowsPath",
        "pathlib._local.Path",
        "pathlib._local.PosixPath",
        "lightning.fabric.utilities.data.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict",
        "lightning_utilities.core.rank_zero.AttributeDict",
        "pytorch_lightning.callbacks.lr_monitor.LearningRateMonitor",
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "pytorch_lightning.utilities.parsing.AttributeDict",
    }
)
"""Classes and functions that PyTorch Lightning's checkpoints name beside tensors. None of them is
imported or called: a :class:`Dummy` stands in for each."""

_DAMAGED: Final = (
    *(OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    *(AssertionError, ArithmeticError, zipfile.BadZipFile),
)
"""What torch raises, besides UnpicklingError, for files with wrong bytes in them."""

_NAMED: Final = re.compile(r"GLOBAL ([\w.]+)|(?:load|class) ([\w.]+\.\w+)")


class Dummy:
    """Stands for an object whose class is not to be trusted: it keeps values and does nothing.

    Attributes
    ----------
    values
        Attributes, or items, of the object.
    """

    values: dict[object, object]

    def __new__(cls, *_arguments: object) -> Self:  # noqa: D102 - whatever it is called with
        made = super().__new__(cls)
        made.values = {}
        return made

    def __setitem__(self, key: object, value: object) -> None:
        self.values[key] = value

    def __setstate__(self, state: object) -> None:
        if isinstance(state, Mapping):
            self.values.update(state)


def read_pickled(path: Path) -> Mapping[str, Any]:
    """Read a dictionary of tensors, and what lies beside them, without executing anything.

    Raises
    ------
    CheckpointError
        The file is damaged, no dictionary, or holds objects that would have to be executed; the
        message names them.
    """
    is_zip = zipfile.is_zipfile(path)
    if is_zip:
        _check_archive(path)
    try:
        with (
            serialization.safe_globals([_stand_in(name) for name in sorted(HARMLESS)]),
            warnings.catch_warnings(action="ignore"),  # of pickles newer than torch writes
        ):
            # From a zip archive tensors are read when they are used: optimizers stay on the disk.
            contents = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, str(error))) from error
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    if not isinstance(contents, Mapping):
        raise CheckpointError(
            f"{path}: holds a {type(contents).__name__} and no dictionary of weights; save "
            "`model.state_dict()`"
        )
    return contents


def _check_archive(path: Path) -> None:
    """Refuse what torch would call, by name, before anything is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("constants.pkl") for name in names):
            raise CheckpointError(
                f"{path}: is a TorchScript program, which would have to be executed; save "
                "`model.state_dict()`"
            )
        if not any(name.endswith("data.pkl") for name in names):
            raise CheckpointError(
                f"{path}: is a zip archive without weights of PyTorch in it; unpack it first"
            )
        named = set(serialization.get_unsafe_globals_in_checkpoint(path))
    except (pickle.UnpicklingError, *_DAMAGED) as error:
        raise _damaged(path, error) from error
    if strange := sorted(named - HARMLESS):
        raise CheckpointError(_unsafe(path, strange))


def _stand_in(name: str) -> type[Dummy]:
    """Make a dummy class that the unpickler takes for the class of this name."""
    module, _, own = name.rpartition(".")
    return type(own, (Dummy,), {"__module__": module, "__qualname__": own})


def _refusal(path: Path, message: str) -> str:
    found = _NAMED.search(message)
    if found is None:
        return (
            f"{path}: is no file of weights that can be read without executing it, or is damaged; "
            "save `model.state_dict()`, or fetch it again"
        )
    return _unsafe(path, [found[1] or found[2]])


def _unsafe(path: Path, names: list[str]) -> str:
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return (
        f"{path}: holds Python objects beside weights ({shown}), which would have to be executed; "
        "where you trust it, load it there and save `model.state_dict()` alone"
    )


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
    return CheckpointError(
        f"{path}: cannot be read as weights of PyTorch, it may be cut short or damaged ({reason}); "
        "fetch it again"
    )

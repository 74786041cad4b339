"""Faiss, imported with a sentence where it is missing or installed twice; who sees which GPU."""

from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Final

from skylike.errors import SettingsError

DISTRIBUTIONS: Final = (
    "faiss",
    "faiss-cpu",
    "faiss-gpu",
    "faiss-gpu-cu11",
    "faiss-gpu-cu12",
    "faiss-gpu-cuvs",
    "faiss-gpu-cu12-cuvs",
    "faiss-gpu-cu13-cuvs",
    "faiss-cuda",
)
"""Wheels on PyPI that install the same module ``faiss`` (as of 2026-08)."""

INSTALL: Final = "pip install 'skylike[cpu]', or 'skylike[gpu]' for a CUDA 12 GPU"


def installed_faiss() -> dict[str, str]:
    """Return the versions of the installed distributions that bring a module ``faiss``."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def load_faiss() -> ModuleType:
    """Import Faiss.

    Raises
    ------
    SettingsError
        It is not installed, or two distributions share one folder: the later one overwrites files
        of the earlier, and what is left may crash or search wrongly.
    """
    found = installed_faiss()
    if len(found) > 1:
        names = " and ".join(sorted(found))
        raise SettingsError(
            f"{names} are installed together and overwrite each other's files; "
            f"pip uninstall -y {' '.join(sorted(found))}, then {INSTALL}"
        )
    try:
        import faiss  # noqa: PLC0415 - half a second that only this stage pays
    except ImportError as error:
        raise SettingsError(f"Faiss cannot be imported ({error}); {INSTALL}") from error
    module: ModuleType = faiss
    return module


def torch_sees(device: str) -> bool:
    """Tell whether torch can compute on ``cpu``, ``cuda`` or ``cuda:N``."""
    if device == "cpu":
        return True
    import torch  # noqa: PLC0415 - a second of import that only computing stages pay

    number = int(device.partition(":")[2] or 0)
    return torch.cuda.is_available() and number < torch.cuda.device_count()


def faiss_sees(device: str) -> bool:
    """Tell whether Faiss can compute on ``cpu``, ``cuda`` or ``cuda:N``.

    StandardGpuResources aborts the whole process where there is no GPU: ask before.
    """
    number = int(device.partition(":")[2] or 0)
    return device == "cpu" or number < int(load_faiss().get_num_gpus())


def choose_search_device(name: str = "auto") -> str:
    """Return ``"cpu"``, ``"cuda"`` or ``"cuda:N"``: where neighbors are searched.

    Parameters
    ----------
    name
        ``auto`` takes a GPU where torch sees one, or Faiss: their builds differ, and either of them
        can search.

    Raises
    ------
    SettingsError
        The name is unknown, or names a GPU that neither of them sees.
    """
    kind, _, number = name.partition(":")
    if kind not in {"auto", "cpu", "cuda"} or (
        ":" in name and not (kind == "cuda" and number.isdecimal())
    ):
        raise SettingsError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:N")
    if kind == "cpu":
        return "cpu"
    wanted = "cuda" if kind == "auto" else name
    if torch_sees(wanted) or faiss_sees(wanted):
        return wanted
    if kind == "auto":
        return "cpu"
    raise SettingsError(
        f"device {name!r} is not there: neither torch nor Faiss sees it; use --device cpu, or "
        f"install a torch built for CUDA, or {INSTALL}"
    )

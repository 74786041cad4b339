"""Which device computes: a name from the command line becomes one that torch knows."""

from skylike.errors import SettingsError


def choose_device(name: str = "auto") -> str:
    """Return ``"cpu"``, ``"cuda"`` or ``"cuda:N"`` for a device name.

    Parameters
    ----------
    name
        ``auto`` takes a GPU where torch sees one.

    Raises
    ------
    SettingsError
        The name is unknown, or names a GPU that is not there.
    """
    import torch  # noqa: PLC0415 - a second of import that only computing stages pay

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in {"cpu", "cuda"} or (number and not number.isdecimal()):
        raise SettingsError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"device {name!r} is not there: torch sees {torch.cuda.device_count()} GPUs; "
            "use --device cpu"
        )
    return name

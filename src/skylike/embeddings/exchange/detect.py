"""What a file of weights is by its first bytes; what is none is refused by name and reason."""

from pathlib import Path
from typing import Final, Literal

from skylike.errors import CheckpointError

Container = Literal["torch", "safetensors"]
"""``torch.save``'s zip archive or its older bare pickle; or safetensors."""

_START_BYTES: Final = 512
_PICKLE: Final = b"\x80"
_ZIP: Final = b"PK"
_ZIP_END: Final = b"PK\x05\x06"
_ZIP_END_BYTES: Final = 22 + 65_535
"""The record that ends a zip archive, with the longest comment behind it."""

_OTHERS: Final = (
    (
        b"version https://git-lfs",
        "is a Git LFS pointer and not the file itself; run `git lfs pull` where it comes from",
    ),
    (b"<!doctype", "is a web page, perhaps the page of a download; fetch the file itself"),
    (b"<html", "is a web page, perhaps the page of a download; fetch the file itself"),
    (b"\x93numpy", "is a NumPy array; for embeddings made elsewhere give it as --embeddings FILE"),
    (b"par1", "is a Parquet table; for embeddings made elsewhere give it as --embeddings FILE"),
    (b"\x89hdf", "is an HDF5 file, not weights of PyTorch; save them as safetensors"),
    (b"\x1f\x8b", "is compressed by gzip; unpack it first"),
    (b"7z", "is a 7z archive; unpack it first"),
)


def check_is_file(path: Path) -> None:
    """Check that something is there that can be read.

    Raises
    ------
    CheckpointError
        Nothing of this name, a folder, an empty or unreadable file.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such file; check the name")
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give the file of weights in it")
    if not _read(path, 1):
        raise CheckpointError(f"{path}: the file is empty; fetch it again")


def detect_container(path: Path) -> Container:
    """Tell how a file of weights is packed.

    Raises
    ------
    CheckpointError
        It is missing, a folder, empty, cut short, or no file of weights; the message says which.
    """
    check_is_file(path)
    start = _read(path, _START_BYTES)
    for signature, what in _OTHERS:
        if start.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(signature):
            raise CheckpointError(f"{path} {what}")
    if start.startswith(_ZIP):
        if _ZIP_END not in _read(path, _ZIP_END_BYTES, from_end=True):
            raise CheckpointError(
                f"{path}: is cut short (a zip archive without end); fetch it again"
            )
        return "torch"
    if start.startswith(_PICKLE):
        return "torch"
    if start[8:9] == b"{":
        _check_header(path, int.from_bytes(start[:8], "little"))
        return "safetensors"
    if path.suffix == ".onnx":
        raise CheckpointError(
            f"{path} is an ONNX graph, which has no parameters by name; give the weights as "
            "safetensors or a PyTorch state dict"
        )
    kind = "text" if _is_text(start) else "of no known kind"
    raise CheckpointError(
        f"{path} is {kind}, not weights; give a .pt, .pth or .ckpt of PyTorch, or .safetensors"
    )


def _check_header(path: Path, length: int) -> None:
    if 8 + length > path.stat().st_size:
        raise CheckpointError(
            f"{path}: is cut short (its header alone would be longer); fetch it again"
        )


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode("utf-8", "strict" if len(start) < _START_BYTES else "ignore")
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)


def _read(path: Path, n: int, *, from_end: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            if from_end:
                file.seek(-min(n, path.stat().st_size), 2)
            return file.read(n)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from error

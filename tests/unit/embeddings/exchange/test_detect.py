"""What is no file of weights is refused by what it is."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from skylike.embeddings.exchange.detect import detect_container
from skylike.embeddings.exchange.pickled import read_pickled
from skylike.errors import CheckpointError


def read(path: Path) -> None:
    detect_container(path)
    read_pickled(path)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 94385163\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (LFS, "is a Git LFS pointer and not the file itself; run `git lfs pull`"),
        (b"<!DOCTYPE html><title>Google Drive", "is a web page"),
        (b"hello, these are my weights\n" * 40, "is text, not weights"),
        (b"\x00\x01\x02\xff" * 300, "is of no known kind, not weights"),
        (b"\x1f\x8b\x08\x00", "is compressed by gzip"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"PAR1....", "is a Parquet table; for embeddings made elsewhere"),
        (b"PK\x03\x04" + bytes(200), "is cut short"),
        ((10**9).to_bytes(8, "little") + b'{"a":1}', "is cut short"),
    ],
)
def test_file_when_not_of_weights_then_is_told_what_it_is(
    tmp_path: Path, content: bytes, message: str
):
    path = tmp_path / "model.pt"
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=message) as caught:
        detect_container(path)

    assert str(path) in str(caught.value)


def test_text_when_cut_within_a_letter_then_is_still_text(tmp_path: Path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"x" + "\u00e9".encode() * 2000)

    with pytest.raises(CheckpointError, match="is text"):
        detect_container(path)


def test_folder_and_missing_file_and_array_are_refused(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros(3))

    with pytest.raises(CheckpointError, match="is a folder"):
        detect_container(tmp_path)
    with pytest.raises(CheckpointError, match="no such file"):
        detect_container(tmp_path / "nothing.pt")
    with pytest.raises(CheckpointError, match="give it as --embeddings"):
        detect_container(tmp_path / "a.npy")


def test_zip_archive_when_cut_anywhere_then_is_refused(tmp_path: Path):
    path = tmp_path / "model.pt"
    torch.save({"conv1.weight": torch.randn(8, 3, 7, 7)}, path)
    whole = path.read_bytes()

    for n in np.linspace(1, len(whole) - 1, 40).astype(int).tolist():
        path.write_bytes(whole[:n])
        with pytest.raises(CheckpointError, match=r"model\.pt"):
            read(path)


def test_zip_archive_when_of_something_else_then_is_refused(tmp_path: Path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "weights")

    with pytest.raises(CheckpointError, match="without weights of PyTorch"):
        read_pickled(path)

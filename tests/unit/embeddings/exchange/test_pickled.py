"""A checkpoint is read without executing anything of it."""

import argparse
import collections
import os
import pathlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from skylike.embeddings.exchange.detect import detect_container
from skylike.embeddings.exchange.pickled import Dummy, read_pickled
from skylike.errors import CheckpointError


class Malicious:
    """What attackers put into pickles: unpickled plainly, it runs a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}",))


def read(path: Path):
    detect_container(path)
    return read_pickled(path)


@pytest.mark.parametrize("is_zip", [True, False])
def test_malicious_pickle_when_read_then_is_refused_by_name_and_does_not_run(
    tmp_path: Path, is_zip: bool
):
    path, mark = tmp_path / "evil.pt", tmp_path / "mark"
    contents = {"state_dict": {"conv1.weight": torch.ones(2)}, "extra": Malicious(mark)}
    torch.save(contents, path, _use_new_zipfile_serialization=is_zip)

    with pytest.raises(
        CheckpointError, match=r"evil\.pt: holds Python objects .*\(posix\.system\)"
    ):
        read(path)

    assert not mark.exists()
    # It would have run.
    torch.load(path, weights_only=False)
    assert mark.exists()


def test_malicious_pickle_when_bare_then_is_refused_and_does_not_run(tmp_path: Path):
    path, mark = tmp_path / "evil.pkl", tmp_path / "mark"
    path.write_bytes(pickle.dumps(Malicious(mark)))

    with pytest.raises(CheckpointError, match=r"evil\.pkl: "):
        read(path)

    assert not mark.exists()


def test_malicious_argument_of_a_harmless_class_does_not_run(tmp_path: Path):
    path, mark = tmp_path / "evil.pt", tmp_path / "mark"
    torch.save({"hyper_parameters": argparse.Namespace(lr=Malicious(mark))}, path)

    with pytest.raises(CheckpointError, match=r"posix\.system"):
        read(path)

    assert not mark.exists()


@pytest.mark.parametrize("is_zip", [True, False])
def test_checkpoint_of_lightning_when_read_then_harmless_objects_are_dummies(
    tmp_path: Path, is_zip: bool
):
    path = tmp_path / "last.ckpt"
    contents = {
        "state_dict": collections.OrderedDict(a=torch.arange(3.0)),
        "hyper_parameters": argparse.Namespace(lr=0.03, output=pathlib.PosixPath("/data")),
        "callbacks": {"best": np.float64(1.5)},
        "epoch": 7,
    }
    torch.save(contents, path, _use_new_zipfile_serialization=is_zip)

    found = read(path)

    assert torch.equal(found["state_dict"]["a"], torch.arange(3.0))
    assert found["epoch"] == 7
    assert isinstance(found["hyper_parameters"], Dummy)
    assert not isinstance(found["hyper_parameters"], argparse.Namespace)
    assert found["hyper_parameters"].values["lr"] == 0.03


def test_whole_module_when_pickled_then_its_class_is_named(tmp_path: Path):
    path = tmp_path / "model.pt"
    torch.save(torch.nn.Linear(2, 2), path)

    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read(path)


def test_program_when_of_torchscript_then_is_refused(tmp_path: Path):
    path = tmp_path / "model.zip"
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"")
        archive.writestr("model/constants.pkl", b"")

    with pytest.raises(CheckpointError, match="TorchScript program"):
        read(path)


def test_list_of_tensors_when_read_then_is_no_dictionary(tmp_path: Path):
    path = tmp_path / "model.pt"
    torch.save([torch.ones(2)], path)

    with pytest.raises(CheckpointError, match="holds a list and no dictionary"):
        read(path)

"""Device names become ones that torch knows, or a sentence."""

import pytest
import torch

from skylike.devices import choose_device
from skylike.errors import SettingsError


def test_auto_when_no_gpu_is_there_then_takes_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert choose_device("auto") == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", ""])
def test_device_when_unknown_then_is_refused(name: str):
    with pytest.raises(SettingsError, match="unknown"):
        choose_device(name)


def test_cuda_when_there_are_too_few_gpus_then_says_how_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    assert choose_device("cuda:0") == "cuda:0"
    with pytest.raises(SettingsError, match="torch sees 1 GPUs"):
        choose_device("cuda:1")

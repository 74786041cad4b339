"""Faiss is imported, or a sentence says why not."""

import sys

import pytest

from skylike.errors import SettingsError
from skylike.neighbors.engine import faiss_library
from skylike.neighbors.engine.faiss_library import choose_search_device, load_faiss


def test_load_faiss_refuses_two_distributions(monkeypatch: pytest.MonkeyPatch):
    both = {"faiss-cpu": "1.15.1", "faiss-gpu": "1.15.1"}
    monkeypatch.setattr(faiss_library, "installed_faiss", lambda: both)

    with pytest.raises(SettingsError, match="pip uninstall -y faiss-cpu faiss-gpu"):
        load_faiss()


def test_load_faiss_says_how_to_install_it_where_it_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "faiss", None)

    with pytest.raises(SettingsError, match="pip install"):
        load_faiss()


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", "auto:1", ""])
def test_choose_search_device_refuses_unknown_names(name: str):
    with pytest.raises(SettingsError, match="unknown"):
        choose_search_device(name)


def test_choose_search_device_refuses_a_gpu_that_neither_torch_nor_faiss_sees(
    monkeypatch: pytest.MonkeyPatch,
):
    class Library:
        @staticmethod
        def get_num_gpus() -> int:
            return 1

    monkeypatch.setattr(faiss_library, "load_faiss", Library)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    assert choose_search_device("auto") == "cuda"
    assert choose_search_device("cuda:0") == "cuda:0"
    with pytest.raises(SettingsError, match="neither torch nor Faiss sees it"):
        choose_search_device("cuda:1")


def test_choose_search_device_takes_a_gpu_that_torch_alone_sees(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(faiss_library, "faiss_sees", lambda device: device == "cpu")

    assert choose_search_device("auto") == "cuda"
    assert choose_search_device("cuda:1") == "cuda:1"
    assert choose_search_device("cpu") == "cpu"
    with pytest.raises(SettingsError, match="cuda:2"):
        choose_search_device("cuda:2")

"""Faiss is imported, or a sentence says why not."""

import sys

import pytest

from skylike.errors import SettingsError
from skylike.neighbors import faiss_library
from skylike.neighbors.faiss_library import choose_search_device, load_faiss


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


def test_choose_search_device_refuses_a_gpu_that_faiss_does_not_see(
    monkeypatch: pytest.MonkeyPatch,
):
    class Library:
        @staticmethod
        def get_num_gpus() -> int:
            return 1

    monkeypatch.setattr(faiss_library, "load_faiss", Library)

    assert choose_search_device("auto") == "cuda"
    assert choose_search_device("cuda:0") == "cuda:0"
    with pytest.raises(SettingsError, match="sees 1 GPUs"):
        choose_search_device("cuda:1")

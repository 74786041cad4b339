"""An ONNX graph computes what the encoder computes."""

import dataclasses
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.exchange.onnx_file import write_onnx
from skylike.errors import SettingsError


def run(path: Path, image: np.ndarray) -> np.ndarray:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (rows,) = session.run(None, {"image": image})
    return rows


def test_graph_when_of_color_then_gives_the_embeddings_of_any_number_of_pictures(
    encoder: TrainedEncoder, tmp_path: Path
):
    path = tmp_path / "e.onnx"
    pictures = np.random.default_rng(1).integers(0, 256, (5, 3, 152, 152)).astype(np.uint8)
    middle = pictures[:, :, 28:124, 28:124].astype(np.float32) / 255

    write_onnx(path, encoder, {"name": "mine"}, layer="features")

    for n in (1, 5):
        expected = encoder.embed(pictures[:n], "rgb")
        np.testing.assert_allclose(run(path, middle[:n]), expected, atol=1e-4)


def test_graph_when_of_flux_then_passes_by_what_was_not_observed(
    encoder: TrainedEncoder, tmp_path: Path
):
    path = tmp_path / "e.onnx"
    flux = np.random.default_rng(1).normal(size=(3, 3, 152, 152)).astype(np.float32)
    flux[0, :, :70] = np.nan
    flux[1, 2] = np.nan
    flux[2, 0, ::3] = np.nan
    preprocessing = dataclasses.replace(encoder.preprocessing, input="flux")
    of_flux = dataclasses.replace(encoder, preprocessing=preprocessing)

    write_onnx(path, of_flux, {}, layer="projection")

    rows = run(path, flux[:, :, 28:124, 28:124])
    assert rows.shape == (3, 8)
    np.testing.assert_allclose(rows, of_flux.embed(flux, "flux", layer="projection"), atol=1e-4)


def test_graph_when_read_then_tells_how_to_feed_it(encoder: TrainedEncoder, tmp_path: Path):
    onnx = pytest.importorskip("onnx")

    write_onnx(tmp_path / "e.onnx", encoder, {"name": "mine"}, layer="projection")

    model = onnx.load(tmp_path / "e.onnx")
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told == {"name": "mine", "layer": "projection", "input": "rgb", "crop_pix": "96"}
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param
    assert [side.dim_value for side in shape[1:]] == [3, 96, 96]


def test_graph_when_the_packages_are_missing_then_says_what_to_install(
    encoder: TrainedEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    importlib.invalidate_caches()

    with pytest.raises(SettingsError, match=r"needs the package onnxscript.*skylike\[exchange\]"):
        write_onnx(tmp_path / "e.onnx", encoder, {}, layer="features")

    assert list(tmp_path.glob("e.onnx*")) == []

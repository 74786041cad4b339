"""safetensors: the same embeddings after a round trip, and nothing else than was written."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from cutout_factory import draw_cutouts
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.exchange.import_network import read_network
from skylike.embeddings.exchange.tensor_files import describe, read_tensors, write_tensors
from skylike.embeddings.store import Layer
from skylike.errors import CheckpointError


def written(encoder: TrainedEncoder, path: Path, layer: Layer = "features") -> Path:
    told = describe(encoder, name="mine", layer=layer, checkpoint_sha256="ab12")
    write_tensors(path, encoder, told)
    return path


@pytest.mark.parametrize("layer", ["features", "projection"])
def test_encoder_when_written_and_read_then_gives_identical_embeddings(
    encoder: TrainedEncoder, tmp_path: Path, layer: Layer
):
    pixels = draw_cutouts(4)[0]

    found = read_network(written(encoder, tmp_path / "e.safetensors", layer))

    assert (found.format, found.layer) == ("skylike", layer)
    assert found.encoder.preprocessing == encoder.preprocessing
    assert found.encoder.recipe == encoder.recipe
    assert found.encoder.training == {"images": 3}
    np.testing.assert_array_equal(
        found.encoder.embed(pixels, "flux", layer=layer), encoder.embed(pixels, "flux", layer=layer)
    )


def test_header_tells_what_others_need(encoder: TrainedEncoder, tmp_path: Path):
    with safe_open(written(encoder, tmp_path / "e.safetensors"), framework="np") as file:
        header = file.metadata()
        first = file.get_tensor("conv1.weight")

    assert header["format"] == "pt"
    assert header["checkpoint_sha256"] == "ab12"
    assert '"crop_pix": 96' in header["preprocessing"]
    np.testing.assert_array_equal(first, encoder.network.conv1.weight.numpy())


def test_file_when_a_byte_of_the_weights_is_changed_then_is_refused(
    encoder: TrainedEncoder, tmp_path: Path
):
    path = written(encoder, tmp_path / "e.safetensors")
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match="not those it was written with"):
        read_tensors(path)


def test_file_when_cut_then_is_refused(encoder: TrainedEncoder, tmp_path: Path):
    path = written(encoder, tmp_path / "e.safetensors")
    path.write_bytes(path.read_bytes()[:-10])

    with pytest.raises(CheckpointError, match="cut short"):
        read_tensors(path)


def test_file_when_it_cannot_be_written_then_leaves_nothing(
    encoder: TrainedEncoder, tmp_path: Path
):
    with pytest.raises(CheckpointError, match="cannot be written"):
        written(encoder, tmp_path / "nowhere" / "e.safetensors")
    (tmp_path / "e.safetensors.part").mkdir()
    with pytest.raises(CheckpointError, match="cannot be written"):
        written(encoder, tmp_path / "e.safetensors")

    assert not (tmp_path / "e.safetensors").exists()


def test_weights_of_others_in_safetensors_are_read_by_their_names(resnet, tmp_path: Path):
    save_file(resnet(), tmp_path / "timm.safetensors", metadata={"format": "pt"})

    found = read_network(tmp_path / "timm.safetensors")

    assert (found.format, found.is_as_ours) == ("torchvision", False)

"""The networks are torchvision's by name and shape, and batch statistics can be split."""

import pytest
import torch

from skylike.embeddings.resnet import GroupedBatchNorm2d, ResNet
from skylike.errors import SettingsError

BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


def normalization(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{name}.{part}": (channels,) for part in BATCH_NORM}
    return shapes | {f"{name}.num_batches_tracked": ()}


def published_shapes(blocks: tuple[int, ...], *, is_bottleneck: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's state dictionaries, from table 1 of He et al. 2016."""
    expansion = 4 if is_bottleneck else 1
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)} | normalization("bn1", 64)
    inputs = 64
    for layer, (count, channels) in enumerate(
        zip(blocks, (64, 128, 256, 512), strict=True), start=1
    ):
        outputs = channels * expansion
        for block in range(count):
            name = f"layer{layer}.{block}"
            convolutions = (
                [(channels, inputs, 1, 1), (channels, channels, 3, 3), (outputs, channels, 1, 1)]
                if is_bottleneck
                else [(channels, inputs, 3, 3), (channels, channels, 3, 3)]
            )
            for number, shape in enumerate(convolutions, start=1):
                shapes[f"{name}.conv{number}.weight"] = shape
                shapes |= normalization(f"{name}.bn{number}", shape[0])
            if block == 0 and (layer > 1 or is_bottleneck):
                shapes[f"{name}.downsample.0.weight"] = (outputs, inputs, 1, 1)
                shapes |= normalization(f"{name}.downsample.1", outputs)
            inputs = outputs
    return shapes | {"fc.weight": (1000, inputs), "fc.bias": (1000,)}


@pytest.mark.parametrize(
    ("architecture", "blocks", "is_bottleneck", "parameters"),
    [
        # Numbers of parameters: torchvision documents 11.7, 21.8 and 25.6 million.
        ("resnet18", (2, 2, 2, 2), False, 11_689_512),
        ("resnet34", (3, 4, 6, 3), False, 21_797_672),
        ("resnet50", (3, 4, 6, 3), True, 25_557_032),
    ],
)
def test_state_at_width_one_has_the_published_names_and_shapes(
    architecture: str, blocks: tuple[int, ...], is_bottleneck: bool, parameters: int
):
    network = ResNet(architecture)

    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}

    assert shapes == published_shapes(blocks, is_bottleneck=is_bottleneck)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(("width", "dimension"), [(0.25, 128), (0.5, 256), (2.0, 1024)])
def test_width_scales_the_features(width: float, dimension: int):
    network = ResNet("resnet18", width=width).eval()

    features = network.features(torch.zeros(2, 3, 48, 48))

    assert features.shape == (2, dimension)
    assert network.dimension == dimension


def test_small_stem_keeps_the_resolution():
    network = ResNet("resnet18", width=0.25, stem="small").eval()

    first = network.maxpool(network.conv1(torch.zeros(1, 3, 32, 32)))

    assert first.shape[-2:] == (32, 32)


def test_unknown_architecture_is_refused_by_name():
    with pytest.raises(SettingsError, match="resnet19"):
        ResNet("resnet19")


def test_grouped_normalization_equals_normalizing_each_group():
    torch.manual_seed(0)
    images = torch.randn(12, 4, 5, 5)
    grouped, plain = GroupedBatchNorm2d(4), torch.nn.BatchNorm2d(4)
    grouped.groups = 3

    output = grouped(images)

    for group in range(3):
        torch.testing.assert_close(output[group::3], plain(images[group::3]))


def test_grouped_normalization_keeps_the_mean_of_the_groups_statistics():
    torch.manual_seed(0)
    images = torch.randn(8, 2, 3, 3) + 5.0
    grouped = GroupedBatchNorm2d(2)
    grouped.groups = 2

    grouped(images)

    expected = 0.1 * torch.stack([images[g::2].mean(dim=(0, 2, 3)) for g in range(2)]).mean(0)
    torch.testing.assert_close(grouped.running_mean, expected)


def test_a_batch_that_does_not_divide_into_groups_is_refused():
    grouped = GroupedBatchNorm2d(2)
    grouped.groups = 3

    with pytest.raises(SettingsError, match="batch of 8"):
        grouped(torch.zeros(8, 2, 3, 3))

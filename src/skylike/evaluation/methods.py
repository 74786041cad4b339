"""What turns images into vectors: encoders, and the baselines that they must exceed."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from skylike.embeddings.checkpoint import file_sha256, load_encoder
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.heads import build_network
from skylike.embeddings.recipe import TrainRecipe
from skylike.errors import SettingsError

Layer = Literal["features", "projection"]
LAYERS: tuple[Layer, ...] = ("features", "projection")

Array = npt.NDArray[Any]
Extract = Callable[[Array, str], Sequence[Array]]
"""Takes pixels (b, 3, 152, 152) and their kind; gives one array (b, ...) for each method."""


def _as_it_is(values: Array) -> Array:
    return values


@dataclass(frozen=True)
class Method:
    """One way to compare images: a row of the table.

    Attributes
    ----------
    name
        What the table calls it.
    kind
        ``"encoder"`` or ``"baseline"``.
    about
        What it is, as plain values for JSON.
    finish
        Turns what was extracted of all images into vectors (n, d) float16, as
        :func:`skylike.evaluation.similar.as_stored` makes them.
    """

    name: str
    kind: Literal["encoder", "baseline"]
    about: Mapping[str, object] = field(default_factory=dict)
    finish: Callable[[Array], Array] = _as_it_is


@dataclass(frozen=True)
class Extractor:
    """One pass over the images that serves one or several methods."""

    methods: tuple[Method, ...]
    extract: Extract


def encoder_extractor(
    encoder: TrainedEncoder,
    *,
    name: str,
    file: Path | None = None,
    layers: Sequence[Layer] = ("features",),
    invert_pictures: bool = False,
) -> Extractor:
    """Compare by the embeddings of an encoder.

    Parameters
    ----------
    name
        What it is called in the answer.
    file
        Where it was read from.
    invert_pictures
        Let an encoder of flux take pictures, by the approximate inverse of the rendering.

    Raises
    ------
    SettingsError
        The encoder has no projection, and it is asked for.
    """
    for layer in layers:
        encoder.dimension_of(layer)
    about = {
        "name": name,
        "file": None if file is None else str(file),
        "sha256": None if file is None else file_sha256(file),
        **_network_facts(encoder.recipe),
    }
    methods = tuple(
        Method(
            name if layer == "features" else f"{name} ({layer})",
            "encoder",
            {**about, "layer": layer},
        )
        for layer in layers
    )
    return Extractor(methods, _network_pass(encoder, layers, invert_pictures=invert_pictures))


def load_extractor(
    file: Path,
    *,
    name: str,
    layers: Sequence[Layer],
    device: str,
    sha256: str | None = None,
    invert_pictures: bool = False,
) -> tuple[TrainedEncoder, Extractor]:
    """Read an encoder's file and compare by it.

    Raises
    ------
    CheckpointError
        The file is missing or no encoder of ours.
    """
    encoder = load_encoder(file, device=device, sha256=sha256)
    return encoder, encoder_extractor(
        encoder, name=name, file=file, layers=layers, invert_pictures=invert_pictures
    )


def untrained_extractor(
    encoder: TrainedEncoder, *, seed: int, invert_pictures: bool = False
) -> Extractor:
    """Compare by the features of the network of an encoder with the random weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(encoder.recipe)
    network.to(encoder.device).eval().requires_grad_(requires_grad=False)
    untrained = dataclasses.replace(encoder, network=network)
    facts = _network_facts(encoder.recipe)
    name = f"untrained {facts['architecture']}"
    if facts["width"] != 1:
        name += f" x{facts['width']:g}"
    about = {**facts, "recipe": None, "layer": "features", "seed": seed}
    return Extractor(
        (Method(name, "baseline", about),),
        _network_pass(untrained, ("features",), invert_pictures=invert_pictures),
    )


def network_key(encoder: TrainedEncoder) -> tuple[object, ...]:
    """Return what decides the untrained network of an encoder: equal keys, equal networks."""
    recipe = encoder.recipe
    return (recipe.architecture, recipe.width, recipe.stem, encoder.preprocessing)


def _network_facts(recipe: TrainRecipe) -> dict[str, object]:
    return {
        "architecture": recipe.architecture,
        "width": recipe.width,
        "input": recipe.input,
        "recipe": recipe.name,
    }


def _network_pass(
    encoder: TrainedEncoder, layers: Sequence[Layer], *, invert_pictures: bool
) -> Extract:
    def extract(pixels: Array, kind: str) -> list[Array]:
        if kind == "rgb" and encoder.input == "flux" and not invert_pictures:
            raise SettingsError(
                "this encoder sees fluxes and the images are pictures; give FITS or HDF5 cutouts, "
                "use an encoder with rgb input, or add --invert-pictures for an approximate answer"
            )
        seen = np.ascontiguousarray(pixels[..., encoder.window, encoder.window])  # (b, 3, w, w)
        found = encoder.embed_windows(torch.from_numpy(seen), kind, layers)
        return [found[layer].cpu().numpy().astype(np.float16) for layer in layers]

    return extract

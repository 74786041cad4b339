"""Images and augmented copies of them through a network: both layers, one pass over the files."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skylike.embeddings.augmentation.draws import draw
from skylike.embeddings.augmentation.recipe import AugmentRecipe
from skylike.embeddings.augmentation.views import apply
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.prefetch import prefetch
from skylike.embeddings.preprocess import normalize, to_canvas, to_colors, to_input
from skylike.images.index import CutoutIndex
from skylike.images.read import iter_pixels

BATCH_IMAGES: Final = 64
"""Images that go through the network together."""

ALL: Final = "all together"

NOTHING: Final = AugmentRecipe(
    extinction=False,
    rotation=False,
    scale_min=1.0,
    scale_max=1.0,
    psf_blur=False,
    jitter_pix=0.0,
    noise=False,
)
"""A recipe that changes no image."""

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "extinction": ("extinction",),
    "flips and rotation": ("rotation",),
    "size": ("scale_min", "scale_max"),
    "PSF blur": ("psf_blur",),
    "further blur": ("blur_max_pix",),
    "jitter": ("jitter_pix",),
    "noise": ("noise",),
    "foreground": ("foreground",),
    "aperture": ("aperture_min_pix", "aperture_max_pix"),
    "color": ("color",),
    "brightness": ("brightness",),
    "color drop": ("color_drop",),
}
"""Fields of a recipe that switch one augmentation on or off; others say how it is drawn."""


Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Variant:
    """A way to make copies."""

    recipe: str
    """Name of the recipe."""

    augmentation: str
    """One of :data:`PARTS`, alone, or :data:`ALL`."""

    choices: AugmentRecipe


def variants(recipes: Mapping[str, AugmentRecipe]) -> list[Variant]:
    """Return what is tested: each recipe whole, then each of its augmentations alone."""
    found = []
    for name, recipe in recipes.items():
        found.append(Variant(name, ALL, recipe))
        neutral = {field: getattr(NOTHING, field) for fields in PARTS.values() for field in fields}
        off = dataclasses.replace(recipe, **neutral)
        for part, fields in PARTS.items():
            chosen = {field: getattr(recipe, field) for field in fields}
            alone = dataclasses.replace(off, **chosen)
            if alone != off:
                found.append(Variant(name, part, alone))
    return found


@dataclass(frozen=True, eq=False)
class EmbeddedPart:
    """Embeddings of a batch of images.

    Attributes
    ----------
    n_read
        Images read; those that show nothing are left out of what follows.
    originals
        By layer, (b, d).
    is_sample
        (b,) of which of them copies were made.
    copies
        For each variant, by layer, (s, c, d).
    """

    n_read: int
    originals: dict[str, Vectors]
    is_sample: npt.NDArray[np.bool_]
    copies: list[dict[str, Vectors]]


def embed_with_copies(
    index: CutoutIndex,
    is_sample: npt.NDArray[np.bool_],
    encoder: TrainedEncoder,
    tested: Sequence[Variant],
    *,
    copies: int,
    seed: int,
) -> Iterator[EmbeddedPart]:
    """Embed images (n,), and ``copies`` augmented copies of each of a sample, batch after batch.

    Raises
    ------
    ImageFileError
        A file of images is gone or damaged.
    """
    # Each variant draws from a stream of its own: one more of them changes none of the others.
    streams = [
        torch.Generator(encoder.device).manual_seed(seed * 1000 + number)
        for number in range(len(tested))
    ]
    for kind in ("flux", "rgb"):
        images = iter_pixels(index, batch_size=BATCH_IMAGES, kind=kind)
        for positions, pixels in prefetch(images):
            canvas = to_canvas(
                torch.from_numpy(pixels).to(encoder.device), kind, encoder.preprocessing
            )
            shows = torch.isfinite(canvas).flatten(1).any(dim=1)  # (b,)
            canvas, positions = canvas[shows], positions[shows.cpu().numpy()]  # noqa: PLW2901
            chosen = is_sample[positions]
            yield EmbeddedPart(
                n_read=len(shows),
                originals=both_layers(encoder, to_input(canvas, kind, encoder.preprocessing)),
                is_sample=chosen,
                copies=[
                    _copies(
                        index.take(positions[chosen]),
                        canvas[torch.from_numpy(chosen).to(canvas.device)],
                        kind,
                        encoder,
                        variant.choices,
                        copies,
                        stream,
                    )
                    for variant, stream in zip(tested, streams, strict=True)
                ],
            )


def _copies(
    index: CutoutIndex,
    canvas: torch.Tensor,
    kind: str,
    encoder: TrainedEncoder,
    choices: AugmentRecipe,
    n: int,
    generator: torch.Generator,
) -> dict[str, Vectors]:
    """Return embeddings of n augmented copies of each canvas: by layer, (s, n, d)."""
    ebv = torch.from_numpy(index.ebv).to(encoder.device)
    psf_size = torch.from_numpy(index.psf_size).to(encoder.device)
    made = []
    for _ in range(n):
        draws = draw(ebv, psf_size, choices, generator=generator)
        view = apply(canvas, draws, encoder.preprocessing, kind=kind, generator=generator)
        colors = to_colors(view, kind, encoder.preprocessing)
        made.append(both_layers(encoder, normalize(colors, encoder.preprocessing)))
    return {layer: np.stack([m[layer] for m in made], axis=1) for layer in made[0]}


def both_layers(encoder: TrainedEncoder, images: torch.Tensor) -> dict[str, Vectors]:
    """Return features and projection of the network's inputs (b, 3, h, w) in one pass: (b, d).

    An encoder without a projection, such as an imported one, gives features alone.
    """
    with torch.inference_mode():
        pooled = encoder.network.pooled(images)
        features = encoder.network.features_of(images, pooled)  # (b, d)
        layers = {"features": features}
        if any(isinstance(module, nn.Linear) for module in encoder.network.fc.modules()):
            layers["projection"] = encoder.network.fc(pooled)  # (b, p)
    return {name: rows.float().cpu().numpy() for name, rows in layers.items()}

"""Pictures in and out of a search: picture files as examples, and what goes on a contact sheet."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine

from skylike.embeddings.store import EncoderRecord
from skylike.images.pictures import Picture, read_picture
from skylike.images.read import FLUX_BANDS, read_pixels
from skylike.images.render import render_rgb, to_uint8
from skylike.images.resample import coverage_of
from skylike.progress import SILENT, Progress
from skylike.search.examples import Example, Image, normalize
from skylike.search.result import SearchResult
from skylike.search.store import fetch_cutouts, reading

MAX_SHEET: Final = 200
"""Results on a contact sheet: 201 tiles of 152 pixels are as much as one picture shows."""

MAX_SHEET_EXAMPLES: Final = 24
"""Examples on a contact sheet: two or three rows above the results, of however many there are."""


def embed_pictures(
    paths: Sequence[Path],
    *,
    encoder: EncoderRecord,
    device: str,
    invert_pictures: bool = False,
    progress: Progress = SILENT,
) -> list[Example]:
    """Make examples of picture files.

    Parameters
    ----------
    invert_pictures
        Let an encoder of flux take color pictures by the approximate inverse of the rendering; the
        label of such an example says so.

    Raises
    ------
    ImageFileError
        A file cannot be read as a picture.
    CheckpointError
        The weights of the encoder are gone, damaged or others.
    SettingsError
        The device is not there, the encoder does not take this kind of picture, or the network
        makes nothing of it (a zero vector).
    """
    pictures = [read_picture(path) for path in paths]  # bad files before slow weights
    from skylike.embeddings.checkpoint import (  # noqa: PLC0415 - torch takes seconds to import
        load_encoder,
    )

    network = load_encoder(encoder.network_file, device=device, sha256=encoder.checkpoint_sha256)
    examples = []
    with progress.task("Embed the query", total=len(pictures), unit="images") as task:
        for path, picture in zip(paths, pictures, strict=True):
            (vector,) = network.embed(
                picture.pixels,
                picture.kind,
                layer=encoder.layer,
                invert_pictures=invert_pictures,
            )  # (1, d)
            unit = normalize(vector, label=f"the embedding of {path}", dimension=encoder.dimension)
            inverted = picture.kind == "rgb" and encoder.input == "flux"
            label = f"image {path}" + (" (color inverted to flux, approximate)" if inverted else "")
            image = to_color(picture.pixels, picture.kind)
            examples.append(
                Example(
                    label,
                    unit,
                    picture.ra,
                    picture.dec,
                    image=image,
                    caption=path.name,
                    note=_missing_note(path, picture),
                )
            )
            task.advance()
    return examples


def _missing_note(path: Path, picture: Picture) -> str | None:
    """Say which pixels of an image were not observed, which ``images add`` calls incomplete."""
    if picture.kind == "rgb":
        return None
    missing = [
        f"{_percent(1 - covered)} of {band}"
        for band, covered in zip(FLUX_BANDS, coverage_of(picture.pixels).tolist(), strict=True)
        if covered < 1
    ]
    if not missing:
        return None
    return f"image {path} is incomplete: without pixels in {', '.join(missing)}"


def _percent(share: float) -> str:
    """Write a share above 0: neither 0 % of some pixels nor 100 % of not quite all."""
    if share < 0.01:
        return "under 1 %"
    return f"{math.floor(100 * share + 1e-9)} %"


def to_color(pixels: npt.NDArray[np.float32] | npt.NDArray[np.uint8], kind: str) -> Image:
    """Turn (3, h, w) flux or color into (h, w, 3) color, as the Legacy Surveys' viewer does."""
    # Row 0 of flux is south, as in FITS; row 0 of a picture is the top, north.
    color = pixels if kind == "rgb" else to_uint8(render_rgb(pixels))[:, ::-1]
    return np.ascontiguousarray(np.moveaxis(color, 0, -1), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Tiles:
    """What :func:`skylike.interfaces.sheet.make_sheet` takes: the query first, then the results.

    Attributes
    ----------
    images
        (h, w, 3) uint8 each, None where there is none: a raw vector, a galaxy without a cutout.
    captions
        As many; lines are separated by newlines.
    title
        The query in words.
    queries
        How many of the first images are the query.
    """

    images: list[Image | None]
    captions: list[str]
    title: str
    queries: int


def fetch_tiles(
    engine: Engine,
    examples: Sequence[Example],
    result: SearchResult,
    *,
    example_word: str = "query",
) -> Tiles:
    """Fetch the pictures of the first examples and the first results, with captions.

    At most :data:`MAX_SHEET_EXAMPLES` and :data:`MAX_SHEET` of them.

    Parameters
    ----------
    example_word
        What an example is called in its caption.

    Raises
    ------
    ImageFileError
        A file of cutouts is gone or damaged.
    """
    rows = result.rows.slice(0, MAX_SHEET).to_pylist()
    shown = examples[:MAX_SHEET_EXAMPLES]
    wanted = [e.galaxy_id for e in shown if e.galaxy_id is not None]
    wanted += [row["galaxy_id"] for row in rows]
    pictures = _fetch_pictures(engine, wanted, encoder=result.provenance.encoder)
    images: list[Image | None] = []
    captions = []
    for example in shown:
        stored = None if example.galaxy_id is None else pictures.get(example.galaxy_id)
        images.append(stored if example.image is None else example.image)
        captions.append(f"{example_word}\n{example.caption or example.label}")
    for row in rows:
        images.append(pictures.get(row["galaxy_id"]))
        captions.append(_caption(row))
    provenance = result.provenance
    limits = [f"where {provenance.cut}"] if provenance.cut else []
    limits += [f"within {provenance.cone:short}"] if provenance.cone else []
    title = " ".join([provenance.query, *limits])
    return Tiles(images, captions, title, queries=len(shown))


def _caption(row: Mapping[str, Any]) -> str:
    """Say below a picture what ranks it, and which galaxy it is."""
    magnitude = row.get("mag_r")
    brightness = "" if magnitude is None else f"  r {magnitude:.1f}"
    if "reason" in row:
        # A suggestion is worth what its score says; its similarity is beside the point.
        worth = f"{row['reason']}  {row['score']:.2f}"
    elif "rarity" in row:
        worth = f"rarity {row['rarity']:.2f}"
    else:
        worth = f"{row['similarity']:.3f}"
    place = f"query {row['query']}  {row['rank']}" if "query" in row else f"{row['rank']}"
    return f"{place}  {worth}\ngalaxy {row['galaxy_id']}{brightness}"


def _fetch_pictures(engine: Engine, galaxy_ids: Sequence[int], *, encoder: str) -> dict[int, Image]:
    with reading(engine, timeout_s=None) as connection:
        index = fetch_cutouts(connection, galaxy_ids=galaxy_ids, encoder=encoder)
    pictures = {}
    for kind in ("flux", "rgb"):
        of_kind = [n for n in range(len(index)) if index.files[int(index.file_id[n])].kind == kind]
        if of_kind:
            pixels = read_pixels(index, of_kind).pixels  # (b, 3, h, w)
            for place, image in zip(of_kind, pixels, strict=True):
                pictures[int(index.galaxy_id[place])] = to_color(image, kind)
    return pictures

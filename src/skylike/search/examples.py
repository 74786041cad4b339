"""From examples to one direction in the space of the embeddings, and to places on the sky."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.errors import SettingsError
from skylike.search.separate import unit_vectors

COMBINATION: Final = "mean of the unit vectors of the examples"
"""How several examples become one. The mean direction maximizes the sum of the cosines to the
examples, so the ranking is that of the mean similarity; it forgives one bad example less than
taking the best match would, and keeps the answer one nearest-neighbor problem, which can be
certified exact."""

Image = npt.NDArray[np.uint8]
"""A picture for people, (h, w, 3) R G B."""

CANCELED: Final = 1e-6
"""Examples whose unit vectors sum to less than this part of their number point nowhere."""


@dataclass(frozen=True, eq=False)
class Example:
    """One example, looked up.

    Attributes
    ----------
    label
        What it is, for people: ``galaxy 42``, ``image ring.jpg``.
    vector
        (d,) float64 of unit length.
    ra, dec
        ICRS degrees, or None where the position is unknown.
    galaxy_id
        The galaxy that it is, or None.
    image
        The picture that it was made from, for people; None for a galaxy, whose cutout is in the
        database.
    stored
        The vector as the database holds it, (d,) float16 of nearly unit length; None for others.
    caption
        A shorter label for below a picture, or None.
    """

    label: str
    vector: npt.NDArray[np.float64]
    ra: float | None = None
    dec: float | None = None
    galaxy_id: int | None = None
    image: Image | None = None
    stored: npt.NDArray[np.float16] | None = None
    caption: str | None = None


@dataclass(frozen=True, eq=False)
class Target:
    """What galaxies are compared with.

    Attributes
    ----------
    vector
        (d,) float64 of unit length.
    anchors
        Known positions of the examples as points on the unit sphere, (a, 3).
    galaxy_ids
        Galaxies among the examples; no result may be one of them.
    half
        What the server compares with, (d,) float16: the stored vector itself where there is one.
    rounding
        Distance between the directions of ``half`` and ``vector``: no cosine changes by more than
        that.
    """

    vector: npt.NDArray[np.float64]
    anchors: npt.NDArray[np.float64]
    galaxy_ids: tuple[int, ...]
    half: npt.NDArray[np.float16]
    rounding: float


def normalize(
    vector: npt.NDArray[np.floating], *, label: str, dimension: int
) -> npt.NDArray[np.float64]:
    """Check a vector from outside and scale it to unit length.

    Raises
    ------
    SettingsError
        It has another dimension than the encoder, is not finite, or is zero.
    """
    if vector.shape != (dimension,):
        raise SettingsError(
            f"{label} has {vector.size} entries, the encoder's embeddings have {dimension}; "
            "name the encoder that it comes from with --encoder"
        )
    wide = vector.astype(np.float64)
    if not np.isfinite(wide).all():
        raise SettingsError(f"{label} holds NaN or infinity; no direction can be made of it")
    largest = np.abs(wide).max()
    if largest == 0:
        raise SettingsError(f"{label} is zero; no direction can be made of it")
    # By a power of two, which rounds nothing, so that squares neither overflow nor vanish.
    wide = np.ldexp(wide, -int(np.frexp(largest)[1]))
    unit: npt.NDArray[np.float64] = wide / np.sqrt((wide * wide).sum())
    return unit


def unique(examples: Sequence[Example]) -> list[Example]:
    """Leave out examples whose galaxy was there before: it would count twice in the mean."""
    seen: set[int] = set()
    kept = []
    for example in examples:
        if example.galaxy_id is None or example.galaxy_id not in seen:
            kept.append(example)
        if example.galaxy_id is not None:
            seen.add(example.galaxy_id)
    return kept


def combine(examples: Sequence[Example]) -> Target:
    """Turn examples, of which no two are the same galaxy, into one target by :data:`COMBINATION`.

    Raises
    ------
    SettingsError
        The examples cancel each other.
    """
    if len(examples) == 1:
        vector = examples[0].vector
    else:
        total = np.sum([example.vector for example in examples], axis=0)
        length = float(np.linalg.norm(total))
        if length < CANCELED * len(examples):
            raise SettingsError(
                "the examples point in opposite directions and cancel each other; "
                "search by fewer of them"
            )
        vector = total / length
    known = [(e.ra, e.dec) for e in examples if e.ra is not None and e.dec is not None]
    positions = np.array(known, dtype=np.float64).reshape(-1, 2)
    stored = examples[0].stored if len(examples) == 1 else None
    half = vector.astype(np.float16) if stored is None else stored
    wide = half.astype(np.float64)
    return Target(
        vector=vector,
        anchors=unit_vectors(positions[:, 0], positions[:, 1]),
        galaxy_ids=tuple(e.galaxy_id for e in examples if e.galaxy_id is not None),
        half=half,
        rounding=float(np.linalg.norm(wide / np.linalg.norm(wide) - vector)),
    )

"""From examples and rejects to one direction in the space of the embeddings, and to the sky.

Whatever a query names ends in one unit vector, and galaxies are ranked by their cosine with it:
that keeps the answer one nearest-neighbor problem, which can be certified exact.

One example is that vector itself. Of several, the mean of their unit vectors is the start (it
maximizes the sum of the cosines to them), and two corrections are added to it, each a difference of
means divided by how much galaxies vary along each principal axis, as a linear discriminant divides
(Fisher 1936, Annals of Eugenics 7, 179; from one or few examples against the statistics of all:
Hariharan, Malik and Ramanan 2012, ECCV, "Discriminative decorrelation for clustering and
classification"):

- from the mean of all galaxies to that of the examples: what they have in common and others not;
- from the mean of the rejects to that of the examples: what tells these from those.

Their weights grow with how many examples and rejects there are to tell from. Plain subtraction of
the rejects (Rocchio 1971) goes wrong because rejects are near the examples: what both share is
lost, and little but noise is left. docs/decisions/0004 has the comparison.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.embeddings.compact import CompactBasis
from skylike.errors import EmptyStageError, SettingsError
from skylike.search.separate import unit_vectors

EXAMPLES_WEIGHT: Final = 2.0
"""Weight of the first correction when examples are many; from our measurement, like the others."""

REJECTS_WEIGHT: Final = 1.0
"""Weight of the second correction when rejects are many."""

HALF_WEIGHT_AT: Final = 10
"""Examples beyond the first, or rejects, at which half of a weight is reached."""

SAME_DIRECTION: Final = 1e-9
"""A target nearer than this to a stored embedding is that embedding."""

Image = npt.NDArray[np.uint8]
"""A picture for people, (h, w, 3) R G B."""

CANCELED: Final = 1e-6
"""A mean of unit vectors shorter than this points nowhere."""


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
    compact
        Its compact vector as the database holds it, (m + 1,) float16; None for others.
    note
        What should be known of it, a sentence without a period, or None.
    """

    label: str
    vector: npt.NDArray[np.float64]
    ra: float | None = None
    dec: float | None = None
    galaxy_id: int | None = None
    image: Image | None = None
    stored: npt.NDArray[np.float16] | None = None
    caption: str | None = None
    compact: npt.NDArray[np.float16] | None = None
    note: str | None = None


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
    rejected_ids
        Galaxies among the rejects; no result may be one of these either.
    words
        What the vector is, for people.
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
    rejected_ids: tuple[int, ...] = ()
    words: str = "the example"

    @property
    def excluded_ids(self) -> tuple[int, ...]:
        """Galaxies that no result may be."""
        return self.galaxy_ids + self.rejected_ids


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
            "search with the encoder that it comes from"
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


def combine(
    examples: Sequence[Example],
    rejects: Sequence[Example] = (),
    basis: CompactBasis | None = None,
) -> Target:
    """Turn examples and rejects, of which no two are the same galaxy, into one target.

    Parameters
    ----------
    basis
        Mean and principal axes of all galaxies; None where the encoder has none yet: several
        examples then become their mean alone, and rejects are refused.

    Raises
    ------
    SettingsError
        The examples cancel each other.
    EmptyStageError
        There are rejects and no basis.
    """
    if rejects and basis is None:
        raise EmptyStageError(
            "the encoder has no principal axes yet, which rejects need; run `skylike embed`"
        )
    alone = len(examples) == 1 and not rejects
    vector = examples[0].vector if alone else _direction(examples, rejects, basis)
    known = [(e.ra, e.dec) for e in examples if e.ra is not None and e.dec is not None]
    positions = np.array(known, dtype=np.float64).reshape(-1, 2)
    stored = examples[0].stored if alone else None
    half = vector.astype(np.float16) if stored is None else stored
    wide = half.astype(np.float64)
    return Target(
        vector=vector,
        anchors=unit_vectors(positions[:, 0], positions[:, 1]),
        galaxy_ids=tuple(e.galaxy_id for e in examples if e.galaxy_id is not None),
        half=half,
        rounding=float(np.linalg.norm(wide / np.linalg.norm(wide) - vector)),
        rejected_ids=tuple(e.galaxy_id for e in rejects if e.galaxy_id is not None),
        words=_words(len(examples), len(rejects), basis),
    )


def _direction(
    examples: Sequence[Example], rejects: Sequence[Example], basis: CompactBasis | None
) -> npt.NDArray[np.float64]:
    center = np.mean([example.vector for example in examples], axis=0)  # (d,)
    length = float(np.linalg.norm(center))
    if length < CANCELED:
        raise SettingsError(
            "the examples point in opposite directions and cancel each other; "
            "search by fewer of them"
        )
    total = center / length
    if basis is not None and len(examples) > 1:
        weight = EXAMPLES_WEIGHT * _share(len(examples) - 1)
        total = total + weight * _discriminant(center - basis.mean, basis)
    if basis is not None and rejects:
        away = np.mean([reject.vector for reject in rejects], axis=0)  # (d,)
        weight = REJECTS_WEIGHT * _share(len(rejects))
        total = total + weight * _discriminant(center - away, basis)
    length = float(np.linalg.norm(total))
    if length < CANCELED:
        raise SettingsError(
            "the examples and the rejects cancel each other; search by fewer of them"
        )
    unit: npt.NDArray[np.float64] = total / length
    return unit


def _share(count: int) -> float:
    return count / (count + HALF_WEIGHT_AT)


def _discriminant(
    difference: npt.NDArray[np.float64], basis: CompactBasis
) -> npt.NDArray[np.float64]:
    """Divide a difference (d,) by the variance along each axis, and scale it to unit length.

    A ridge of the mean variance keeps axes along which galaxies hardly vary from taking over. What
    lies off the axes is left out: it helps little, and the bounds of an exact search are the wider
    the more of a query does. Zero where nothing is left.
    """
    variance = basis.explained_variance  # (m,)
    ridge = float(variance.mean())
    if ridge <= 0:
        return np.zeros_like(difference)
    along = (basis.directions @ difference) / (variance + ridge)  # (m,)
    direction: npt.NDArray[np.float64] = along @ basis.directions  # (d,)
    length = float(np.linalg.norm(direction))
    return direction / length if length > CANCELED else np.zeros_like(difference)


def _words(n_examples: int, n_rejects: int, basis: CompactBasis | None) -> str:
    if n_examples == 1 and not n_rejects:
        return "the example"
    words = "the example" if n_examples == 1 else f"the mean of the {n_examples} examples"
    if n_rejects:
        rejects = "the reject" if n_rejects == 1 else f"the {n_rejects} rejects"
        return f"{words}, turned away from {rejects}"
    return words if basis is None else f"{words}, turned away from that of all galaxies"

"""The three questions of the demo: an odd galaxy, a cut and a cone for each."""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from skylike.cuts.coordinates import Cone
from skylike.errors import EmptyStageError


@dataclass(frozen=True)
class Question:
    """What an astronomer with one odd galaxy would ask.

    Attributes
    ----------
    kind
        Class of the galaxy in the simulation's truth table.
    words
        The question in words.
    where
        The cut.
    radius
        Radius of the cone around the galaxy, degrees.
    """

    kind: str
    words: str
    where: str
    radius: float


QUESTIONS: Final = (
    Question(
        "ring",
        "A ring galaxy: more like this, bluer than 0.9 in g - r, within 4 degrees",
        "mag_r < 20 AND mag_g - mag_r < 0.9",
        4.0,
    ),
    Question(
        "merger",
        "A merger: more like this, between 15 and 19.5 in z, within 5 degrees",
        "mag_z BETWEEN 15 AND 19.5",
        5.0,
    ),
    Question(
        "lens",
        "A strong lens: more like this, red in r - z, within 6 degrees",
        "mag_r - mag_z > 0.4",
        6.0,
    ),
)


def pick_example(truth: pa.Table, kind: str) -> tuple[int, float, float]:
    """Take the galaxy of a class that a quarter of its class outshines: well seen, not extreme.

    The choice knows magnitudes only, so that it does not flatter the answer.

    Parameters
    ----------
    truth
        Columns galaxy_id, ra, dec, mag_z, class.

    Returns
    -------
    tuple
        galaxy_id, ra, dec.

    Raises
    ------
    EmptyStageError
        No galaxy of the class has an embedding.
    """
    members = truth.filter(pc.equal(truth["class"], kind)).sort_by(
        [("mag_z", "ascending"), ("galaxy_id", "ascending")]
    )
    if not members.num_rows:
        raise EmptyStageError(
            f"no galaxy of class {kind} has an embedding; run the demo with more --galaxies"
        )
    (chosen,) = members.slice(members.num_rows // 4, 1).to_pylist()
    return chosen["galaxy_id"], chosen["ra"], chosen["dec"]


def cone_around(ra: float, dec: float, question: Question) -> Cone:
    """Return the question's cone around a position."""
    return Cone(ra=ra, dec=dec, radius=question.radius)

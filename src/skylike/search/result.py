"""What a search gives back: rows, what their columns mean, and how they were found."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa

from skylike.cuts.coordinates import Cone
from skylike.database.comments import ColumnMeaning

SUGGEST: Final = "suggest"
"""Route of an answer of ``skylike label suggest``, which ranks by a classifier, not by likeness."""

RAREST: Final = "rarest"
"""Route of an answer by rarity, and how its query begins."""

TO_INSPECT: Final = "to inspect next"
"""How the query of such an answer begins, as others begin with ``least like`` or an example."""


@dataclass(frozen=True)
class Provenance:
    """How a result was found: enough to judge it, and to ask again."""

    query: str
    """The examples, as a person would say them: ``galaxy 42``, ``position 199.33 20.64``."""

    encoder: str
    """Name of the encoder whose embeddings were compared."""

    run_id: int | None
    """Published neighbor run of the encoder, or None; only the routes ``list`` and ``rarest`` use
    it."""

    route: str
    """How the rows were reached: ``filter`` (cut first), ``list`` (neighbor list walked) or
    ``fast`` (approximate index); :data:`SUGGEST` for what to label next, :data:`RAREST` by the
    rarity that came with a neighbor run."""

    exact: bool
    """Is this provably the same answer as comparing every galaxy?"""

    matched: int
    """Embedded galaxies that satisfied the cut and the cone, as far as they were counted."""

    k: int
    """Rows asked for."""

    cut: str | None
    """The SQL cut as it was typed, or None."""

    cone: Cone | None
    """Region that results lie in, or None for the whole sky."""

    min_separation_arcsec: float
    """Results closer on the sky than this to the query or to a better result were dropped."""

    note: str | None
    """Why there are fewer than ``k`` rows, and what examples lack, or None."""

    stale: str | None
    """What changed since the embeddings or lists were made, or None."""

    sql: str
    """The statement that an analyst would type for the same answer."""

    version: str
    """Version of skylike."""

    time: datetime
    """When the answer was made, UTC."""

    matched_is_bound: bool = False
    """Did more than ``matched`` satisfy them? Counting stopped there."""

    expected_recall: float | None = None
    """Of an approximate answer, the share of the exact one to expect; None where exact."""

    offset: int = 0
    """Results of this query before the first row, on earlier pages."""

    definitions: tuple[str, ...] = ()
    """Columns defined for this query only, as they were typed."""


@dataclass(frozen=True)
class SearchResult:
    """The galaxies most like a query, best first."""

    rows: pa.Table
    """One row for each galaxy: rank int32 (from 1), galaxy_id int32, similarity float64 (cosine),
    separation float64 (degrees from the query; null where it has no position), survey string,
    object_id int64, then the other catalog columns. By rarity, there are the columns
    of the view ``neighborhood`` in place of similarity and separation."""

    meanings: Mapping[str, ColumnMeaning]
    """Description, unit and UCD of each column of ``rows``."""

    provenance: Provenance
    """How the rows were found."""

"""What a cut of a search may name: columns of the catalog, derived ones, scores of classifiers."""

from collections.abc import Mapping
from dataclasses import dataclass

from skylike.cuts import GALAXY_KINDS, ColumnKind, Cut, parse_cut
from skylike.cuts.derived import SCORE_PREFIX
from skylike.cuts.syntax import Derived
from skylike.database.comments import ColumnMeaning


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Names beside those of the catalog.

    Attributes
    ----------
    derived
        Derived columns: those that were defined for all, then those of this query only.
    scores
        Classifiers: ``ring`` gives the column ``score_ring``.
    described
        Description and unit of the derived columns that were defined for all.
    bands
        Bands of the surveys that are loaded.
    """

    derived: Mapping[str, Derived]
    scores: frozenset[str]
    described: Mapping[str, ColumnMeaning]
    bands: frozenset[str]

    @property
    def score_columns(self) -> list[str]:
        """Names of the columns of scores, in order."""
        return [SCORE_PREFIX + name for name in sorted(self.scores)]

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """The columns that a cut may name, and what they hold."""
        return dict(GALAXY_KINDS) | dict.fromkeys(self.score_columns, ColumnKind.NUMBER)

    def parse(self, text: str | None) -> Cut | None:
        """Read a cut, None where there is none.

        Raises
        ------
        CutError
            It is not understood or not allowed.
        """
        return None if text is None else parse_cut(text, self.kinds, self.derived)

    def meanings(self) -> dict[str, ColumnMeaning]:
        """Say what the derived columns and scores mean."""
        derived = {
            name: self.described.get(name, ColumnMeaning(column.text, None, ""))
            for name, column in self.derived.items()
        }
        scores = {
            SCORE_PREFIX + name: ColumnMeaning(
                f"Score of the classifier {name}", None, "stat.likelihood"
            )
            for name in self.scores
        }
        return derived | scores

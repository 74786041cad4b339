"""Reads what a cut may name beside the columns of the catalog."""

from collections.abc import Sequence

from sqlalchemy import Connection

from skylike.catalog.store_derived import fetch_derived
from skylike.cuts import GALAXY_KINDS, ColumnKind
from skylike.cuts.derived import parse_definition
from skylike.labels.store import fetch_score_names
from skylike.search.store_statements import SCORE_PREFIX
from skylike.search.vocabulary import Vocabulary


def fetch_vocabulary(connection: Connection, definitions: Sequence[str]) -> Vocabulary:
    """Fetch derived columns and classifiers, and add the columns defined for one query.

    Raises
    ------
    CutError
        A definition is not understood, or its name is taken.
    """
    scores = fetch_score_names(connection)
    kinds = dict(GALAXY_KINDS) | {SCORE_PREFIX + name: ColumnKind.NUMBER for name in scores}
    derived = dict(fetch_derived(connection))
    for text in definitions:
        made = parse_definition(text, kinds, derived)
        derived[made.name] = made
    return Vocabulary(derived, frozenset(scores), {})

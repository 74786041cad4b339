"""Reads what a cut may name beside the columns of the catalog."""

from collections.abc import Sequence

from sqlalchemy import Connection

from skylike.catalog.store_derived import fetch_definitions, understood
from skylike.cuts import GALAXY_KINDS, ColumnKind, check_derived, parse_definition
from skylike.cuts.derived import SCORE_PREFIX
from skylike.labels.store import fetch_score_names
from skylike.search.store_statements import G, cut_columns
from skylike.search.vocabulary import Vocabulary


def fetch_vocabulary(connection: Connection, definitions: Sequence[str]) -> Vocabulary:
    """Fetch derived columns and classifiers, and add the columns defined for one query.

    Raises
    ------
    CutError
        A definition is not understood or nests too many functions, or its name is taken.
    """
    scores = frozenset(fetch_score_names(connection))
    kinds = dict(GALAXY_KINDS) | {SCORE_PREFIX + name: ColumnKind.NUMBER for name in scores}
    kept = fetch_definitions(connection)
    derived = understood(kept)
    for text in definitions:
        made = parse_definition(text, kinds, derived)
        check_derived(made, cut_columns(G, scores))
        derived[made.name] = made
    return Vocabulary(derived, scores, {column.name: column.meaning for column in kept})

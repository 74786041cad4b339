"""Reads what a cut may name beside the columns of the catalog."""

from collections.abc import Sequence

from sqlalchemy import Connection

from skylike.catalog.store_derived import fetch_definitions, understood
from skylike.catalog.store_labels import check_labels
from skylike.catalog.store_reading import fetch_bands
from skylike.cuts import Cut, check_derived, parse_definition
from skylike.labels.store import fetch_score_names
from skylike.search.store_statements import G, cut_columns
from skylike.search.vocabulary import Vocabulary


def fetch_vocabulary(connection: Connection, definitions: Sequence[str]) -> Vocabulary:
    """Fetch derived columns, classifiers and bands, and add the columns defined for one query.

    Raises
    ------
    CutError
        A definition is not understood or nests too many functions, or its name is taken.
    """
    scores = frozenset(fetch_score_names(connection))
    kept = fetch_definitions(connection)
    derived = understood(kept)
    described = {column.name: column.meaning for column in kept}
    words = Vocabulary(derived, scores, described, fetch_bands(connection))
    for text in definitions:
        made = parse_definition(text, words.kinds, derived)
        check_derived(made, cut_columns(G, scores))
        derived[made.name] = made
    return words


def parse_where(connection: Connection, words: Vocabulary, text: str | None) -> Cut | None:
    """Read a cut, None where there is none, and see that the labels that it names are there.

    Raises
    ------
    CutError
        It is not understood or not allowed.
    NotFoundError
        Nothing was said under a label that it names.
    """
    cut = words.parse(text)
    if cut is not None:
        check_labels(connection, cut)
    return cut

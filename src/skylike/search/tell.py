"""What is said about an answer: the query in words, why rows are missing, the SQL to type."""

import math
from collections.abc import Sequence
from typing import Final

from skylike.search.exact import Ranking
from skylike.search.examples import Example, Target
from skylike.search.query import Query
from skylike.search.store_stale import PublishedRun
from skylike.search.store_statements import Scope, typed_sql

NAMED_EXAMPLES: Final = 5
"""Examples, and rejects, that an answer names one by one."""


def in_words(query: Query, examples: Sequence[Example], rejects: Sequence[Example] = ()) -> str:
    """Say what was asked: ``galaxy 42``, ``least like image ring.jpg``."""
    words = _listed(examples, "examples")
    if len(examples) > 1:
        words += " (combined)"
    if rejects:
        words += f"; unlike {_listed(rejects, 'rejects')}"
    return f"least like {words}" if query.least_similar else words


def _listed(examples: Sequence[Example], kind: str) -> str:
    named = "; ".join(example.label for example in examples[:NAMED_EXAMPLES])
    more = len(examples) - NAMED_EXAMPLES
    return f"{len(examples)} {kind}: {named}; and {more} more" if more > 0 else named


def count_in_words(count: int, *, is_bound: bool = False) -> str:
    """Say how many embedded galaxies match; ``is_bound`` where counting stopped there."""
    if is_bound:
        return f"more than {count:,} embedded galaxies"
    return "1 embedded galaxy" if count == 1 else f"{count:,} embedded galaxies"


def exactness_in_words(*, exact: bool, expected_recall: float | None = None) -> str:
    """Say what an answer is worth: proven complete, or how much of the exact one to expect.

    Parameters
    ----------
    expected_recall
        Share of the exact answer, from ``skylike db calibrate``; None before that was run.
    """
    if exact:
        return "exact"
    if expected_recall is None:
        return "approximate, recall unknown; run `skylike db calibrate`"
    # Rounded down: 0.9996 is not 1.
    percent = math.floor(1000 * expected_recall + 1e-9) / 10
    return f"approximate, {percent:g} % of the exact answer expected"


def short_note(
    query: Query, ranking: Ranking, *, matched: int, is_bound: bool = False
) -> str | None:
    """Say why there are fewer rows than asked for; None when there are not.

    Parameters
    ----------
    ranking
        Of all pages up to this one: the first ``query.reach`` results.
    matched
        Galaxies that satisfy the cut and the cone, or with ``is_bound`` a number that they exceed.
    """
    ranked = len(ranking.galaxy_ids)
    if ranked >= query.reach:
        return None
    limits = " and ".join(
        name for name, given in (("cut", query.where), ("cone", query.cone)) if given is not None
    )
    is_one = matched == 1 and not is_bound
    matches = f"match{'es' if is_one else ''} the {limits}" if limits else "besides the query"
    reasons = [f"{count_in_words(matched, is_bound=is_bound)} {matches}"]
    dropped = len(ranking.dropped_ids)
    if dropped:
        reasons.append(
            f"{dropped} within {query.min_separation:g} arcsec of the query or of a better result "
            "(a minimum separation of 0 keeps them)"
        )
    found = max(0, ranked - query.offset)
    after = f" after the first {query.offset}" if query.offset else ""
    return f"{found} of {query.k} found{after}: " + "; ".join(reasons)


def joined_notes(*notes: str | None) -> str | None:
    """Join what there is to say to one note, None where there is nothing."""
    return ". ".join(note for note in notes if note) or None


def stale_note(
    count: int, run: PublishedRun | None, *, encoder: str, is_ranked_by_run: bool = False
) -> str | None:
    """Say what was made from something that has changed since, and what to run; None for nothing.

    Parameters
    ----------
    count
        Galaxies of the answer whose image changed after it was embedded.
    run
        The published neighbor run of the encoder, or None.
    is_ranked_by_run
        Is the answer made of what the run had computed?
    """
    notes = []
    if count:
        notes.append(
            f"{count} of these galaxies had their image changed after it was embedded; "
            f"run `skylike embed --encoder {encoder}`"
        )
    if run is not None and (run.catalog_is_newer or run.embeddings_are_newer):
        newer = " and ".join(
            ["the catalog"] * run.catalog_is_newer + ["the embeddings"] * run.embeddings_are_newer
        )
        need = (
            "of which this answer is made" if is_ranked_by_run else "which this answer did not need"
        )
        notes.append(
            f"{newer} changed after neighbor run {run.run_id} began, {need}; "
            f"run `skylike neighbors build --encoder {encoder}`"
        )
    return ". ".join(notes) or None


def equivalent_sql(
    query: Query,
    scope: Scope,
    examples: Sequence[Example],
    target: Target,
    ranking: Ranking,
) -> str:
    """Write the statement that gives the same galaxies when an analyst types it.

    ``ranking`` is that of all pages up to this one, as for :func:`short_note`.
    """
    dropped = len(ranking.dropped_ids)
    label = " ".join(_listed(examples, "examples").split())
    comments = [f"{'Least' if query.least_similar else 'Most'} like {label}."]
    if len(examples) > 1 or target.rejected_ids:
        comments.append(f"The vector: {target.words}.")
    if dropped:
        comments.append(
            f"The last list of identifiers: within {query.min_separation:g} arcsec of the query "
            "or of a better result."
        )
    is_stored = len(examples) == 1 and examples[0].stored is not None and not target.rejected_ids
    return typed_sql(
        scope,
        example=target.galaxy_ids[0] if is_stored else target.vector,
        least_similar=query.least_similar,
        limit=query.k,
        offset=query.offset,
        dropped=tuple(ranking.dropped_ids.tolist()),
        # Where all that match are listed, zero embeddings would come last.
        has_undefined=len(ranking.galaxy_ids) < query.reach,
        comments=tuple(comments),
    )

"""What is said about an answer: the query in words, why rows are missing, the SQL to type."""

from collections.abc import Sequence

from skylike.search.exact import Ranking
from skylike.search.examples import Example, Target
from skylike.search.query import Query
from skylike.search.store_stale import PublishedRun
from skylike.search.store_statements import Scope, typed_sql


def in_words(query: Query, examples: Sequence[Example]) -> str:
    """Say what was asked: ``galaxy 42``, ``least like image ring.jpg``."""
    words = "; ".join(example.label for example in examples)
    if len(examples) > 1:
        words += " (mean of the examples)"
    return f"least like {words}" if query.least_similar else words


def short_note(query: Query, ranking: Ranking, *, matched: int) -> str | None:
    """Say why there are fewer rows than asked for; None when there are not."""
    found = len(ranking.galaxy_ids)
    if found == query.k:
        return None
    limits = " and ".join(
        name for name, given in (("cut", query.where), ("cone", query.cone)) if given is not None
    )
    galaxies = "1 embedded galaxy" if matched == 1 else f"{matched} embedded galaxies"
    matches = f"match{'es' if matched == 1 else ''} the {limits}"
    reasons = [f"{galaxies} {matches if limits else 'besides the query'}"]
    dropped = len(ranking.dropped_ids)
    if dropped:
        reasons.append(
            f"{dropped} within {query.min_separation:g} arcsec of the query or of a better result "
            "(--min-separation 0 keeps them)"
        )
    undefined = matched - found - dropped
    if undefined:
        reasons.append(f"{undefined} with a zero embedding, which is like nothing")
    return f"{found} of {query.k} found: " + "; ".join(reasons)


def stale_note(count: int, run: PublishedRun | None, *, encoder: str) -> str | None:
    """Say what was made from something that has changed since, and what to run; None for nothing.

    Parameters
    ----------
    count
        Galaxies of the answer whose image changed after it was embedded.
    run
        The published neighbor run of the encoder, or None.
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
        notes.append(
            f"{newer} changed after neighbor run {run.run_id} began, which this answer did not "
            f"need; run `skylike neighbors build --encoder {encoder}`"
        )
    return ". ".join(notes) or None


def equivalent_sql(
    query: Query,
    scope: Scope,
    examples: Sequence[Example],
    target: Target,
    ranking: Ranking,
    *,
    matched: int,
) -> str:
    """Write the statement that gives the same galaxies when an analyst types it."""
    found, dropped = len(ranking.galaxy_ids), len(ranking.dropped_ids)
    label = "; ".join(" ".join(example.label.split()) for example in examples)
    comments = [f"{'Least' if query.least_similar else 'Most'} like {label}."]
    if dropped:
        comments.append(
            f"The last list of identifiers: within {query.min_separation:g} arcsec of the query "
            "or of a better result."
        )
    only_galaxies = all(example.galaxy_id is not None for example in examples)
    return typed_sql(
        scope,
        example=target.galaxy_ids if only_galaxies else target.vector,
        least_similar=query.least_similar,
        limit=query.k,
        dropped=tuple(ranking.dropped_ids.tolist()),
        has_undefined=found < query.k and found + dropped < matched,
        comments=tuple(comments),
    )

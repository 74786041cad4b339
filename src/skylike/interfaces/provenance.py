"""How a result was found, as names and plain values that any file format can hold."""

from dataclasses import fields
from datetime import datetime

from skylike.cuts.coordinates import Cone
from skylike.search.result import RAREST, SUGGEST, TO_INSPECT, Provenance
from skylike.search.tell import exactness_in_words

Plain = str | int | float | bool | None

DESCRIPTIONS = {
    "query": "The examples that the galaxies look like",
    "encoder": "Encoder whose embeddings were compared",
    "run_id": "Published neighbor run of the encoder",
    "route": "How the galaxies were reached",
    "exact": "Whether the answer is the same as that of comparing every galaxy",
    "matched": "Embedded galaxies that satisfied the cut and the cone, as far as counted",
    "k": "Galaxies asked for",
    "cut": "The SQL cut",
    "cone": "Region: right ascension, declination and radius",
    "min_separation_arcsec": "Results closer than this to the query or a better one are left out",
    "note": "Why there are fewer galaxies than asked for, and what else to know",
    "stale": "What changed since the embeddings or lists were made",
    "sql": "A statement that gives the same answer",
    "version": "Version of skylike",
    "time": "When the answer was made, UTC",
    "matched_is_bound": "Whether more than that satisfied them: counting stopped there",
    "expected_recall": "Of an approximate answer, the share of the exact one to expect",
    "offset": "Galaxies of this query before the first, on earlier pages",
    "definitions": "Columns defined for this query",
}
"""One phrase for each field of the provenance."""


def plain_items(provenance: Provenance) -> dict[str, Plain]:
    """Return the fields of a provenance as plain values: cones as text, times in ISO 8601.

    Definitions are one text, separated by semicolons, or None where there are none.
    """
    return {field.name: _plain(getattr(provenance, field.name)) for field in fields(provenance)}


def _plain(value: Plain | Cone | datetime | tuple[str, ...]) -> Plain:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return "; ".join(value) or None
    return str(value) if isinstance(value, Cone) else value


def likeness(provenance: Provenance) -> str:
    """Return what goes on after "galaxies": ``like galaxy 42``, ``least like image ring.jpg``.

    Answers without examples say it themselves: ``rarest for their magnitude in r``.
    """
    query = provenance.query
    return query if query.startswith(("least like ", TO_INSPECT, RAREST)) else f"like {query}"


def summary(provenance: Provenance, *, found: int) -> list[str]:
    """Say in a few lines what an answer is worth: how many matched, how it was found, with what."""
    galaxies = "galaxy" if found == 1 else "galaxies"
    limits = []
    if provenance.cut is not None:
        defined = f" ({'; '.join(provenance.definitions)})" if provenance.definitions else ""
        limits.append(f"the cut {' '.join(provenance.cut.split())}{defined}")
    if provenance.cone is not None:
        limits.append(f"the cone of {provenance.cone:short}")
    run = f", published neighbor run {provenance.run_id}" if provenance.run_id is not None else ""
    bound = "more than " if provenance.matched_is_bound else ""
    place = f", after the first {provenance.offset:,}" if provenance.offset else ""
    lines = [
        f"{found} {galaxies} {likeness(provenance)}{place}",
        f"{bound}{provenance.matched:,} embedded galaxies match "
        + (" and ".join(limits) if limits else "(no cut, no cone)"),
        f"{_exactness(provenance)} (route {provenance.route}), "
        f"encoder {provenance.encoder}{run}, skylike {provenance.version}",
    ]
    return lines + [text for text in (provenance.note, provenance.stale) if text]


def _exactness(provenance: Provenance) -> str:
    if provenance.route == SUGGEST:
        return "by a classifier"  # there is no exact answer to compare with
    if provenance.route == RAREST and not provenance.exact:
        return f"exact when neighbor run {provenance.run_id} began"
    return exactness_in_words(exact=provenance.exact, expected_recall=provenance.expected_recall)

"""``skylike label suggest``: what to inspect next of a label, within a cut and a cone."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import Connection, Engine

from skylike.catalog.report import counted
from skylike.cuts import Cut
from skylike.cuts.coordinates import Cone
from skylike.database.comments import ColumnMeaning
from skylike.embeddings.store import EncoderRecord, fetch_named_or_active_encoder
from skylike.errors import SettingsError
from skylike.labels import store as labels_store
from skylike.labels.classifier import DEFAULT_PENALTY, fit
from skylike.labels.names import check_name
from skylike.labels.sky_groups import SAME_SKY_ARCSEC, group_positions
from skylike.labels.store_classifier import fetch_vectors
from skylike.labels.suggest import METHOD, OVERSAMPLING, suggest
from skylike.labels.training import TrainingSet, check_random, gather
from skylike.search import store
from skylike.search.examples import Example
from skylike.search.result import SUGGEST, TO_INSPECT, Provenance, SearchResult
from skylike.search.store_statements import Scope
from skylike.search.store_suggest import fetch_candidates
from skylike.search.store_vocabulary import fetch_vocabulary, parse_where
from skylike.search.vocabulary import Vocabulary

MAX_SUGGESTIONS: Final = 1000
"""Nobody inspects more before the labels of the first change what comes next."""

_SHOWN_MEMBERS: Final = 5
"""Members on a contact sheet, before the suggestions."""

OWN_MEANINGS: Final = {
    "rank": ColumnMeaning("Place in the list, 1 is to be inspected first", None, "meta.number"),
    "score": ColumnMeaning(
        "Probability of being a member, if members and others were equally frequent",
        None,
        "stat.probability",
    ),
    "reason": ColumnMeaning("Why it is suggested: likely a member, or doubtful", None, "meta.code"),
    "similarity": ColumnMeaning(
        "Cosine of the embedding and the mean direction of the members", None, "stat.correlation"
    ),
}


@dataclass(frozen=True)
class SuggestQuery:
    """What to suggest among.

    Attributes
    ----------
    name
        Label.
    k
        How many, 1 to :data:`MAX_SUGGESTIONS`.
    where
        A cut as it was typed, or None.
    cone
        A region of the sky, or None.
    n_random
        Random galaxies to take for not-members, None for as many as are missing.
    seed
        Of those.
    definitions
        Columns for the cut of this query only, each ``g_r = mag_g - mag_r``.
    """

    name: str
    k: int = 20
    where: str | None = None
    cone: Cone | None = None
    n_random: int | None = None
    seed: int = 0
    definitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        check_random(self.n_random, self.seed)
        if not 1 <= self.k <= MAX_SUGGESTIONS:
            raise SettingsError(
                f"k={self.k} is out of range; ask for 1 to {MAX_SUGGESTIONS} suggestions"
            )


@dataclass(frozen=True, eq=False)
class Suggested:
    """Suggestions with a few members to compare them with.

    Attributes
    ----------
    result
        As of a search, with ``score`` and ``reason``; ``similarity`` is that to the mean of the
        members.
    members
        The first members, for a contact sheet.
    """

    result: SearchResult
    members: tuple[Example, ...]


def suggest_galaxies(
    engine: Engine,
    query: SuggestQuery,
    *,
    encoder: str | None = None,
    timeout_s: float | None = None,
) -> Suggested:
    """Suggest which galaxies to inspect next; the same labels give the same suggestions.

    A linear classifier of the labels so far scores all galaxies that match and are not labeled; see
    :mod:`skylike.labels.suggest` for which of them are chosen.

    Parameters
    ----------
    encoder
        Whose embeddings are compared; None takes the active one.
    timeout_s
        Longest that one statement may take.

    Raises
    ------
    NotFoundError
        Nothing was said under this label.
    SettingsError
        It has no member with an embedding, or nothing to tell members from.
    CutError
        The cut is not understood.
    """
    with store.reading(engine, timeout_s=timeout_s) as connection:
        words = fetch_vocabulary(connection, query.definitions)
        cut = parse_where(connection, words, query.where)
        record = fetch_named_or_active_encoder(connection, encoder)
        gathered = gather(connection, record, query.name, n_random=query.n_random, seed=query.seed)
        _check_members(query.name, gathered)
        model = fit(gathered.examples, penalty=DEFAULT_PENALTY)
        ids, matched = fetch_candidates(
            connection,
            model,
            scope=Scope(record.encoder_id, cut, query.cone, scores=words.scores),
            name=query.name,
            limit=2 * OVERSAMPLING * query.k,  # some lie close to labeled galaxies
        )
        ids, vectors = fetch_vectors(connection, record, ids)
        groups = _sky_groups(connection, ids, gathered)
        ids, vectors, groups = ids[groups >= 0], vectors[groups >= 0], groups[groups >= 0]
        chosen = suggest(
            model.margins(vectors), vectors, k=query.k, groups=groups, n_candidates=matched
        )
        places = chosen.places
        rows, meanings = _rows(
            connection,
            ids[places],
            words,
            cut=cut,
            own={
                "score": model.scores(vectors[places]),
                "reason": list(chosen.reasons),
                "similarity": _similarities(vectors[places], gathered),
            },
        )
    provenance = _provenance(query, record, gathered, matched=matched, ids=ids[places])
    return Suggested(SearchResult(rows, meanings, provenance), _members(gathered))


def _check_members(name: str, gathered: TrainingSet) -> None:
    if not gathered.n_members:
        raise SettingsError(
            f"label {name} has no member with an embedding; add one with "
            f"`skylike label add {name} --galaxy ID`, or run `skylike embed`"
        )
    if gathered.n_members == len(gathered.galaxy_ids):
        raise SettingsError(
            f"label {name} has no galaxies to tell its members from; add some with "
            f"`skylike label add {name} --not --galaxy ID`, or allow --random"
        )


def _sky_groups(
    connection: Connection, ids: npt.NDArray[np.int32], gathered: TrainingSet
) -> npt.NDArray[np.int64]:
    """Return numbers of the patches of sky of candidates, (n,); -1 with a labeled galaxy in it."""
    labeled = gathered.galaxy_ids[~gathered.examples.is_random]
    ra, dec = labels_store.fetch_positions(connection, np.concatenate([ids, labeled]))
    groups = group_positions(ra, dec, within_arcsec=SAME_SKY_ARCSEC)
    own = groups[: len(ids)]
    return np.where(np.isin(own, groups[len(ids) :]), -1, own)


def _rows(
    connection: Connection,
    ids: npt.NDArray[np.int32],
    words: Vocabulary,
    *,
    cut: Cut | None,
    own: dict[str, object],
) -> tuple[pa.Table, dict[str, ColumnMeaning]]:
    catalog = store.fetch_galaxies(connection, ids, words, cut=cut)
    ranks = pa.array(np.arange(1, len(ids) + 1, dtype=np.int32))
    columns = {"rank": ranks, "galaxy_id": catalog["galaxy_id"], **own}
    others = {name: catalog[name] for name in catalog.column_names if name not in columns}
    rows = pa.table(columns | others)
    known = OWN_MEANINGS | store.fetch_meanings(connection) | words.meanings()
    return rows, {name: known[name] for name in rows.column_names}


def _units(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True))


def _similarities(
    vectors: npt.NDArray[np.floating], gathered: TrainingSet
) -> npt.NDArray[np.float64]:
    mean = _units(gathered.examples.vectors[gathered.examples.is_member]).mean(axis=0)
    length = np.linalg.norm(mean) or 1.0
    return np.asarray(np.clip(_units(vectors) @ (mean / length), -1, 1))


def _members(gathered: TrainingSet) -> tuple[Example, ...]:
    first = np.flatnonzero(gathered.examples.is_member)[:_SHOWN_MEMBERS]
    return tuple(
        Example(
            f"galaxy {gathered.galaxy_ids[n]}",
            _units(gathered.examples.vectors[n : n + 1])[0],
            galaxy_id=int(gathered.galaxy_ids[n]),
        )
        for n in first
    )


def _provenance(
    query: SuggestQuery,
    record: EncoderRecord,
    gathered: TrainingSet,
    *,
    matched: int,
    ids: npt.NDArray[np.int32],
) -> Provenance:
    members = counted(gathered.n_members, "member")
    notes = [
        f"{METHOD}, by a classifier of {members}, "
        f"{counted(gathered.n_not_members, 'not-member')} and "
        f"{gathered.n_random} random unlabeled galaxies taken for not-members"
    ]
    if len(ids) < query.k:
        notes.append(
            f"{len(ids)} of {query.k} found: no other galaxy matches, is unlabeled and "
            f"lies {SAME_SKY_ARCSEC:g} arcsec from those that are labeled or suggested"
        )
    listed = ", ".join(map(str, ids.tolist())) or "NULL"
    return Provenance(
        query=f"{TO_INSPECT} of label {query.name}, which has {members}",
        encoder=record.name,
        run_id=None,
        route=SUGGEST,
        exact=False,
        matched=matched,
        k=query.k,
        cut=query.where,
        cone=query.cone,
        min_separation_arcsec=SAME_SKY_ARCSEC,
        note="; ".join(notes),
        stale=None,
        sql=f"SELECT * FROM skylike.galaxy WHERE galaxy_id IN ({listed});",  # noqa: S608 - integers
        version=version("skylike"),
        time=datetime.now(UTC),
        definitions=query.definitions,
    )

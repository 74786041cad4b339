"""Which column of a table is which of ours: told by the user, or guessed where it is plain."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from skylike.bands import BANDS
from skylike.errors import SettingsError
from skylike.survey.batches import Kind, TableColumn

Tiers = tuple[tuple[str, ...], ...]
"""Names in tiers: the first with a column in the file decides; two in one tier are ambiguous."""

_SINGLE: Final[Mapping[str, Tiers]] = {
    "ra": (
        ("ra",),
        ("ra_deg", "radeg", "ra_icrs", "raj2000", "ra_j2000", "right_ascension", "target_ra"),
        ("ra2000", "alpha_j2000", "alphawin_j2000", "alpha", "ra_hms"),
    ),
    "dec": (
        ("dec",),
        (
            *("dec_deg", "decdeg", "de_icrs", "dec_icrs", "dej2000", "decj2000", "dec_j2000"),
            *("declination", "target_dec"),
        ),
        ("dec2000", "de2000", "delta_j2000", "deltawin_j2000", "delta", "de", "decl", "dec_dms"),
    ),
    "release": (("release",),),
    "brickid": (("brickid", "brick_id"),),
    "objid": (("objid",),),
    "brick_primary": (("brick_primary",),),
    "object_id": (
        ("object_id",),
        ("objid", "objectid", "obj_id", "source_id", "sourceid", "targetid", "coadd_object_id"),
        ("id",),
    ),
    "type": (("type",), ("source_type", "morphtype", "morph_type"), ("class",)),
    "photsys": (("photsys",),),
    "maskbits": (("maskbits",),),
    "ebv": (("ebv",), ("e_bv", "e_b_v", "ebv_sfd", "ebv_sfd98", "sfd_ebv")),
    "z_spec": (
        ("z_spec",),
        ("zspec", "specz", "spec_z", "redshift_spec", "spec_redshift", "zsp", "z_sp"),
        ("redshift", "zred"),
    ),
    "z_phot": (
        ("z_phot",),
        ("zphot", "photoz", "photo_z", "phot_z", "redshift_phot", "photometric_redshift"),
        ("z_phot_mean",),
        ("z_phot_median",),
    ),
}

_BY_BAND: Final[Mapping[str, Tiers]] = {
    "mag": (
        ("mag_{b}",),
        ("{b}_mag", "{b}mag", "mag{b}", "dered_mag_{b}", "dered_{b}", "mag_{b}_dered"),
        ("modelmag_{b}", "cmodelmag_{b}", "mag_auto_{b}", "{b}_cmodel_mag", "{b}mag_ab"),
    ),
    "mag_err": (
        ("mag_err_{b}", "magerr_{b}"),
        ("{b}_mag_err", "{b}mag_err", "{b}magerr", "err_mag_{b}", "e_{b}mag", "err_{b}", "{b}_err"),
        ("modelmagerr_{b}", "cmodelmagerr_{b}", "magerr_auto_{b}", "{b}_cmodel_magerr"),
    ),
    "flux": (("flux_{b}",), ("decam_flux_{b}",)),
    "flux_ivar": (("flux_ivar_{b}",), ("decam_flux_ivar_{b}",)),
    "mw_transmission": (
        ("mw_transmission_{b}", "transmission_{b}"),
        ("decam_mw_transmission_{b}",),
    ),
    "psf_size": (("psfsize_{b}", "psf_size_{b}"), ("decam_psfsize_{b}",)),
}

_UCDS: Final[Mapping[str, tuple[str, ...]]] = {
    "ra": ("pos.eq.ra;meta.main", "pos_eq_ra_main"),
    "dec": ("pos.eq.dec;meta.main", "pos_eq_dec_main"),
    "z_phot": ("src.redshift.phot", "redshift_phot"),
    "z_spec": ("src.redshift", "redshift_hc"),
    "ebv": ("phot.color.excess",),
}
"""UCDs that name one quantity. Those of magnitudes do not: em.opt.I is both i and z."""

_TEXT_TARGETS: Final = frozenset({"type", "photsys"})

TARGETS: Final = frozenset(_SINGLE) | {
    f"{quantity}_{band}" for quantity in _BY_BAND for band in BANDS
}
"""What a column of a file can be: columns of ``galaxy`` and what they are computed from."""

_LEGACY_KEY: Final = frozenset({"release", "brickid", "objid"})


@dataclass(frozen=True)
class ColumnGuess:
    """Which column of the file is which of ours."""

    columns: Mapping[str, str]
    """Ours: the file's."""
    ambiguous: Mapping[str, tuple[str, ...]]
    """Ours: several of the file's that may be it."""
    given: frozenset[str]
    """Ours, as far as the user told."""


def parse_column_map(text: str) -> dict[str, str]:
    """Read ``ra=RA,mag_r=r,z_spec=``; an empty right side says that the file has no such column.

    Raises
    ------
    SettingsError
        A part is not ``ours=theirs``, or names a column that we do not have.
    """
    columns: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        ours, equals, theirs = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise SettingsError(f"--columns {part!r}: write it as ours=theirs, such as mag_r=r")
        if ours not in TARGETS:
            raise SettingsError(
                f"--columns {part!r}: there is no {ours!r}{_nearest(ours, TARGETS)}"
            )
        if ours in columns:
            raise SettingsError(f"--columns: {ours} is given twice; keep one")
        columns[ours] = theirs
    return columns


def guess_columns(columns: Sequence[TableColumn], given: Mapping[str, str]) -> ColumnGuess:
    """Tell the columns of a file by what the user gave, by UCDs, and by names in common use.

    Parameters
    ----------
    given
        Ours: theirs, as :func:`parse_column_map` returns it. What it uses is not guessed again.

    Raises
    ------
    SettingsError
        A given column is not in the file.
    """
    chosen = {ours: _find(columns, ours, theirs) for ours, theirs in given.items() if theirs}
    free = [column for column in columns if column.name not in chosen.values()]
    ambiguous: dict[str, tuple[str, ...]] = {}
    for target, candidates in _candidates(free):
        if target in given:
            continue
        if len(candidates) == 1:
            chosen[target] = candidates[0]
        else:
            ambiguous[target] = candidates
    return _one_key(ColumnGuess(chosen, ambiguous, frozenset(given)))


def _one_key(guess: ColumnGuess) -> ColumnGuess:
    """Keep either the key of the Legacy Surveys or an identifier column, and no half of a key."""
    columns, ambiguous = dict(guess.columns), dict(guess.ambiguous)
    if columns.keys() >= _LEGACY_KEY and "object_id" not in guess.given:
        columns.pop("object_id", None)
        ambiguous.pop("object_id", None)
    else:
        for part in ("brickid", "objid"):
            columns.pop(part, None)
    return ColumnGuess(columns, ambiguous, guess.given)


def _find(columns: Sequence[TableColumn], ours: str, theirs: str) -> str:
    names = [column.name for column in columns]
    if theirs in names:
        return theirs
    same = [name for name in names if name.lower() == theirs.lower()]
    if len(same) == 1:
        return same[0]
    raise SettingsError(
        f"--columns {ours}={theirs}: the file has no column {theirs!r}{_nearest(theirs, names)}"
    )


def _nearest(name: str, names: Sequence[str] | frozenset[str]) -> str:
    lower = {candidate.lower(): candidate for candidate in sorted(names)}
    near = difflib.get_close_matches(name.lower(), list(lower), n=3, cutoff=0.5)
    said = [lower[candidate] for candidate in near] or sorted(lower.values())[:12]
    return f"; there is {', '.join(said)}" if said else ""


def _candidates(columns: Sequence[TableColumn]) -> Iterator[tuple[str, tuple[str, ...]]]:
    by_name: dict[str, list[TableColumn]] = {}
    for column in columns:
        by_name.setdefault(_normal(column.name), []).append(column)
    has_letters = {"g", "r"} <= by_name.keys() and len(by_name.keys() & set("ugrizy")) > 2
    for target, tiers in _all_tiers(has_letters=has_letters):
        kind: Kind | None = "text" if target in _TEXT_TARGETS else None
        found = _by_ucd(columns, target) or _by_tier(by_name, tiers, kind)
        if found:
            yield target, found


def _all_tiers(*, has_letters: bool) -> Iterator[tuple[str, Tiers]]:
    yield from _SINGLE.items()
    for quantity, tiers in _BY_BAND.items():
        for band in BANDS:
            named = tuple(tuple(name.format(b=band) for name in tier) for tier in tiers)
            # `z` alone is a redshift as often as a band; beside g and r it is plain.
            if quantity == "mag" and has_letters and len(band) == 1:
                named = (*named, (band,))
            yield f"{quantity}_{band}", named


def _by_ucd(columns: Sequence[TableColumn], target: str) -> tuple[str, ...]:
    wanted = _UCDS.get(target, ())
    found = tuple(
        column.name
        for column in columns
        if column.ucd and column.ucd.lower().replace(" ", "") in wanted
    )
    return found if len(found) == 1 else ()


def _by_tier(
    by_name: Mapping[str, Sequence[TableColumn]], tiers: Tiers, kind: Kind | None
) -> tuple[str, ...]:
    for tier in tiers:
        found = tuple(
            column.name
            for name in tier
            for column in by_name.get(name, ())
            if kind is None or column.kind == kind
        )
        if found:
            return found
    return ()


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")

"""Fluxes and magnitudes of a file into ours: flux as observed, magnitude dereddened, errors."""

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from astropy import units as u

from skylike.bands import BANDS, EXTINCTION_COEFFICIENT
from skylike.errors import SurveyFileError
from skylike.survey.batches import ColumnArray

Magnitudes = Literal["dereddened", "observed"]
"""What the fluxes or magnitudes of a file are: corrected for Galactic extinction, or not."""

Floats = npt.NDArray[np.float64]

ZERO_POINT: Final = 22.5
"""AB magnitude of one nanomaggy."""

_MAG_OF_RELATIVE_ERROR: Final = 2.5 / np.log(10)
_SENTINELS: Final = (-9999.0, -999.0, -99.0, 99.0, 999.0, 9999.0)
"""What catalogs write for 'not measured' where a magnitude, redshift or reddening cannot be so."""

_NANOMAGGY: Final = frozenset({"", "nanomaggy", "nanomaggies", "nmgy", "nmgys", "nanomaggie"})
_NANOMAGGIES_IN_JY: Final = 1 / 3.631e-6
"""An AB zero point of 3631 Jy is a maggy (Oke & Gunn 1983)."""


def numbers(column: ColumnArray) -> Floats:
    """Return a column as (n,) float64 with NaN where it is masked, infinite or no number."""
    if column.dtype.kind in "UO":
        values = np.array([_number(str(text)) for text in column.data], dtype=np.float64)
    else:
        values = column.data.astype(np.float64)
    return np.where(np.ma.getmaskarray(column) | ~np.isfinite(values), np.nan, values)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def without_sentinels(values: Floats) -> Floats:
    """Return the values with NaN where they are -99, -9999, 99 and the like."""
    # Half a hundredth: float32 columns hold 99 as 99, text ones as 99.00 or 98.999999.
    near = np.abs(values[:, None] - np.array(_SENTINELS)) < 0.005
    return np.where(near.any(axis=1), np.nan, values)


def nanomaggies_in_unit(unit: str | None) -> float:
    """Return how many nanomaggies one of a flux unit is; no unit is nanomaggies.

    Raises
    ------
    SurveyFileError
        It is not a unit of spectral flux density.
    """
    if (unit or "").strip().lower() in _NANOMAGGY:
        return 1.0
    try:
        return float(u.Unit(unit).to(u.Jy)) * _NANOMAGGIES_IN_JY
    except (ValueError, u.UnitConversionError) as error:
        raise SurveyFileError(
            f"fluxes in the unit {unit!r} are not understood; convert them to nanomaggies, "
            "or leave them out with --columns flux_g=,flux_r=,flux_z="
        ) from error


def transmission(band: str, given: Floats | None, ebv: Floats | None) -> Floats | None:
    """Return the fraction of light in a band that our Galaxy lets through.

    Parameters
    ----------
    given
        The file's own values, or None; what is not positive counts as unknown.
    ebv
        E(B-V), or None; fills what ``given`` lacks in the bands with a known coefficient.

    Returns
    -------
    numpy.ndarray or None
        (n,) NaN where unknown; None where neither tells anything.
    """
    fallback = None
    if ebv is not None and band in EXTINCTION_COEFFICIENT:
        with np.errstate(over="ignore", under="ignore"):
            fallback = _positive(10 ** (-0.4 * EXTINCTION_COEFFICIENT[band] * ebv))
    if given is None:
        return fallback
    known = _positive(given)
    return known if fallback is None else np.where(np.isnan(known), fallback, known)


def _positive(values: Floats) -> Floats:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def magnitude_of_flux(flux: Floats) -> Floats:
    """Return 22.5 - 2.5 log10(flux / nanomaggy), NaN where the flux is not positive and finite."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(flux) & (flux > 0), ZERO_POINT - 2.5 * np.log10(flux), np.nan)


def magnitude_error(flux: Floats, ivar: Floats) -> Floats:
    """Return the error of the magnitude of a flux with this inverse variance, to first order."""
    with np.errstate(all="ignore"):
        error = _MAG_OF_RELATIVE_ERROR / flux / np.sqrt(ivar)
        return np.where((flux > 0) & (ivar > 0), error, np.nan)


def band_columns(
    band: str, given: Mapping[str, Floats], ebv: Floats | None, magnitudes: Magnitudes | None
) -> dict[str, Floats]:
    """Compute our flux, magnitude and error columns of a band from those that the file has.

    Parameters
    ----------
    given
        The file's numbers by our names: ``flux``, ``flux_ivar``, ``mw_transmission``, ``mag``,
        ``mag_err``; any may be missing. Fluxes are nanomaggies.
    ebv
        E(B-V) of each row, or None.
    magnitudes
        What the user says of the file. Unsaid, fluxes are as observed and magnitudes dereddened.

    Returns
    -------
    dict
        ``flux_B``, ``mag_B``, ``mag_err_B``, as far as they follow from the file; NaN is NULL.
    """
    through = transmission(band, given.get("mw_transmission"), ebv)
    columns = _from_flux(band, given, through, is_dereddened=magnitudes == "dereddened")
    if "mag" in given:
        magnitude = without_sentinels(given["mag"])
        if magnitudes == "observed" and through is not None:
            extinction = -2.5 * np.log10(through)
            magnitude = magnitude - np.where(np.isnan(extinction), 0.0, extinction)
        columns[f"mag_{band}"] = magnitude
        columns.pop(f"mag_err_{band}", None)
    if "mag_err" in given and f"mag_{band}" in columns:
        error = without_sentinels(given["mag_err"])
        with np.errstate(invalid="ignore"):
            usable = (error >= 0) & ~np.isnan(columns[f"mag_{band}"])
        columns[f"mag_err_{band}"] = np.where(usable, error, np.nan)
    return columns


def _from_flux(
    band: str, given: Mapping[str, Floats], through: Floats | None, *, is_dereddened: bool
) -> dict[str, Floats]:
    if "flux" not in given:
        return {}
    flux, ivar = given["flux"], given.get("flux_ivar")
    if ivar is not None:
        # Without an exposure a catalog has flux 0 and inverse variance 0: not a measurement.
        flux = np.where(ivar == 0, np.nan, flux)
    columns: dict[str, Floats] = {}
    if is_dereddened:
        columns[f"mag_{band}"] = magnitude_of_flux(flux)
        if through is not None:
            with np.errstate(over="ignore"):
                columns[f"flux_{band}"] = flux * through
    else:
        columns[f"flux_{band}"] = flux
        with np.errstate(over="ignore", under="ignore"):
            corrected = flux if through is None else flux / through
        columns[f"mag_{band}"] = magnitude_of_flux(corrected)
    if ivar is not None:
        columns[f"mag_err_{band}"] = magnitude_error(flux, ivar)
    return columns


def stored_magnitudes(
    names: Mapping[str, str], magnitudes: Magnitudes | None
) -> Literal["dereddened", "observed", "none"]:
    """Tell what the magnitudes stored from a file are.

    Parameters
    ----------
    names
        Ours: theirs, the columns used.
    magnitudes
        What the user says of the file, or None.
    """
    with_mag = [band for band in BANDS if f"mag_{band}" in names]
    with_flux = [band for band in BANDS if f"flux_{band}" in names and band not in with_mag]
    if not with_mag and not with_flux:
        return "none"
    if magnitudes == "dereddened":
        return "dereddened"
    in_question = with_flux + (with_mag if magnitudes == "observed" else [])
    corrected = [
        f"mw_transmission_{band}" in names or ("ebv" in names and band in EXTINCTION_COEFFICIENT)
        for band in in_question
    ]
    return "dereddened" if all(corrected) else "observed"

"""Units and descriptions of columns as a FITS file may have them."""

from astropy import units

from skylike.database.comments import ColumnMeaning


def fits_words(meaning: ColumnMeaning) -> tuple[str | None, str]:
    """Return the unit of a column for ``TUNITn`` and the description for ``TCOMMn``.

    FITS 4.0 (section 4.3) has no nanomaggies: readers warn of a unit that it does not have, for
    each column. Such a unit stands at the end of the description instead.
    """
    unit = meaning.unit
    if unit is None:
        return None, meaning.description
    try:
        units.Unit(unit, format="fits")
    except ValueError:
        return None, f"{meaning.description} [{unit}]"
    return unit, meaning.description

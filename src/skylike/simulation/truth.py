"""The truth of a simulated survey, read back."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from skylike.errors import SurveyFileError


def read_truth(path: Path) -> pa.Table:
    """Read ``truth.csv``: object_id int64, ra, dec, class, and what else is known of each row.

    Stars and duplicates, which have no cutout, are left out.

    Raises
    ------
    SurveyFileError
        It cannot be read, or is not a table of truth.
    """
    options = pa_csv.ConvertOptions(
        column_types={"object_id": pa.int64(), "class": pa.string(), "has_cutout": pa.bool_()}
    )
    try:
        truth = pa_csv.read_csv(path, convert_options=options)
        return truth.filter(truth["has_cutout"])
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise SurveyFileError(
            f"{path}: is not the truth of a simulated survey ({error}); run: skylike simulate"
        ) from error

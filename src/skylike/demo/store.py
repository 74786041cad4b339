"""What the demo reads from the database: whose galaxies are there, and those of known class."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Engine

from skylike.database.copy import iter_halfvec_rows
from skylike.database.engine import connect
from skylike.database.tables import galaxy, survey
from skylike.embeddings.store import fetch_encoder
from skylike.errors import ConflictError


def check_no_other_survey(engine: Engine, name: str) -> None:
    """Check that the database holds no galaxies but those of one survey.

    Raises
    ------
    ConflictError
        It does: a demo would mix simulated galaxies into somebody's catalog.
    """
    others = (
        sa.select(survey.c.name)
        .where(survey.c.name != name)
        .where(sa.exists().where(galaxy.c.survey_id == survey.c.survey_id))
        .order_by(survey.c.name)
    )
    with connect(engine) as connection:
        names = connection.scalars(others).all()
    if names:
        raise ConflictError(
            f"the database holds your own galaxies ({', '.join(names)}), and the demo would "
            "mix simulated ones in; give it a data folder of its own: SKYLIKE_HOME=... skylike demo"
        )


def fetch_embedded(
    engine: Engine, encoder: str, truth: pa.Table
) -> tuple[pa.Table, npt.NDArray[np.float16]]:
    """Fetch the embeddings of the galaxies whose class is known.

    Parameters
    ----------
    truth
        Columns object_id int64 and class.

    Returns
    -------
    tuple
        A table of galaxy_id, ra, dec, mag_z and class, and as many embeddings (n, d).
    """
    with connect(engine) as connection:
        record = fetch_encoder(connection, encoder)
        rows = connection.execute(
            sa.select(
                galaxy.c.galaxy_id, galaxy.c.object_id, galaxy.c.ra, galaxy.c.dec, galaxy.c.mag_z
            )
        ).all()
        query = sql.SQL(
            "SELECT galaxy_id, embedding FROM embedding WHERE encoder_id = {} ORDER BY galaxy_id"
        ).format(record.encoder_id)
        batches = list(iter_halfvec_rows(connection, query, dimension=record.dimension))
    galaxies = pa.Table.from_pylist([row._asdict() for row in rows])
    vectors = np.concatenate([vectors for _, vectors in batches])  # (n, d)
    embedded = pa.table(
        {
            "galaxy_id": np.concatenate([ids for ids, _ in batches]).astype(np.int64),
            "place": np.arange(len(vectors)),
        }
    )
    known = (
        embedded.join(galaxies, "galaxy_id", join_type="inner")
        .join(truth.select(["object_id", "class"]), "object_id", join_type="inner")
        .sort_by("galaxy_id")
    )
    return known, vectors[known["place"].to_numpy()]

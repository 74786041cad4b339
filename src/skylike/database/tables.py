"""The tables as SQLAlchemy knows them, for statements composed in Python.

The structure itself is in ``sql/migrations``; a test compares the two. Meaning, units and UCDs are
in the database's comments (``docs/data-model.md``).
"""

import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, JSONB, REAL, TIMESTAMP
from typing_extensions import override

from skylike.bands import BANDS
from skylike.database.engine import SCHEMA

metadata = sa.MetaData(schema=SCHEMA)

_when = TIMESTAMP(timezone=True)


class Xid8(sa.types.UserDefinedType[str]):
    """Identifier of a transaction, which never comes again."""

    cache_ok = True

    @override
    def get_col_spec(self, **_: object) -> str:
        """Return its name in SQL."""
        return "xid8"


class PgSnapshot(sa.types.UserDefinedType[str]):
    """Which transactions a transaction sees the work of."""

    cache_ok = True

    @override
    def get_col_spec(self, **_: object) -> str:
        """Return its name in SQL."""
        return "pg_snapshot"


survey = sa.Table(
    "survey",
    metadata,
    sa.Column("survey_id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("bands", ARRAY(sa.Text), nullable=False),
)

catalog_load = sa.Table(
    "catalog_load",
    metadata,
    sa.Column("load_id", sa.Integer, primary_key=True),
    sa.Column("survey_id", sa.Integer, nullable=False),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("file_bytes", sa.BigInteger, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("column_map", JSONB, nullable=False),
    sa.Column("magnitudes", sa.Text, nullable=False),
    sa.Column("selection", sa.Text),
    sa.Column("rows_read", sa.BigInteger, nullable=False),
    sa.Column("rows_inserted", sa.BigInteger, nullable=False),
    sa.Column("rows_updated", sa.BigInteger, nullable=False),
    sa.Column("rows_unchanged", sa.BigInteger, nullable=False),
    sa.Column("rows_rejected", JSONB, nullable=False),
    sa.Column("loaded_at", _when, nullable=False),
    sa.Column("load_xact", Xid8),
)

galaxy = sa.Table(
    "galaxy",
    metadata,
    sa.Column("galaxy_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("survey_id", sa.Integer, nullable=False),
    sa.Column("object_id", sa.BigInteger, nullable=False),
    sa.Column("ra", DOUBLE_PRECISION, nullable=False),
    sa.Column("dec", DOUBLE_PRECISION, nullable=False),
    sa.Column("healpix29", sa.BigInteger, nullable=False),
    *(sa.Column(f"flux_{band}", REAL) for band in BANDS),
    *(sa.Column(f"mag_{band}", REAL) for band in BANDS),
    *(sa.Column(f"mag_err_{band}", REAL) for band in BANDS),
    *(sa.Column(f"psf_size_{band}", REAL) for band in BANDS),
    sa.Column("ebv", REAL),
    sa.Column("z_phot", REAL),
    sa.Column("z_spec", REAL),
    sa.Column("maskbits", sa.Integer),
    sa.Column("type", sa.Text),
    sa.Column("photsys", sa.Text),
    sa.Column("load_id", sa.Integer),
    sa.Column("updated_at", _when, nullable=False),
)

derived_column = sa.Table(
    "derived_column",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("expression", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("unit", sa.Text),
    sa.Column("created_at", _when, nullable=False),
)

image_file = sa.Table(
    "image_file",
    metadata,
    sa.Column("file_id", sa.Integer, primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("bands", ARRAY(sa.Text), nullable=False),
    sa.Column("n_cutouts", sa.Integer, nullable=False),
    sa.Column("size_pix", sa.Integer, nullable=False),
    sa.Column("pixel_scale", DOUBLE_PRECISION),
    sa.Column("added_at", _when, nullable=False),
)

cutout = sa.Table(
    "cutout",
    metadata,
    sa.Column("cutout_id", sa.Integer, primary_key=True),
    sa.Column("file_id", sa.Integer, nullable=False),
    sa.Column("file_row", sa.Integer, nullable=False),
    sa.Column("galaxy_id", sa.Integer),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("coverage", ARRAY(REAL), nullable=False),
    sa.Column("missing_bands", ARRAY(sa.Text), nullable=False),
    sa.Column("is_complete", sa.Boolean, nullable=False),
    sa.Column("updated_at", _when, nullable=False),
)

encoder = sa.Table(
    "encoder",
    metadata,
    sa.Column("encoder_id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("architecture", sa.Text),
    sa.Column("width", DOUBLE_PRECISION),
    sa.Column("dimension", sa.Integer, nullable=False),
    sa.Column("input", sa.Text),
    sa.Column("bands", ARRAY(sa.Text)),
    sa.Column("pixel_scale", DOUBLE_PRECISION),
    sa.Column("crop_pix", sa.Integer),
    sa.Column("preprocessing", JSONB(none_as_null=True)),
    sa.Column("training", JSONB(none_as_null=True)),
    sa.Column("checkpoint", sa.Text),
    sa.Column("checkpoint_sha256", sa.Text),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("mean", ARRAY(DOUBLE_PRECISION)),
    sa.Column("compact_components", sa.Integer),
    sa.Column("explained_variance", ARRAY(DOUBLE_PRECISION)),
    sa.Column("compact_slack", DOUBLE_PRECISION),
    sa.Column("created_at", _when, nullable=False),
    sa.Column("embedded_at", _when),
    sa.Column("embedded_xact", Xid8),
    sa.Column("layer", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("origin", JSONB(none_as_null=True)),
)

encoder_component = sa.Table(
    "encoder_component",
    metadata,
    sa.Column("encoder_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("component", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("direction", ARRAY(DOUBLE_PRECISION), nullable=False),
)

embedding = sa.Table(
    "embedding",
    metadata,
    sa.Column("encoder_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("galaxy_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("embedding", HALFVEC, nullable=False),
    sa.Column("cutout_id", sa.Integer),
    sa.Column("is_inverted", sa.Boolean, nullable=False),
    sa.Column("embedded_at", _when, nullable=False),
)

embedding_compact = sa.Table(
    "embedding_compact",
    metadata,
    sa.Column("encoder_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("galaxy_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("compact", HALFVEC, nullable=False),
    sa.Column("ra", DOUBLE_PRECISION, nullable=False),
    sa.Column("dec", DOUBLE_PRECISION, nullable=False),
    sa.Column("healpix29", sa.BigInteger, nullable=False),
    sa.Column("mag_g", REAL),
    sa.Column("mag_r", REAL),
    sa.Column("mag_z", REAL),
    sa.Column("survey_id", sa.Integer, nullable=False),
    sa.Column("z_phot", REAL),
    sa.Column("z_spec", REAL),
    sa.Column("ebv", REAL),
    sa.Column("maskbits", sa.Integer),
    sa.Column("type", sa.Text),
)

search_calibration = sa.Table(
    "search_calibration",
    metadata,
    sa.Column("encoder_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("n_embeddings", sa.Integer, nullable=False),
    sa.Column("seconds_fixed", DOUBLE_PRECISION, nullable=False),
    sa.Column("seconds_per_row", DOUBLE_PRECISION, nullable=False),
    sa.Column("seconds_per_match", DOUBLE_PRECISION, nullable=False),
    sa.Column("seconds_per_vector", DOUBLE_PRECISION, nullable=False),
    sa.Column("seconds_list", DOUBLE_PRECISION),
    sa.Column("refined_share", DOUBLE_PRECISION, nullable=False),
    sa.Column("fast_candidates", sa.Integer),
    sa.Column("fast_recall", DOUBLE_PRECISION),
    sa.Column("fast_seconds", DOUBLE_PRECISION),
    sa.Column("software", JSONB, nullable=False),
    sa.Column("calibrated_at", _when, nullable=False),
)

neighbor_run = sa.Table(
    "neighbor_run",
    metadata,
    sa.Column("run_id", sa.Integer, primary_key=True),
    sa.Column("encoder_id", sa.Integer, nullable=False),
    sa.Column("k", sa.Integer, nullable=False),
    sa.Column("band", sa.Text),
    sa.Column("width", DOUBLE_PRECISION),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("n_galaxies", sa.Integer),
    sa.Column("n_without_magnitude", sa.Integer),
    sa.Column("n_excluded", sa.Integer),
    sa.Column("recall", DOUBLE_PRECISION),
    sa.Column("recall_sample", sa.Integer),
    sa.Column("software", JSONB, nullable=False),
    sa.Column("started_at", _when, nullable=False),
    sa.Column("finished_at", _when),
    sa.Column("published_at", _when),
    sa.Column("input_snapshot", PgSnapshot),
    sa.Column("base_run_id", sa.Integer),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("updated_at", _when),
    sa.Column("wrong_in_sample", sa.Integer),
)

neighbor_shard = sa.Table(
    "neighbor_shard",
    metadata,
    sa.Column("run_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("n_galaxies", sa.Integer, nullable=False),
    sa.Column("finished_at", _when, nullable=False),
)

neighbor_list = sa.Table(
    "neighbor_list",
    metadata,
    sa.Column("run_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("galaxy_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("neighbor_ids", ARRAY(sa.Integer), nullable=False),
)

neighbor_similarity = sa.Table(
    "neighbor_similarity",
    metadata,
    sa.Column("run_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("galaxy_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("first", REAL),
    sa.Column("step", REAL, nullable=False),
    sa.Column("codes", sa.LargeBinary, nullable=False),
)

neighbor_statistic = sa.Table(
    "neighbor_statistic",
    metadata,
    sa.Column("run_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("galaxy_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("input_hash", sa.BigInteger, nullable=False),
    sa.Column("distance", REAL),
    sa.Column("rarity", REAL),
    sa.Column("hubness", sa.Integer, nullable=False),
    sa.Column("n_mutual", sa.SmallInteger, nullable=False),
    sa.Column("duplicate_group", sa.Integer),
)

label = sa.Table(
    "label",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("galaxy_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("is_member", sa.Boolean, nullable=False),
    sa.Column("author", sa.Text, primary_key=True),
    sa.Column("note", sa.Text),
    sa.Column("labeled_at", _when, nullable=False),
)

classifier = sa.Table(
    "classifier",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("encoder_id", sa.Integer, nullable=False),
    sa.Column("weights", ARRAY(DOUBLE_PRECISION), nullable=False),
    sa.Column("intercept", DOUBLE_PRECISION, nullable=False),
    sa.Column("regularization", DOUBLE_PRECISION, nullable=False),
    sa.Column("n_members", sa.Integer, nullable=False),
    sa.Column("n_not_members", sa.Integer, nullable=False),
    sa.Column("n_random", sa.Integer, nullable=False),
    sa.Column("n_disputed", sa.Integer, nullable=False),
    sa.Column("n_scored", sa.Integer, nullable=False),
    sa.Column("n_folds", sa.Integer, nullable=False),
    sa.Column("average_precision", DOUBLE_PRECISION, nullable=False),
    sa.Column("chance", DOUBLE_PRECISION, nullable=False),
    sa.Column("roc_auc", DOUBLE_PRECISION, nullable=False),
    sa.Column("top_n", sa.Integer, nullable=False),
    sa.Column("precision_top_n", DOUBLE_PRECISION, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("embedded_at", _when),
    sa.Column("trained_at", _when, nullable=False),
)

classifier_score = sa.Table(
    "classifier_score",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("galaxy_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("score", REAL, nullable=False),
)

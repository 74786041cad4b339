"""Encoders from elsewhere, and the layer that embeddings are read from."""

from skylike.database.sql_files import run_migration_file

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_migration_file("0013_encoder_sources.up.sql")


def downgrade() -> None:
    run_migration_file("0013_encoder_sources.down.sql")

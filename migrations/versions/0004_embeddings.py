"""Encoders, embeddings and compact vectors."""

from skylike.database.sql_files import run_migration_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_migration_file("0004_embeddings.up.sql")


def downgrade() -> None:
    run_migration_file("0004_embeddings.down.sql")

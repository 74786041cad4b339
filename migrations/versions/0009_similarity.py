"""Similarity search in SQL: functions for psql, TOPCAT and pandas."""

from skylike.database.sql_files import run_migration_file

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_migration_file("0009_similarity.up.sql")


def downgrade() -> None:
    run_migration_file("0009_similarity.down.sql")

"""Neighbor lists in two rows that fill their pages: identifiers; similarities in a byte each."""

from skylike.database.sql_files import run_migration_file

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_migration_file("0010_neighbor_storage.up.sql")


def downgrade() -> None:
    run_migration_file("0010_neighbor_storage.down.sql")

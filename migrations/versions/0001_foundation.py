"""The schema, its grants and the cone on the sky."""

from skylike.database.sql_files import run_migration_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_migration_file("0001_foundation.up.sql")


def downgrade() -> None:
    run_migration_file("0001_foundation.down.sql")

"""Cutouts: where pixels are."""

from skylike.database.sql_files import run_migration_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_migration_file("0003_images.up.sql")


def downgrade() -> None:
    run_migration_file("0003_images.down.sql")

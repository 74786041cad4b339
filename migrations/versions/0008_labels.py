"""What people said of galaxies, and classifiers trained on it."""

from skylike.database.sql_files import run_migration_file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_migration_file("0008_labels.up.sql")


def downgrade() -> None:
    run_migration_file("0008_labels.down.sql")

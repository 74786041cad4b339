"""skylike: find galaxies that look alike, inside PostgreSQL."""

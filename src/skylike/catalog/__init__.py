"""Choose, clean and load galaxies; writes the tables survey, catalog_load and galaxy."""

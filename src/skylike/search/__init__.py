"""Composite queries: galaxies that look like examples, meet a cut and lie in a cone."""

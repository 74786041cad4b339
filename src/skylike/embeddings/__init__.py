"""The encoder: images go in, unit vectors come out that are close where galaxies look alike."""

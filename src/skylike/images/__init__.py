"""Cutouts: added from files or cut from bricks, kept in HDF5, rendered, read in batches."""

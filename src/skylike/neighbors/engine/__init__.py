"""Exact nearest neighbors: staged vectors and windows in, lists out; on a processor or a GPU."""

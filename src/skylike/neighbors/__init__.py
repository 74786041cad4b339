"""Neighbor lists: for each galaxy the k most similar within a magnitude window, exactly."""

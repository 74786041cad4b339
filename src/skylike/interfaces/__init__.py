"""Interfaces: results as files, data frames, pages and pictures."""

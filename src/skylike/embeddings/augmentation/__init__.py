"""Augmentation: what two views of one galaxy may differ in."""

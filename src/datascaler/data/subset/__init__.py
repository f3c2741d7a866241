"""Subset files: their formats, and subsets made of other subsets."""

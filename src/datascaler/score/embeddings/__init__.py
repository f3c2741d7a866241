"""Filters from stored embeddings: no image is read, and no network runs."""

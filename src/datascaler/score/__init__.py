"""Scoring every sample of a pool."""

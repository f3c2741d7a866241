"""Samplers: scores -> a subset with repeats."""

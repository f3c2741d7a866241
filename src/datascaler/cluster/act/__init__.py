"""Changing what runs: cancel, retry, scale, and the steps of a pipeline."""

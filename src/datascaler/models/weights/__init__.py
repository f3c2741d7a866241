"""Weights files and folders as people have them: what each is, and how open_clip can read it."""

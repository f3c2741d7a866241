"""Scores from captions and metadata alone: no image is decoded, no network is loaded."""

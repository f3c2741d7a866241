"""Choose the part of an image-text pool to train CLIP on, and find out how it will do at full size."""

__version__ = "0.1.0"

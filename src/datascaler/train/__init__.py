"""Training CLIP on a pool restricted to a subset."""

"""Evaluation sets on the Hugging Face hub: downloading them, and reading what its libraries left."""

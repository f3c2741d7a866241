"""Run folders: what a training run keeps, and which runs are meant."""

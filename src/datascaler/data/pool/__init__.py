"""Pools: shards, tars and their samples, images, uids, and the check of all that."""

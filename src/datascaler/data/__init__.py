"""Pools, shards, score tables, subsets, plans and the stream of kept samples."""

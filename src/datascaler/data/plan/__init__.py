"""Plans: which rows of which shard to train on, and where they lie."""

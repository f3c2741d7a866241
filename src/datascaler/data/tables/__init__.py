"""Tables that are known of a pool: scores, indexes, DataComp's metadata, and how far they are."""

"""The commands that look at runs in the cluster, or change them."""

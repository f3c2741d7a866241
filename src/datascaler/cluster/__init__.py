"""The cluster side: what a run asks of Kubernetes, how it gets there, and how it is doing."""

"""Reading by a plan: the order of samples, and the samples in that order."""

"""A real Kubernetes on this machine, for tests: no container engine, no image registry."""

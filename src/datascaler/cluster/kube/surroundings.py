"""What a submit needs to know of a cluster."""

from dataclasses import dataclass

from datascaler.cluster.kube.merge import Values


@dataclass(frozen=True, slots=True)
class Surroundings:
    defaults: Values
    """What the namespace's owners set for every run."""
    has_defaults: bool
    kubernetes: str | None
    """Version, such as 1.36.3; None lets helm choose."""
    has_operator: bool
    """Whether PyTorchJobs can be made."""

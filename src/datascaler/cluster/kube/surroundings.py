"""What is known of the cluster that a run is for; apart from what asks it, which loads the Kubernetes client."""

from dataclasses import dataclass

from datascaler.cluster.kube.chart_values import Values


@dataclass(frozen=True, slots=True)
class Surroundings:
    defaults: Values
    """What the namespace's owners set for every run."""
    has_defaults: bool
    kubernetes: str | None
    """Version, such as 1.36.3; None lets helm choose."""
    has_operator: bool
    """Whether PyTorchJobs can be made."""

"""What type checkers see of the package: its lazily imported names, where they are."""

from datascaler.train.loading.plan_dataset import PlanDataset as PlanDataset

__version__: str

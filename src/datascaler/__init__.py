"""Choose the part of an image-text pool to train CLIP on, and find out how it will do at full size."""

from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "open_pool": "datascaler.data.tables.open_pool",
    "read_subset": "datascaler.data.subset.subset",
    "write_subset": "datascaler.data.subset.subset",
    "select_subset": "datascaler.data.select.select_subset",
    "open_plan": "datascaler.data.plan.plan_file",
    "PlanDataset": "datascaler.train.loading.plan_dataset",
    "ScoreSpec": "datascaler.spec.score",
    "score_pool": "datascaler.score.score_pool",
    "score_images": "datascaler.score.score_images",
    "TrainSpec": "datascaler.spec.train",
    "datacomp_recipe": "datascaler.spec.train",
    "train_clip": "datascaler.train.train_clip",
    "build_clip": "datascaler.models.build",
    "load_clip": "datascaler.models.load",
    "EvalSpec": "datascaler.spec.evaluate",
    "evaluate_clip": "datascaler.evaluate.evaluate_clip",
    "compare_results": "datascaler.evaluate.compare_results",
    "forecast": "datascaler.forecasting.forecast_runs",
    "DatascalerError": "datascaler.errors",
}
"""What the package offers to other programs, and where it is. Imported when it is asked for: torch takes seconds."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        home = import_module(_HOMES[name])
    except ImportError as error:
        from datascaler.extras import what_is_missing

        raise what_is_missing(error) or error from error
    return getattr(home, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]

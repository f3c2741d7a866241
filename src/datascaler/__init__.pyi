"""What type checkers see of the package: its lazily imported names, where they are."""

from datascaler.data.plan.plan_file import open_plan as open_plan
from datascaler.data.select.select_subset import select_subset as select_subset
from datascaler.data.subset.subset import read_subset as read_subset
from datascaler.data.subset.subset import write_subset as write_subset
from datascaler.data.tables.open_pool import open_pool as open_pool
from datascaler.errors import DatascalerError as DatascalerError
from datascaler.evaluate.compare_results import compare_results as compare_results
from datascaler.evaluate.evaluate_clip import evaluate_clip as evaluate_clip
from datascaler.forecasting.forecast_runs import forecast as forecast
from datascaler.models.build import build_clip as build_clip
from datascaler.models.load import load_clip as load_clip
from datascaler.score.score_images import score_images as score_images
from datascaler.score.score_pool import score_pool as score_pool
from datascaler.spec.evaluate import EvalSpec as EvalSpec
from datascaler.spec.score import ScoreSpec as ScoreSpec
from datascaler.spec.train import TrainSpec as TrainSpec
from datascaler.spec.train import datacomp_recipe as datacomp_recipe
from datascaler.train.loading.plan_dataset import PlanDataset as PlanDataset
from datascaler.train.train_clip import train_clip as train_clip

__version__: str

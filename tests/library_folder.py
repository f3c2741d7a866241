"""A folder with a small pool and what the other verbs made of it, for the examples of the library."""

from pathlib import Path

from datascaler.data.select.select_subset import select_subset
from datascaler.score.score_pool import score_pool
from datascaler.spec.score import ScoreSpec
from tests.evaluate.sets import TEN_CLASSES, labelled, write_set
from tests.forecasting.runs import leave_ladder
from tests.tiny_clip import save_local_dir
from tests.train.runs import make_pool


def make_library_folder(folder: Path) -> None:
    """pool/ (24 samples, 2 shards), model/, scored/ with the best half as subsets/clip-f0.5, evalsets/, and ladder/."""
    pool = make_pool(str(folder / "pool"), samples=24, samples_per_shard=12)
    model = save_local_dir(str(folder / "model"))
    scored = str(folder / "scored")
    score_pool(ScoreSpec(data_dir=pool, output_dir=scored, method="clip", model=model, num_workers=1))
    select_subset(scored, method="clip", fraction=0.5, formats=("npy",))
    write_set(str(folder / "evalsets/wds_cifar10_test"), labelled(8), shards=1, classnames=TEN_CLASSES)
    leave_ladder(str(folder / "ladder"), {"clip-f0.3": 0.5, "none-f1.0": 0.6})

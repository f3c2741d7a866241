"""A set that `pool make-evalset` made is taken by `eval` as it is, on its own or beside DataComp's."""

from pathlib import Path
from typing import Any

import pytest

from datascaler.data.make.make_evalset import make_classification_set, make_retrieval_set
from datascaler.evaluate.evaluate_clip import evaluate_clip
from datascaler.evaluate.own_sets import tasks_of
from datascaler.spec.evaluate import EvalSpec
from tests.data.tars import picture
from tests.evaluate.sets import labelled, write_set
from tests.tiny_clip import save_local_dir


@pytest.fixture
def evalsets(tmp_path: Path) -> Path:
    """Two sets of one's own: 6 pictures of two classes, as a Mac keeps them, and 4 with captions."""
    images = tmp_path / "images"
    for number in range(6):
        folder = images / ("red hat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(picture(number))
        (folder / f"._{number}.png").write_bytes(b"\0\5\x16\7")
    made = make_classification_set(str(images), str(tmp_path / "evalsets/hats and dogs"))
    assert (made.images, made.classes, made.failures) == (6, 2, {})
    rows = [f"dog/{number}.png,number {number}" for number in (1, 3, 5)]
    (tmp_path / "c.csv").write_text("\n".join(["file,caption", *rows, "dog/1.png,the first"]) + "\n")
    make_retrieval_set(str(images), str(tmp_path / "c.csv"), str(tmp_path / "evalsets/found"))
    return tmp_path / "evalsets"


def evaluated(tmp_path: Path, data_dir: Path, **options: Any) -> dict[str, Any]:
    model = save_local_dir(str(tmp_path / "model"))
    out = str(tmp_path / f"out-{data_dir.name}")
    (row,) = evaluate_clip(EvalSpec(data_dir=str(data_dir), model=model, output_dir=out, num_workers=1, **options))
    return row


def test_a_folder_of_sets_and_a_set_itself(evalsets: Path, tmp_path: Path) -> None:
    row = evaluated(tmp_path, evalsets)
    assert (sorted(row["scores"]), row["missing"], row["warnings"]) == (["found", "hats and dogs"], [], {})
    one = evaluated(tmp_path, evalsets / "found")
    assert one["scores"] == {"found": row["scores"]["found"]}
    assert evaluated(tmp_path, evalsets, tasks=("hats*",))["scores"] == row["scores"]


def test_sets_beside_datacomps_and_moved_ones(evalsets: Path, tmp_path: Path) -> None:
    (evalsets / "found").rename(evalsets / "moved")
    own, data_dir = tasks_of(None, str(evalsets))
    assert (sorted(task.key for task in own), data_dir) == (["hats and dogs", "moved"], str(evalsets))
    assert [(task.size, task.main_metric, task.num_classes) for task in own] == [
        (6, "acc1", 2),
        (3, "mean_recall@1", None),
    ]
    write_set(str(evalsets / "wds_cifar10_test"), labelled(4))
    assert len(tasks_of(None, str(evalsets))[0]) == 42
    assert len(tasks_of(None, str(tmp_path / "nowhere"))[0]) == 40
    assert tasks_of(str(evalsets / "moved"), "x")[1] == "x"

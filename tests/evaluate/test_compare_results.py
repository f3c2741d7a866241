"""Models side by side: paired intervals against resampling by hand, what can't be paired, and the command."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.runs.run_folder import run_url, start_run
from datascaler.errors import ConfigError
from datascaler.evaluate.compare_results import Comparison, compare_results
from datascaler.evaluate.evaluate_tasks import evaluate_tasks
from datascaler.spec.train import datacomp_recipe
from tests.evaluate.sets import captioned, labelled, task_of, write_set
from tests.tiny_clip import tiny_loaded_clip

TASKS = [
    task_of("imagenet1k", 60, group="ImageNet"),
    task_of("cifar10", 50),
    task_of("retrieval/flickr_1k_test_image_text_retrieval", 30, main_metric="mean_recall@1", group="Retrieval"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """first/ and second/, results of two models on the same three tasks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    made = tmp_path_factory.mktemp("compared")
    for seed, task in enumerate(TASKS[:2]):
        write_set(str(made / f"data/wds_{task.key}_test"), labelled(task.size, seed=100 * seed))
    write_set(str(made / "data/wds_flickr_1k_test_image_text_retrieval_test"), captioned(30), dataset_type="retrieval")
    for seed, name in enumerate(("first", "second")):
        evaluate_tasks(
            tiny_loaded_clip(seed), data_dir=str(made / "data"), output_dir=str(made / name), tasks=TASKS, num_workers=1
        )
    torch.set_num_threads(before)
    return made


def row(found: Comparison, name: str) -> Any:
    return next(each for each in (*found.averages, *found.tasks) if each.name == name)


def test_differences_of_tasks_groups_and_the_average(folder: Path) -> None:
    found = compare_results([str(folder / "first"), str(folder / "second")])
    scores = [storage.read_json(f"{folder}/{name}/eval_summary.json")["scores"] for name in ("first", "second")]
    assert [each.name for each in found.tasks] == ["cifar10", "imagenet1k", TASKS[2].key]
    for each in found.tasks:
        assert each.scores == [of[each.name] for of in scores]
        assert each.differences == [None, scores[1][each.name] - scores[0][each.name]]
        assert each.intervals[1] is not None
        assert each.differences[1] is not None
        assert each.intervals[1][0] <= each.differences[1] <= each.intervals[1][1]
        assert (each.scored, each.tasks, each.note) == (1, 1, "")
    average = row(found, "average")
    assert (average.scored, average.tasks) == (3, 38)
    assert average.scores == pytest.approx([np.mean(list(of.values())) for of in scores])
    assert average.intervals[0] is None
    assert (row(found, "Retrieval").scored, row(found, "Retrieval").tasks) == (1, 3)
    assert row(found, "Retrieval").intervals == row(found, TASKS[2].key).intervals
    assert (row(found, "VTAB").scored, row(found, "VTAB").scores) == (0, [None, None])
    assert (row(found, "decision set").scored, row(found, "decision set").tasks) == (2, 14)


def test_the_interval_is_that_of_images_drawn_again(folder: Path) -> None:
    """By hand: rows are drawn with replacement, the same for both models."""
    found = compare_results([str(folder / "first"), str(folder / "second")], resamples=20_000)
    draw = np.random.default_rng(7)
    differences = []
    for key in ("imagenet1k", "cifar10"):
        first, second = (
            pq.read_table(folder / name / f"eval_samples/{key}.parquet")["correct"].to_numpy()
            for name in ("first", "second")
        )
        rows = draw.integers(0, len(first), (20_000, len(first)))
        drawn = second[rows].mean(axis=1) - first[rows].mean(axis=1)
        assert row(found, key).intervals[1] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.021)
        differences.append(drawn)
    assert found.tasks == compare_results([str(folder / "first"), str(folder / "second")], resamples=20_000).tasks
    assert row(found, "decision set").intervals[1] == pytest.approx(
        np.quantile(np.mean(differences, axis=0), [0.025, 0.975]), abs=0.01
    )


def test_a_pair_is_told_apart_more_surely_than_two_strangers(tmp_path: Path) -> None:
    """Two models agree on all but 20 of 1,000 images: on other images of the kind the difference would be alike."""
    draw = np.random.default_rng(0)
    right = draw.random(1000) < 0.5
    better = right.copy()
    better[np.flatnonzero(~right)[:20]] = True
    for name, hits in (("a", right), ("b", better)):
        write_result(tmp_path / name, "imagenet1k", {"acc1": float(hits.mean())}, hits)
    (low, high) = row(compare_results([f"{tmp_path}/a", f"{tmp_path}/b"]), "imagenet1k").intervals[1]
    # The difference is a share of 20 in 1,000, so its standard deviation is that of a binomial.
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.02 * 0.98 / 1000), rel=0.1)
    assert low > 0


def write_result(folder: Path, key: str, metrics: dict[str, float], hits: np.ndarray | None = None) -> None:
    """A result as DataComp's evaluation leaves it, and samples as ours does."""
    folder.mkdir(parents=True, exist_ok=True)
    line = {"key": key, "dataset": key, "metrics": {**metrics, "main_metric": next(iter(metrics.values()))}}
    with (folder / "eval_results.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    if hits is not None:
        numbers = np.arange(len(hits))
        samples = {"key": [f"s{number}" for number in numbers], "label": numbers % 3, "rank": np.where(hits, 1, 2)}
        (folder / "eval_samples").mkdir(exist_ok=True)
        pq.write_table(pa.table(samples), folder / f"eval_samples/{key.replace('/', '-')}.parquet")


def test_what_is_missing_stands_in_its_row_and_enters_no_average(tmp_path: Path) -> None:
    hits = np.arange(10) < 5
    for name in ("a", "b"):
        write_result(tmp_path / name, "imagenet1k", {"acc1": 0.5}, hits)
    write_result(tmp_path / "a", "mnist", {"acc1": 0.9}, hits)
    found = compare_results([f"{tmp_path}/a", f"{tmp_path}/b"])
    assert (row(found, "average").scored, row(found, "average").scores) == (1, [0.5, 0.5])
    mnist = row(found, "mnist")
    assert (mnist.scores, mnist.differences, mnist.scored) == ([0.9, None], [None, None], 0)
    assert mnist.note == f"missing in {tmp_path}/b"


def test_results_of_datacomps_own_evaluation_have_no_intervals(tmp_path: Path) -> None:
    """Its lines may hold a bare NaN, and a task twice, of which the last counts."""
    write_result(tmp_path / "theirs", "imagenet1k", {"acc1": 0.1})
    write_result(tmp_path / "theirs", "imagenet1k", {"acc1": 0.25})
    write_result(tmp_path / "theirs", "wilds/fmow", {"acc_worst_region": 0.5, "acc_region:3": float("nan")})
    write_result(tmp_path / "ours", "imagenet1k", {"acc1": 0.5}, np.arange(10) < 5)
    write_result(tmp_path / "ours", "wilds/fmow", {"acc_worst_named_region": 0.75, "acc_worst_region": 0.25})
    theirs = f"{tmp_path}/theirs/eval_results.jsonl"
    found = compare_results([f"{tmp_path}/ours", theirs])
    assert row(found, "imagenet1k").differences == [None, -0.25]
    assert row(found, "imagenet1k").note == f"no eval_samples of {theirs}"
    # Both have DataComp's metric of FMoW, so it is compared.
    assert row(found, "wilds/fmow").scores == [0.25, 0.5]
    assert row(found, "average").intervals == [None, None]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda table: table.slice(1), "has other samples than"),
        (lambda table: table.set_column(1, "label", [pa.array([0] * 10)]), "has other samples than"),
        (lambda table: table.set_column(2, "rank", [pa.array([2] * 10)]), "are not those of its result"),
        (lambda table: table.set_column(2, "rank", [pa.array([1, None] * 5)]), "has other samples than"),
    ],
    ids=["fewer", "other labels", "of another result", "other images decode"],
)
def test_samples_that_do_not_pair_give_no_interval(tmp_path: Path, change: Any, note: str) -> None:
    hits = np.arange(10) < 5
    for name in ("a", "b"):
        write_result(tmp_path / name, "imagenet1k", {"acc1": 0.5}, hits)
    samples = tmp_path / "b/eval_samples/imagenet1k.parquet"
    pq.write_table(change(pq.read_table(samples)), samples)
    found = row(compare_results([f"{tmp_path}/a", f"{tmp_path}/b"]), "imagenet1k")
    assert (found.differences, found.intervals) == ([None, 0.0], [None, None])
    assert note in found.note


def test_seeds_of_a_run_tell_how_much_of_a_difference_is_chance(tmp_path: Path) -> None:
    scores = {"clip": (0.30, 0.34), "none": (0.20, 0.22, 0.24)}
    for method, accuracies in scores.items():
        for seed, accuracy in enumerate(accuracies):
            spec = datacomp_recipe("small", data_dir="pool", output_dir=str(tmp_path), method=method, seed=seed)
            start_run(spec, {}, "")
            write_result(Path(run_url(spec), "eval"), "imagenet1k", {"acc1": accuracy})
    results = [storage.parent(info.url) for info in storage.list_files(str(tmp_path), "/run.json", recursive=True)]
    found = {each.name: each for each in compare_results(results).seeds}
    noise = np.sqrt((2 * 0.02**2 + 2 * 0.02**2) / 3)
    for name in ("imagenet1k", "ImageNet", "average"):
        assert (found[name].runs, found[name].configurations) == (5, 2)
        assert (found[name].signal, found[name].noise) == pytest.approx((0.1, noise))
    shown = CliRunner().invoke(cli, ["eval", "compare", *results]).stdout
    assert re.search(rf"imagenet1k +{0.1 / noise:.1f} +0\.1000 +{noise:.4f} +5 runs of 2 configuration", shown)
    assert compare_results([results[0], results[-1]]).seeds == []


@pytest.mark.parametrize(
    ("results", "options", "message"),
    [
        (["a"], {}, "give at least two results"),
        ([], {"published": "small"}, "give at least two results"),
        (["a"], {"published": "huge"}, "for the scales small, medium, not for 'huge'"),
        (["a", "b"], {"resamples": 0}, "resamples must be at least 1, got 0"),
        (["a", "b"], {"picture": "x.bmp"}, r"must be a \.png, \.svg or \.pdf file, got x\.bmp"),
        (["a", "nothing"], {}, "no eval_results.jsonl in .*nothing or its folder eval"),
        (["a", "torn/eval_results.jsonl"], {}, "torn/eval_results.jsonl: line 2 is not a result"),
    ],
)
def test_what_can_not_be_compared(tmp_path: Path, results: list[str], options: dict[str, Any], message: str) -> None:
    for name in ("a", "b", "torn"):
        write_result(tmp_path / name, "imagenet1k", {"acc1": 0.5})
    with (tmp_path / "torn/eval_results.jsonl").open("a") as file:
        file.write('{"key": "mnist", "metr')
    with pytest.raises(ConfigError, match=message):
        compare_results([f"{tmp_path}/{name}" for name in results], **options)


def test_the_command_prints_standings_differences_and_a_picture(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "second", tmp_path / "run/eval")
    words = [str(folder / "first"), str(tmp_path / "run"), "--published", "small", "--picture", str(tmp_path / "c.svg")]
    result = CliRunner().invoke(cli, ["eval", "compare", *words])
    assert result.exception is None, result.output
    lines = result.stdout.splitlines()
    assert "(3 of 38)" in lines[1]
    assert re.search(r"published, small: CLIP score \(L/14 30%\) \(3\.8M\) +0\.173 \(38 of 38\)", result.stdout)
    assert f"{tmp_path}/run less {folder}/first" in lines
    assert sum(line.split()[0] in ("average", "imagenet1k", "cifar10") for line in lines if line.strip()) == 3
    picture = (tmp_path / "c.svg").read_text()
    assert picture.startswith("<?xml")
    first = (tmp_path / "c.svg").read_bytes()
    printed = CliRunner().invoke(cli, ["eval", "compare", *words, "--json"]).stdout
    record = json.loads(printed)
    assert record["results"] == words[:2]
    assert [len(record["tasks"]), len(record["published"])] == [3, 7]
    assert (tmp_path / "c.svg").read_bytes() == first
    refused = CliRunner().invoke(cli, ["submit", "eval", "compare", "a"])
    assert "eval compare is no work for pods: run `datascaler eval compare ...` here" in refused.stderr

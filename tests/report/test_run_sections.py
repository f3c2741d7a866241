"""What the page says of muP, cost, restarts, seeds and inputs is what the files say."""

import json
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

from datascaler import storage
from datascaler.data.runs.sweep_results import collect_sweep
from datascaler.spec.cost import a100_hours
from tests.forecasting.runs import run_of
from tests.report.folders import (
    leave_coord_check,
    leave_results,
    leave_scored_pool,
    leave_training_run,
)
from tests.report.test_make_report import Parsed, figures_of, report

ROWS = [(100, 1, 8), (200, 1, 8), (300, 2, 8), (400, 3, 4), (500, 3, 4)]
"""Samples seen, start and processes: killed after 200 samples, and again on half of the nodes after 300."""


def table_of(page: str, name: str) -> list[list[str]]:
    """What a program reads of a table: of every cell its value, or its text."""
    rows: list[list[str]] = []
    parts = page.split(f'<div class="table" id="{name}">', 1)[1].split("</table>", 1)[0].split("<tbody>")[1]
    for part in parts.split("<tr>")[1:]:
        cells = part.replace("<th", "<td").split("<td")[1:]
        rows.append(
            [each.split('data-value="')[1].split('"')[0] if "data-value" in each else _text(each) for each in cells]
        )
    return rows


def _text(cell: str) -> str:
    return cell.split("<bdi>")[1].split("</bdi>")[0]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = str(tmp_path_factory.mktemp("study"))
    leave_scored_pool(folder)
    for seed in (0, 1, 2):
        url = leave_training_run(run_of(f"{folder}/runs", "clip-f0.3", seed=seed), 4.0)
        leave_results(f"{url}/eval", 0.3 + 0.01 * seed, tasks=5, seed=seed)
    broken = run_of(f"{folder}/runs", "none-f1.0", train_num_samples=500, batch_size=100)
    url = leave_training_run(broken, 4.0)
    row = {"loss": 2.0, "samples_per_second": 50.0}
    lines = [
        {**row, "step": seen // 100, "samples_seen": seen, "start": start, "processes": processes}
        for seen, start, processes in ROWS
    ]
    lines[0]["loss"] = 3.0
    storage.publish_text(f"{url}/metrics.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    for width, losses in ((Fraction(1, 4), (4.0, 3.6, 3.9)), (Fraction(1), (3.7, 3.2, 3.1))):
        first = run_of(f"{folder}/sweep", "clip-f0.3", use_mup=True, width_mult=width, min_width_mult=Fraction(1, 4))
        points = [replace(first, lr=lr, train_num_samples=1_280_000) for lr in (3e-4, 1e-3, 3e-3)]
        for point, loss in zip(points, losses, strict=True):
            leave_training_run(point, loss)
        collect_sweep(points)
    leave_coord_check(folder)
    made, page = report(folder, folder=folder)
    assert (made.sweeps, made.coord_checks, made.unreadable) == (2, 1, {})
    return folder, page


def test_restarts_and_changes_of_the_world_size_are_on_the_axis(study: tuple[str, str]) -> None:
    figure = figures_of(study[1])["training-loss"]
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [200, 300]
    (marks,) = [trace for trace in figure["traces"] if trace["mode"] == "markers"]
    assert (marks["x"], marks["y"]) == ([200, 300], [2, 2])
    assert [text.partition(": ")[0] for text in marks["text"]] == ["start 2", "start 3, 8 -&gt; 4 processes"]
    (row,) = [row for row in table_of(study[1], "training-runs") if row[0].startswith("none-f1.0")]
    assert row[-2:] == ["3", "8 -&gt; 4"]


def test_the_cost_is_that_of_the_rows(study: tuple[str, str]) -> None:
    folder, page = study
    rows = {row[0]: row for row in table_of(page, "training-cost")}
    (own,) = [row for label, row in rows.items() if label.startswith("none-f1.0")]
    # 300 samples on 8 processes and 200 on 4, at 50 a second.
    assert float(own[2]) == pytest.approx((300 * 8 + 200 * 4) / 50 / 3600)
    assert float(own[3]) == pytest.approx(a100_hours("ViT-B-32", Fraction(1), 500))
    (other,) = [row for label, row in rows.items() if label.startswith("clip-f0.3, w1.0, SP") and "seed 2" in label]
    assert (other[1], other[2]) == (str(12_800_000), "")
    ((_, done, of, gigabytes),) = table_of(page, "scoring-cost")
    size = sum(path.stat().st_size for path in Path(folder, "pool").glob("*.tar"))
    assert (done, of) == ("3", "3")
    assert float(gigabytes) == pytest.approx(size / 1e9)


def test_a_branch_counts_what_is_its_own(tmp_path: Path) -> None:
    url = leave_training_run(run_of(str(tmp_path), "none-f1.0", train_num_samples=500, batch_size=100), 4.0)
    row = {"loss": 2.0, "samples_per_second": 50.0, "processes": 2}
    lines = [{**row, "samples_seen": seen, "start": int(seen > 200)} for seen in (100, 200, 300, 400, 500)]
    storage.publish_text(f"{url}/metrics.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    _, page = report(str(tmp_path), folder=str(tmp_path))
    ((_, _, hours, estimate),) = table_of(page, "training-cost")
    assert float(hours) == pytest.approx(300 * 2 / 50 / 3600)
    assert float(estimate) == pytest.approx(a100_hours("ViT-B-32", Fraction(1), 300))


def test_the_coordinate_check_is_drawn_over_width(study: tuple[str, str]) -> None:
    _, page = study
    figures = figures_of(page)
    for trace in figures["coordinates-0-mup"]["traces"]:
        assert trace["y"] == pytest.approx([1.1**0.5] * 4, rel=1e-5)
    grown = figures["coordinates-0-standard"]["traces"][1]
    assert grown["x"] == [2, 4, 8, 16]
    assert grown["y"] == pytest.approx([1.1**0.5 * width**0.8 for width in (2, 4, 8, 16)], rel=1e-5)
    assert "at 4 widths: passed. Under the standard parametrisation blocks grow as width^+0.80." in Parsed(page).text
    slopes = table_of(page, "slopes-0")
    assert ["block", "vision 1", "2", "0.0", "0.8", "yes"] in slopes
    assert len(slopes) == 12


def test_the_transfer_of_the_learning_rate_is_told(study: tuple[str, str]) -> None:
    _, page = study
    rows = table_of(page, "transfer")
    assert [row[1:5] for row in rows] == [["muP", "0.25", "0.001", "3.6"], ["muP", "1.0", "0.003", "3.1"]]
    assert [float(row[5]) for row in rows] == [0, pytest.approx(0.1)]
    said = "the best learning rate is 0.001 at width 0.25, and 3 times that at 4 times the width."
    assert said in Parsed(page).text


def test_the_spread_over_seeds_is_that_of_the_runs(study: tuple[str, str]) -> None:
    folder, page = study
    rows = {row[0]: row for row in table_of(page, "seeds")}
    averages = [
        storage.read_json(info.url)["average"]
        for info in storage.list_files(folder, "/eval_summary.json", recursive=True)
    ]
    assert len(averages) == 3
    assert float(rows["average"][1]) == pytest.approx(stdev(averages))
    assert rows["average"][4] == "3"


def test_every_input_has_its_hash(study: tuple[str, str]) -> None:
    folder, page = study
    rows = {(row[0], row[1]): row[2] for row in table_of(page, "inputs")}
    for what, suffix in (("coordinate check", "coord_check.json"), ("list of shards", "shards.parquet")):
        (info,) = storage.list_files(folder, suffix, recursive=True)
        where = info.url.removesuffix("/shards.parquet")
        assert rows[what, where] == f"file sha256 {_digest(info.url)}"
    for info in storage.list_files(f"{folder}/sweep", ".json", recursive=True):
        if storage.basename(info.url).startswith("sweep-"):
            assert rows["sweep", info.url] == f"file sha256 {_digest(info.url)}"
    assert {what for what, _ in rows} == {
        "list of shards",
        "scores",
        "subset",
        "run",
        "results",
        "sweep",
        "coordinate check",
    }
    assert all(told != "-" for told in rows.values())


def test_evaluation_sets_are_named_by_content(tmp_path: Path) -> None:
    for name, data in (("a", "1" * 16), ("b", "2" * 16)):
        leave_results(f"{tmp_path}/{name}", 0.3, tasks=1)
        record: dict[str, Any] = storage.read_json(f"{tmp_path}/{name}/eval_summary.json")
        (key,) = record["by_task"]
        record["by_task"][key]["data"] = data
        storage.publish_json(f"{tmp_path}/{name}/eval_summary.json", record)
    _, page = report(str(tmp_path), folder=str(tmp_path))
    sets = [row[1:3] for row in table_of(page, "inputs") if row[0] == "evaluation set"]
    assert sets == [[key, f"content {'1' * 16}"], [key, f"content {'2' * 16}"]]


@pytest.mark.parametrize("text", ["[]", '{"coordinates": 1}', '{"verdict": "passed", "growth_of_standard": "x"}'])
def test_what_is_no_coordinate_check_is_said(tmp_path: Path, text: str) -> None:
    leave_results(f"{tmp_path}/a", 0.3, tasks=1)
    storage.publish_text(f"{tmp_path}/coord_check.json", text)
    made, page = report(str(tmp_path), folder=str(tmp_path))
    assert list(made.unreadable) == [f"{tmp_path}/coord_check.json"]
    assert "coord_check.json can&#39;t be read:" in page


def _digest(url: str) -> str:
    return sha256(storage.read_bytes(url)).hexdigest()[:16]

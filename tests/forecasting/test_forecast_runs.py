"""Forecasts from run folders: what is read, left out and said, and that nothing is extrapolated in silence."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from datascaler import storage
from datascaler.cli.forecast import forecast_command
from datascaler.data.runs.run_folder import record_divergence, run_url, start_run
from datascaler.errors import ConfigError
from datascaler.evaluate.tasks import load_tasks
from datascaler.forecasting.forecast_runs import forecast
from datascaler.forecasting.ladder import read_ladder
from datascaler.forecasting.noise import noise_of, published_spread
from datascaler.forecasting.published import METRICS, Array, datacomp_filters
from datascaler.forecasting.transfer import features_of, fit_transfer
from datascaler.spec.cost import a100_hours
from tests.forecasting.runs import leave_ladder, leave_run, run_of

GROUPS = {"ImageNet": 0, "IN shifts": 1, "VTAB": 2, "Retrieval": 3}


def scores_of(published: Array) -> dict[str, float]:
    """Scores of the 38 tasks whose groups and average are these."""
    scored = [task for task in load_tasks() if task.main_metric]
    known = {task.key: float(published[GROUPS[task.group]]) for task in scored if task.group in GROUPS}
    others = [task.key for task in scored if task.key not in known]
    rest = (38 * float(published[4]) - sum(known.values())) / len(others)
    return known | dict.fromkeys(others, rest)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = str(tmp_path_factory.mktemp("ladder"))
    leave_ladder(made, {"clip-f0.3": 0.5, "none-f1.0": 0.6})
    return made


def test_a_clear_winner_is_picked(folder: str) -> None:
    made = forecast(folder, target_samples=64_000_000, metric="imagenet")
    assert made.decision == "pick"
    assert made.verdict.startswith("pick clip-f0.3: it beats each of the others with ")
    assert made.next_run is None
    best, worse = made.filters
    truth = 1 - (0.2 + 0.5 * 16**-0.3)
    assert best.low80 is not None
    assert best.high80 is not None
    assert best.low80 < truth < best.high80 < 0.7
    assert best.best_probability > 0.95 > 1 - worse.best_probability - 0.05
    assert (made.beyond.samples, made.beyond.size, made.beyond.compute) == (4, 1, 4)
    assert [piece.name for piece in made.evidence if piece.used] == ["law", "transfer"]
    assert any("goes on falling by the same law beyond the largest run" in each for each in made.assumptions)
    assert json.loads(json.dumps(asdict(made), allow_nan=False))["metric"] == "imagenet"
    assert forecast(folder, target_samples=64_000_000, metric="imagenet") == made


@pytest.mark.parametrize("evidence", ["law", "transfer", "noise"])
def test_each_piece_of_evidence_stands_alone(folder: str, evidence: str) -> None:
    samples = 16_000_000 if evidence == "noise" else 64_000_000
    made = forecast(folder, target_samples=samples, metric="imagenet", evidence=[evidence])
    assert [(piece.name, piece.used) for piece in made.evidence] == [(evidence, True)]
    assert made.filters[0].filter == "clip-f0.3"
    # Published places order filters; how good they are they don't know.
    assert (made.filters[0].predicted is None) == (evidence == "transfer")
    assert (made.assumptions == []) == (evidence == "noise")


@pytest.mark.parametrize("seed", [0, 1])
def test_a_new_run_at_the_target_differs_by_its_own_noise_and_that_of_the_runs_known(folder: str, seed: int) -> None:
    """The two are independent, so their variances add up."""
    made = forecast(folder, target_samples=16_000_000, metric="imagenet", evidence=["noise"], seed=seed)
    for found in made.filters:
        assert found.low95 is not None
        assert found.high95 is not None
        assert found.high95 - found.low95 == pytest.approx(2 * 1.96 * np.sqrt(2) * made.noise, rel=0.1)


def test_it_does_not_extrapolate_along_what_no_run_varied(folder: str) -> None:
    made = forecast(folder, target="large", metric="imagenet", evidence=["law"])
    assert made.decision == "unpredictable"
    assert made.verdict.startswith("not predictable from these runs: law: all runs have one model size")
    assert (made.filters, made.pairs, made.next_run) == ([], [], None)
    assert made.beyond.size == pytest.approx(2.8, abs=0.1)
    order_only = forecast(folder, target="large", metric="imagenet")
    assert [piece.used for piece in order_only.evidence] == [False, False, True]
    assert "How good it will be can't be told" in order_only.verdict


def test_filters_that_are_equal_are_a_tie_with_a_next_run(tmp_path: Path) -> None:
    leave_ladder(str(tmp_path), {"clip-f0.3": 0.5, "dfn-f0.3": 0.5005})
    made = forecast(str(tmp_path), target_samples=160_000_000, metric="imagenet", margin=0.02)
    assert made.decision == "tie"
    assert "clip-f0.3" in made.verdict.partition(" can't be told apart")[0]
    assert "dfn-f0.3" in made.verdict.partition(" can't be told apart")[0]
    assert "either will do" in made.verdict
    run = made.next_run
    assert run is not None
    assert sorted(run.filters) == ["clip-f0.3", "dfn-f0.3"]
    assert run.a100_hours == 2 * (a100_hours("ViT-B-32", Fraction(1), run.samples) or 0)
    assert 0 <= run.regret_after < run.regret_before
    assert run.samples <= 160_000_000


def test_datacomps_own_scales_are_the_published_regression(tmp_path: Path) -> None:
    table = datacomp_filters()["small"]
    kept = {"clip-f0.3": "CLIP L14 score top 30%", "clip-f0.1": "CLIP L14 score top 10%", "none-f1.0": "No filtering"}
    for name, published in kept.items():
        leave_run(run_of(str(tmp_path), name), scores_of(table[published].scores))
    made = forecast(str(tmp_path), target="medium")
    assert made.tasks == 38
    assert made.decision == "pick"
    names = sorted(kept)
    features = features_of(
        np.array([table[kept[name]].scores for name in names]), np.array([float(name.split("-f")[1]) for name in names])
    )
    expected, _ = fit_transfer(["small"], "medium", "average").predict(features)
    for each in made.filters:
        assert each.predicted == pytest.approx(1 / (1 + np.exp(-expected[names.index(each.filter)])), abs=0.002)
    assert [piece.says for piece in made.evidence if piece.used] == [
        f"63 published filters, small to medium, by {', '.join(METRICS)}"
    ]


def test_what_can_not_be_used_is_left_out_with_its_reason(tmp_path: Path) -> None:
    out = str(tmp_path)
    good = leave_run(run_of(out, "clip-f0.3"), {"cifar10": 0.3})
    reasons: dict[str, str] = {}
    unfinished = run_of(out, "clip-f0.3", seed=1)
    start_run(unfinished, {}, "datascaler train")
    reasons[run_url(unfinished)] = "it is not complete"
    diverged = run_of(out, "clip-f0.3", seed=2)
    start_run(diverged, {}, "datascaler train")
    record_divergence(diverged, 7, "the loss is nan")
    reasons[run_url(diverged)] = "it diverged at step 7"
    for seed, line in enumerate(
        ['{"key": "cifar10"}', "[]", '{"key":"x","metrics":{"main_metric":NaN}}', "{"], start=3
    ):
        url = leave_run(run_of(out, "clip-f0.3", seed=seed), {"cifar10": 0.3})
        storage.publish_text(storage.join(url, "eval", "eval_results.jsonl"), line + "\n")
        reasons[url] = "has a line that is no result"
    unevaluated = leave_run(run_of(out, "clip-f0.3", seed=9), {"cifar10": 0.3})
    storage.remove(storage.join(unevaluated, "eval", "eval_results.jsonl"))
    reasons[unevaluated] = "run `datascaler eval` on it"
    unknown = run_of(out, "clip-f0.3", seed=10)
    reasons[leave_run(replace(unknown, fraction=None), {"cifar10": 0.3})] = "nothing says which fraction of its pool"
    found, left_out = read_ladder([out])
    assert [run.url for run in found] == [good]
    assert left_out.keys() == reasons.keys()
    assert all(reason in left_out[url] for url, reason in reasons.items())
    with pytest.raises(ConfigError, match=r"no run in .* is finished and evaluated\n.*not complete"):
        read_ladder([run_url(unfinished)])


def test_two_subsets_under_one_name_are_not_two_seeds(tmp_path: Path) -> None:
    spec = run_of(str(tmp_path), "clip-f0.3")
    leave_run(spec, {"cifar10": 0.3})
    leave_run(replace(spec, subset_file="other.npy", seed=1), {"cifar10": 0.3})
    with pytest.raises(ConfigError, match=r"clip-f0\.3 is .*clip\.npy in .* and other\.npy in .*: give the runs"):
        forecast(str(tmp_path), target="medium")


def test_a_name_out_of_a_file_is_shown_harmlessly(tmp_path: Path) -> None:
    leave_run(run_of(str(tmp_path), "\x1b[31ma/b-f0.3"), {"cifar10": 0.3})
    shown = CliRunner().invoke(forecast_command, [str(tmp_path), "--target", "small"])
    assert shown.exit_code == 0, shown.output
    assert "\x1b" not in shown.output
    assert "[31ma/b-f0.3 is the only filter" in shown.output


def test_the_best_of_a_sweep_counts(tmp_path: Path) -> None:
    for lr, value in ((1e-4, 0.2), (5e-4, 0.3), (2e-3, 0.1)):
        leave_run(run_of(str(tmp_path), "clip-f0.3", lr=lr), {"cifar10": value})
    made = forecast(str(tmp_path), target="small", metric="cifar10")
    assert made.runs == 1
    assert made.filters[0].predicted == pytest.approx(0.3, abs=0.002)


def test_how_much_was_seen_twice_is_in_the_recipe(tmp_path: Path) -> None:
    spec = run_of(str(tmp_path), "clip-f0.3")
    url = leave_run(spec, {"cifar10": 0.3})
    (run,) = read_ladder([url])[0]
    assert (run.pool, run.kept) == (12_800_000, 0.3)
    storage.publish_json(
        str(tmp_path / "clip.json"), {"digest": "d", "rows": 1000, "kept_uids": 500, "distinct_uids": 50}
    )
    (run,) = read_ladder([url])[0]
    assert (run.pool, run.kept) == (1000, 0.05)


def test_runs_in_an_object_store(folder: str) -> None:
    for info in storage.list_files(folder, recursive=True):
        name = storage.relative_to(info.url, folder)
        storage.publish_bytes(f"memory://forecast/{name}", storage.read_bytes(info.url))
    local, remote = (
        forecast(each, target_samples=16_000_000, metric="imagenet") for each in (folder, "memory://forecast")
    )
    assert local == remote


def test_noise_is_that_of_seeds_and_of_published_pairs(tmp_path: Path) -> None:
    leave_ladder(str(tmp_path), {"clip-f0.3": 0.5}, seeds=2)
    runs, _ = read_ladder([str(tmp_path)])
    found = noise_of(runs, {run.url: run.scores["imagenet1k"] for run in runs}, "imagenet")
    published, pairs = published_spread("imagenet")
    # Three pairs of seeds, 0.001 apart.
    assert found.spread == pytest.approx(np.sqrt((3 * 0.001**2 / 2 + 4 * published**2) / 7))
    assert found.source.startswith("6 runs that differ in their seed only, at 3 points, and 6 published pairs")
    assert pairs == 6
    assert 0.001 < published < 0.005


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either a target scale"),
        ({"target": "huge"}, "unknown scale 'huge'"),
        ({"target": "large", "target_width": Fraction(1)}, "has its own width"),
        ({"target_samples": 0}, "target_samples must be above 0, got 0"),
        ({"target": "large", "margin": -0.1}, "margin must be at least 0 and below 1, got -0.1"),
        (
            {"target": "large", "evidence": ["tea leaves"]},
            "evidence must be some of law, transfer, noise, got 'tea leaves'",
        ),
        ({"target": "large", "metric": "cifar"}, "tasks that all 6 have: imagenet1k"),
    ],
)
def test_what_can_not_be_asked(folder: str, options: Mapping[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        forecast(folder, **options)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_the_command(folder: str) -> None:
    asked = [folder, "--target-samples", "16M", "--metric", "imagenet"]
    shown = CliRunner().invoke(forecast_command, asked)
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].startswith("pick clip-f0.3: ")
    assert "filter     predicted  80%" in lines[2]
    assert "* clip-f0.3" in lines[3]
    assert "beyond    1 times the samples, 1 times the size and 1 times the compute of the largest runs" in lines
    printed = json.loads(CliRunner().invoke(forecast_command, [*asked, "--json"]).stdout)
    assert printed == json.loads(json.dumps(asdict(forecast(folder, target_samples=16_000_000, metric="imagenet"))))
    refused = CliRunner().invoke(forecast_command, [folder])
    assert refused.exit_code == 2
    assert "give either a target scale" in refused.output

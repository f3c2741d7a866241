"""The page of a study: what it says is what the files say, and nothing that others wrote does anything in it."""

import json
import re
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from datascaler import storage
from datascaler.errors import ConfigError
from datascaler.evaluate.tasks import GROUPS
from datascaler.forecasting.forecast_runs import forecast
from datascaler.report.make_report import MadeReport, make_report
from datascaler.report.render_page import render_page
from datascaler.spec.report import ReportSpec
from datascaler.storage.filesystem import filesystem
from tests.forecasting.runs import leave_ladder, run_of
from tests.report.folders import (
    ROWS,
    SCORE_ID,
    SHARDS,
    leave_everything,
    leave_results,
    leave_scored_pool,
    leave_training_run,
)

VOID = {"meta", "link", "img", "br", "input", "hr"}
LONG = "x" * (1 << 20)
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "</title></style><iframe src=//evil.example>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u202c \u2066hidden\u2069",
    "שלום עולם \u200f caption",
    "😀👩\u200d👩\u200d👧 emoji",
    "bell \x07 escape \x1b[31m null \x00 half \ud83d",
    "javascript:alert(1)",
    '=HYPERLINK("http://evil.example")',
    LONG,
]


class Parsed(HTMLParser):
    """Elements with their attributes, and the texts of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def report(*runs: str, folder: str, **values: Any) -> tuple[MadeReport, str]:
    made = make_report(ReportSpec(runs=runs, output=f"{folder}/report.html", **values))
    return made, storage.read_text(made.page)


def figures_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)
    assert found is not None
    figures: dict[str, Any] = json.loads(found[1])
    return figures


def dots_of(figure: dict[str, Any]) -> list[float]:
    dots: list[float] = figure["traces"][-1]["x"]
    return dots


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A folder with everything, and its page."""
    folder = leave_everything(str(tmp_path_factory.mktemp("study")))
    made, page = report(folder, folder=folder)
    assert (made.scored, made.subsets, made.runs, made.sweeps, made.results) == (1, 2, 11, 1, 6)
    assert made.unreadable == {}
    return folder, page


def test_the_averages_are_those_of_the_results(study: tuple[str, str]) -> None:
    folder, page = study
    lines = [storage.read_text(info.url).splitlines() for info in storage.list_files(folder, ".jsonl", recursive=True)]
    results = [rows for rows in ([json.loads(line) for line in each] for each in lines) if "metrics" in rows[0]]
    expected = sorted((fmean(row["metrics"]["main_metric"] for row in rows) for rows in results), reverse=True)
    assert dots_of(figures_of(page)["averages-picture"]) == pytest.approx(expected, abs=1e-12)
    assert "over 38 of 38 tasks" in page


def test_every_point_of_a_curve_is_a_row_of_the_log(study: tuple[str, str]) -> None:
    folder, page = study
    logs = [
        [json.loads(line)["loss"] for line in storage.read_text(info.url).splitlines()]
        for info in storage.list_files(folder, "/metrics.jsonl", recursive=True)
    ]
    drawn = [trace["y"] for trace in figures_of(page)["training-loss"]["traces"]]
    assert sorted(drawn) == sorted(logs)


def test_a_histogram_counts_every_row_and_says_of_how_many(study: tuple[str, str]) -> None:
    _, page = study
    parts = {trace["name"]: sum(trace["y"]) for trace in figures_of(page)["scores-0-0"]["traces"]}
    bad = sum(number % 19 == 18 for number in range(SHARDS * ROWS))
    assert parts == {"kept": 18, "dropped": SHARDS * ROWS - bad - 18}
    assert f"Of all {SHARDS * ROWS - bad} rows with a score of {SHARDS * ROWS} rows." in page
    assert "clip-f0.3 keeps 18 of them (31.6%)." in page


def test_samples_are_shown_by_their_scores(study: tuple[str, str]) -> None:
    _, page = study
    text = Parsed(page).text
    for title in (f"Highest scores ({SCORE_ID})", "Next to the threshold of", f"Lowest scores ({SCORE_ID})"):
        assert title in text
    assert page.count('src="data:image/jpeg;base64,') == 24
    # The best are the pool's first.
    assert text.index("caption 0") < text.index("caption 7") < text.index("Next to the threshold")
    assert "empty image" in text


def test_differences_have_paired_intervals(study: tuple[str, str]) -> None:
    _, page = study
    figure = figures_of(page)["differences"]
    assert figure["layout"]["yaxis"]["ticktext"] == ["average", *GROUPS, "decision set"]
    intervals, dots = figure["traces"][::2], figure["traces"][1::2]
    assert [trace["name"] for trace in dots[:2]] == ["clip-f0.3, seed 1", "clip-f0.3, seed 0"]
    for ends, trace in zip(intervals, dots, strict=True):
        for low, middle, high in zip(ends["x"][::3], trace["x"], ends["x"][1::3], strict=True):
            assert low <= middle <= high
    assert "less none-f1.0, seed 1" in page


def test_the_sweep_names_its_best_point(study: tuple[str, str]) -> None:
    text = Parsed(study[1]).text
    assert "the best of 5 complete points of 5 is lr 0.001, weight decay 0.2" in text


def test_where_it_is_from_is_said(study: tuple[str, str]) -> None:
    folder, page = study
    text = Parsed(page).text
    assert f"datascaler report --output {folder}/report.html {folder}" in text
    assert "pool_digest 0000000000000000" in text
    assert "weights abababababababab" in text


def test_the_page_asks_for_nothing_and_runs_its_own_scripts_only(study: tuple[str, str]) -> None:
    parsed = Parsed(study[1])
    assert parsed.open == []
    for tag, attributes in parsed.elements:
        assert not any(name.startswith("on") for name in attributes), tag
        assert tag not in ("iframe", "object", "embed", "base", "form")
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), attributes
    (policy,) = (attributes["content"] for _, attributes in parsed.elements if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy.partition("style-src")[0]
    assert "connect-src" not in policy


def test_everything_has_a_name_for_those_who_do_not_see_it(study: tuple[str, str]) -> None:
    parsed = Parsed(study[1])
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in parsed.elements:
        if tag == "img":
            assert "alt" in attributes
        if attributes.get("role") == "img":
            assert attributes["aria-label"]
        if tag == "button" and "data-save" in attributes:
            assert attributes["aria-label"]
    headings = [tag for tag, _ in parsed.elements if tag in ("h1", "h2", "h3")]
    assert headings[:2] == ["h1", "h2"]
    assert headings.count("h1") == 1


def test_hostile_captions_are_texts(tmp_path: Path) -> None:
    scored = leave_scored_pool(str(tmp_path), HOSTILE)
    _, page = report(scored, folder=str(tmp_path), pictures=20)
    parsed = Parsed(page)
    assert parsed.open == []
    names = {tag for tag, _ in parsed.elements}
    assert not names & {"iframe", "svg"}
    assert sum(tag == "script" for tag, _ in parsed.elements) == 3
    assert not any(name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    for caption in [*HOSTILE[:5], HOSTILE[9], HOSTILE[10]]:
        assert caption in parsed.text
    assert "😀👩\u200d👩\u200d👧 emoji" in parsed.text
    assert "שלום עולם" in parsed.text
    # Written as escapes: what turns the line around, and what a terminal or a parser would act on.
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200f\u202a-\u202e\u2066-\u2069]", page)
    assert "\\u202egnp.exe" in parsed.text
    assert "x" * 300 + "… (1,048,576 letters)" in parsed.text
    assert len(page) < 3_000_000


def test_hostile_names_of_tasks_and_runs_are_texts(tmp_path: Path) -> None:
    for number, key in enumerate(HOSTILE[:9]):
        line = {"key": key, "dataset": key, "metrics": {"main_metric": 0.5}}
        storage.publish_text(f"{tmp_path}/model<b>{number}/eval_results.jsonl", json.dumps(line) + "\n")
    _, page = report(str(tmp_path), folder=str(tmp_path))
    parsed = Parsed(page)
    assert sum(tag == "script" for tag, _ in parsed.elements) == 3
    assert not {tag for tag, _ in parsed.elements} & {"iframe", "svg", "b"}
    for label in figures_of(page)["averages-picture"]["layout"]["yaxis"]["ticktext"]:
        assert "<" not in label


def test_faces_are_made_unrecognisable(tmp_path: Path) -> None:
    """By the boxes of the sample's json; a sample whose boxes can't be read is not shown."""
    faces = [[[0.0, 0.0, 1.0, 1.0]], [["a", 0, 1, 1]], []]
    scored = leave_scored_pool(str(tmp_path), faces=faces)
    _, page = report(scored, folder=str(tmp_path), pictures=3)
    (best,) = re.findall(r"<h3>Highest.*?</ul>", page, re.S)
    assert best.count("<img") == 2
    assert "its face boxes can&#39;t be read, so it is not shown" in best


def test_a_shard_that_changed_shows_no_pictures(tmp_path: Path) -> None:
    scored = leave_scored_pool(str(tmp_path))
    storage.publish_bytes(f"{tmp_path}/pool/00000000.tar", b"x" * 512)
    _, page = report(scored, folder=str(tmp_path), pictures=2)
    assert "00000000.tar has changed" in Parsed(page).text


def test_a_forecast_comes_first(tmp_path: Path) -> None:
    ladder = str(tmp_path / "ladder")
    leave_ladder(ladder, {"clip-f0.3": 0.5, "none-f1.0": 0.6})
    made = forecast(ladder, target_samples=64_000_000, metric="imagenet")
    storage.publish_json(f"{tmp_path}/forecast.json", asdict(made))
    counts, page = report(str(tmp_path), folder=str(tmp_path), target_samples=64_000_000, metric="imagenet")
    assert counts.forecasts == 2
    places = [page.index(each) for each in ("The answer</h2>", made.verdict[1:], "Training</h2>")]
    assert places == sorted(places)
    figures = figures_of(page)
    for name in ("forecast-0", "forecast-1"):
        assert dots_of(figures[name]) == [each.predicted for each in made.filters]


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    good = leave_training_run(run_of(str(tmp_path), "none-f1.0"), 4.0)
    leave_results(f"{good}/eval", 0.3)
    storage.publish_text(f"{tmp_path}/torn/run.json", '{"spec": ')
    storage.publish_text(f"{tmp_path}/torn/eval/eval_results.jsonl", "{}\n")
    storage.publish_text(f"{tmp_path}/sweep-n1-s0-00000000.json", '{"points": []}')
    storage.publish_text(f"{tmp_path}/my_forecast.json", "[]")
    storage.publish_text(f"{good}/metrics.jsonl", '{"samples_seen": 1, "loss": 2}\n{"samp\n[1]\n{"loss": NaN}\n')
    made, page = report(str(tmp_path), folder=str(tmp_path))
    assert (made.runs, made.results) == (1, 1)
    assert len(made.unreadable) == 4
    assert "1 of 2 runs are complete" in page
    assert "3 damaged lines of metrics.jsonl are left out" in page


def test_the_baseline_is_one_of_the_results(tmp_path: Path) -> None:
    for name in ("a", "b"):
        leave_results(f"{tmp_path}/{name}", 0.3, tasks=5)
    _, page = report(str(tmp_path), folder=str(tmp_path), baseline=f"{tmp_path}/b", published="small")
    assert "less b" in page
    assert "No filtering (12.8M)" in page
    assert "(5 of 38)" in page
    with pytest.raises(ConfigError, match="baseline s3://elsewhere is not among the results"):
        report(str(tmp_path), folder=str(tmp_path), baseline="s3://elsewhere")


def test_a_folder_without_anything_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds nothing to report on"):
        report(str(tmp_path), folder=str(tmp_path))


def test_the_page_of_the_same_files_is_the_same(tmp_path: Path, s3_url: str) -> None:
    """And on a bucket it is what it is here."""
    for folder in (str(tmp_path), s3_url):
        leave_results(f"{folder}/a", 0.3)
        leave_scored_pool(folder)
    pages = [report(s3_url, folder=s3_url)[1] for _ in range(2)]
    assert pages[0] == pages[1]
    _, local = report(str(tmp_path), folder=str(tmp_path))
    assert figures_of(local) == figures_of(pages[0])
    # A browser shows it, and does not save it.
    fs, path = filesystem(f"{s3_url}/report.html")
    assert fs.info(path)["ContentType"].startswith("text/html")


def test_a_page_without_sections_is_a_page() -> None:
    assert Parsed(render_page("t", "s", "f", [])).open == []

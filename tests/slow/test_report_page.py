"""The report's page in a real browser: nothing is asked for, all is drawn, answers, and fits a phone."""

import asyncio
import csv
import io
import json
import subprocess
from collections.abc import Coroutine
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from datascaler import storage
from datascaler.report.make_report import make_report
from datascaler.spec.report import ReportSpec
from tests.browser import Browser, browser, chromium
from tests.report.folders import leave_everything, leave_scored_pool
from tests.report.test_make_report import HOSTILE

pytestmark = pytest.mark.slow
DRAWN = "document.documentElement?.dataset.drawn"
MARKS = """
[...document.querySelectorAll('[data-figure]')].map(plot => [
  plot.dataset.figure,
  [...plot.querySelectorAll('.points path, .point path, path.point, path.js-line')]
    .filter(mark => mark.getBoundingClientRect().width > 0).length])
"""
DATA = "document.getElementById('averages-picture').querySelector('.plot').data.at(-1).x"
PLACE = """
(() => {
  const plot = document.querySelector('[data-figure="NAME"]');
  plot.scrollIntoView({block: 'center'});
  const marks = plot.querySelectorAll('.points path, path.point');
  if (marks.length) {
    const box = marks[Math.floor(marks.length / 2)].getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  }
  const line = plot.querySelector('path.js-line');
  const middle = line.getPointAtLength(line.getTotalLength() / 2).matrixTransform(line.getScreenCTM());
  return [middle.x, middle.y];
})()
"""
"""Where the pointer is on something that is drawn."""
SAVE = """
(async () => {
  const saved = {};
  const blobs = {};
  const [click, create] = [HTMLAnchorElement.prototype.click, URL.createObjectURL];
  URL.createObjectURL = (blob) => {
    const url = create.call(URL, blob);
    blobs[url] = blob;
    return url;
  };
  HTMLAnchorElement.prototype.click = function () { saved[this.download] = this.href; };
  const buttons = [...document.querySelectorAll('button[data-save]')];
  for (const button of buttons) button.click();
  while (Object.keys(saved).length < buttons.length) await new Promise((done) => setTimeout(done, 50));
  [HTMLAnchorElement.prototype.click, URL.createObjectURL] = [click, create];
  for (const [name, url] of Object.entries(saved)) {
    saved[name] = blobs[url] ? await blobs[url].text() : url.slice(0, 40);
  }
  return saved;
})()
"""
"""Press every button that saves a file: its name, and what is in it or how its data: URL begins."""


@pytest.fixture(scope="module")
def installed() -> None:
    """Chromium, from Debian."""
    if chromium() is None:
        subprocess.run(["apt-get", "update", "-q"], check=True)
        subprocess.run(["apt-get", "install", "-yq", "--no-install-recommends", "chromium"], check=True)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def hover(page: Browser, name: str) -> str:
    """What is shown beside the pointer on a mark of the figure."""
    for _ in range(40):
        x, y = await page.evaluate(PLACE.replace("NAME", name))
        await page.move(x - 3, y)
        await page.move(x, y)
        shown: str = await page.evaluate(
            f"""document.querySelector('[data-figure="{name}"] .hoverlayer')?.textContent || ''"""
        )
        if shown:
            return shown
        await asyncio.sleep(0.25)
    raise AssertionError(f"{name} shows nothing under the pointer")


@pytest.mark.usefixtures("installed")
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    folder = leave_everything(str(tmp_path / "study"))
    made = make_report(ReportSpec(runs=(folder,), output=str(tmp_path / "report.html")))
    lines = [
        storage.read_text(info.url).splitlines()
        for info in storage.list_files(folder, "eval_results.jsonl", recursive=True)
    ]
    averages = sorted(
        (fmean(json.loads(line)["metrics"]["main_metric"] for line in each) for each in lines), reverse=True
    )

    async def look() -> None:
        async with browser(tmp_path) as page:
            await page.open(f"file://{made.page}", 1100, 900)
            await page.until(DRAWN)
            marks = dict(await page.evaluate(MARKS))
            assert {"averages-picture", "scores-0-0", "training-loss", "sweep-loss", "differences"} <= marks.keys()
            assert all(marks.values()), marks
            assert await page.evaluate(DATA) == pytest.approx(averages, abs=1e-12)
            for name in marks:
                assert await hover(page, name)
            await page.picture(tmp_path / "light.png")
            # Saved as files: of every figure a picture, a drawing and its points, and every table with all its rows.
            saved = await page.evaluate(SAVE)
            tables = await page.evaluate("[...document.querySelectorAll('.table')].map(e => e.id)")
            assert {"averages", "inputs", "slopes-0", "training-cost"} <= set(tables)
            names = [
                *(f"{name}.{kind}" for name in marks for kind in ("png", "svg", "csv")),
                *(f"{e}.csv" for e in tables),
            ]
            assert sorted(saved) == sorted(names)
            assert all(saved[f"{name}.png"].startswith("data:image/png;base64,") for name in marks)
            assert all(saved[f"{name}.svg"].startswith("data:image/svg+xml,") for name in marks)
            rows = list(csv.DictReader(io.StringIO(saved["averages-picture.csv"].removeprefix("\ufeff"))))
            assert [float(row["x"]) for row in rows if row["label"]] == pytest.approx(averages, abs=1e-12)
            rows = list(csv.DictReader(io.StringIO(saved["averages.csv"].removeprefix("\ufeff"))))
            assert [float(row["average (95%)"]) for row in rows] == pytest.approx(averages, abs=1e-12)
            assert page.said == []
            assert [each for each in page.requests if not each.startswith(("file://", "data:", "blob:"))] == []

            for dark in (False, True):
                await page.open(f"file://{made.page}", 400, 800, dark=dark)
                await page.until(DRAWN)
                assert await page.evaluate("document.documentElement.scrollWidth") == 400
                widths = await page.evaluate(
                    "[...document.querySelectorAll('.plot .main-svg')].map(e => e.clientWidth)"
                )
                assert max(widths) <= 400
            await page.picture(tmp_path / "dark-phone.png")
            colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert colour == "rgb(18, 22, 29)"
            assert page.said == []

    run(look())


@pytest.mark.usefixtures("installed")
def test_hostile_captions_do_nothing(tmp_path: Path) -> None:
    scored = leave_scored_pool(str(tmp_path), HOSTILE)
    made = make_report(ReportSpec(runs=(scored,), output=str(tmp_path / "report.html"), pictures=20))

    async def look() -> None:
        async with browser(tmp_path) as page:
            await page.open(f"file://{made.page}", 1100, 900)
            await page.until(DRAWN)
            captions = await page.evaluate("[...document.querySelectorAll('.caption')].map(e => e.textContent)")
            assert HOSTILE[:5] == captions[:5]
            assert await page.evaluate("document.querySelectorAll('script').length") == 3
            assert page.said == []
            # And what the policy is for: a script that came in all the same does not run.
            await page.evaluate(
                "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.bad = 1\">')"
            )
            await asyncio.sleep(1)
            assert await page.evaluate("window.bad === undefined")
            assert [each for each in page.requests if not each.startswith(("file://", "data:"))] == []

    run(look())

"""The same as tests/charts/test_hostile.py and tests/cli/submit/test_hostile_flags.py, with many more texts."""

from pathlib import Path

import pytest

from tests.charts.hostile_values import CHARTS, rounds
from tests.charts.render import helm
from tests.cli.submit.hostile_flags import try_flags

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_every_value_of_a_chart(chart: Path) -> None:
    rounds(chart, 60)


@pytest.mark.parametrize("seed", range(5))
def test_every_cluster_flag(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASCALER_HELM", helm())
    try_flags(tmp_path, seed + 1, 40)

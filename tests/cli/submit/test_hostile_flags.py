"""Hostile texts behind every cluster flag reach the manifests as they were typed, or are refused by name."""

from pathlib import Path

import pytest

from datascaler.cli.submit.cluster_options import FLAGS
from tests.charts.render import helm
from tests.cli.submit.hostile_flags import try_flags


def test_every_cluster_flag_with_hostile_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASCALER_HELM", helm())
    texts = {flag.name for flag in FLAGS if flag.type is str}
    assert try_flags(tmp_path, seed=0, texts=3) >= texts

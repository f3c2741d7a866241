"""Where helm and the charts are found, and what helm refuses, in one line."""

from pathlib import Path
from typing import Any

import pytest

from datascaler.cluster.kube.helm import RUN_CHART, chart_folder, helm_program, objects_of, render
from datascaler.errors import ClusterError, ConfigError
from tests.charts import render as charts

OK: dict[str, Any] = {"kind": "score", "command": ["datascaler", "score"]}


def test_the_chart_is_the_checkouts() -> None:
    folder = chart_folder(RUN_CHART)
    assert folder == charts.RUN_CHART
    assert (folder / "Chart.yaml").is_file()


def test_an_installed_package_has_its_own_charts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "charts" / RUN_CHART).mkdir(parents=True)
    monkeypatch.setattr("datascaler.cluster.kube.helm._PACKAGE", tmp_path)
    assert chart_folder(RUN_CHART) == tmp_path / "charts" / RUN_CHART


def test_helm_is_the_one_that_is_named_else_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = tmp_path / "helm"
    on_path.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DATASCALER_HELM", "/opt/helm")
    assert helm_program() == "/opt/helm"
    monkeypatch.delenv("DATASCALER_HELM")
    assert helm_program() == str(on_path)


def test_without_helm_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DATASCALER_HELM", raising=False)
    # An installed package has no checkout around it.
    monkeypatch.setattr("datascaler.cluster.kube.helm._CHECKOUT", tmp_path)
    with pytest.raises(ClusterError, match=r"helm is not on PATH; install helm 3\.14 or newer"):
        helm_program()


@pytest.mark.usefixtures("real_helm")
def test_rendered_for_a_version_of_kubernetes() -> None:
    """Before 1.31 a Job knows no success policy."""
    train = {"kind": "train", "command": ["datascaler", "train"], "train": {"backend": "job"}}
    for version, has_policy in (("1.30.0", False), ("1.36.3", True)):
        *_, job = objects_of(render("one", "ns", train, version))
        assert ("successPolicy" in job["spec"]) is has_policy
        assert job["metadata"]["namespace"] == "ns"


@pytest.mark.usefixtures("real_helm")
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gpu": {"cuont": 1}}, "'/gpu': additional properties 'cuont' not allowed"),
        ({"gpu": {"count": -1}}, "'/gpu/count': minimum: got -1, want 0"),
        ({"kind": "scores"}, "'/kind': value must be one of 'score', 'subset', 'train', 'eval', 'report', 'pipeline'"),
        ({"shmSize": "4 GB"}, "'/shmSize'"),
        ({"completions": 4}, "the command says --count 1 but completions is 4; make them equal"),
        ({"command": []}, "command is empty; give it as a list, [datascaler, score, ...]"),
        ({"env": {"AWS_SECRET_ACCESS_KEY": "x"}}, "env.AWS_SECRET_ACCESS_KEY would put a credential into a manifest"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_is_one_line_with_the_name_of_the_value(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        render("my-run", "ns", OK | values)
    message = str(refused.value)
    assert message.startswith("the values of run my-run were refused: ")
    assert said in message
    assert "\n" not in message
    for around in ("execution error", "templates/", "--debug", "level=", ".tpl", "Error:"):
        assert around not in message


@pytest.mark.usefixtures("real_helm")
def test_several_refusals_are_all_said() -> None:
    with pytest.raises(ConfigError) as refused:
        render("my-run", "ns", OK | {"gpu": {"count": -1}, "shmSize": "4 GB"})
    assert "/gpu/count" in str(refused.value)
    assert "/shmSize" in str(refused.value)


def test_a_helm_that_can_not_be_started_is_an_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATASCALER_HELM", str(tmp_path / "absent"))
    with pytest.raises(ClusterError, match=r"helm can't be started: .*absent: No such file or directory"):
        render("my-run", "ns", OK)

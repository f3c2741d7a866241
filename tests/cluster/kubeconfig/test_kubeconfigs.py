"""Odd kubeconfigs lead where kubectl goes with them, by the same way and as the same one; or to one line."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.kube.connect import connect
from datascaler.errors import DatascalerError
from tests.cluster.kubeconfig.cases import CASES
from tests.cluster.kubeconfig.setting import RECORD, setting
from tests.cluster.kubeconfig.sites import Sites, sites

BY_KUBECTL: dict[str, dict[str, Any]] = json.loads(RECORD.read_text())


@pytest.fixture(scope="module")
def there() -> Iterator[Sites]:
    with sites() as found:
        yield found


@pytest.mark.parametrize("name", CASES)
def test_it_is_as_with_kubectl_or_one_line(name: str, there: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    case, wanted = CASES[name], BY_KUBECTL[name]
    with setting(case, there) as found, Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        for variable in os.environ:
            monkeypatch.delenv(variable)
        for variable, value in found.environment.items():
            monkeypatch.setenv(variable, value)
        said = ""
        try:
            cluster = connect(found.namespace or None, found.context or None, found.flag or None)
            cluster.api.get(path_of("Pod", cluster.namespace))
        except DatascalerError as error:
            said = str(error)
    if "refused" in wanted or case.refused_by_us:
        assert said
        assert "\n" not in said
        assert there.seen == []
    else:
        assert said == ""
        assert there.seen == [wanted]


def test_the_record_is_of_these_cases() -> None:
    assert list(BY_KUBECTL) == list(CASES), "`python -m tests.cluster.kubeconfig.setting` writes it anew"

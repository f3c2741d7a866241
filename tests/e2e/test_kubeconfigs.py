"""What is on record of kubectl's dealings with odd kubeconfigs is what it does."""

import json

import pytest

from tests.cluster.kubeconfig.setting import RECORD, by_kubectl

pytestmark = pytest.mark.e2e


def test_the_record_is_what_kubectl_does() -> None:
    now, then = by_kubectl(), json.loads(RECORD.read_text())
    # Its words have addresses in them.
    assert {name: "refused" in each or each for name, each in now.items()} == {
        name: "refused" in each or each for name, each in then.items()
    }

"""What `doctor` finds, from the rights, the operator and the defaults that a real server told."""

from pathlib import Path
from typing import Any

import pytest

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.kube.defaults import look_around
from datascaler.cluster.watch.doctor import Finding, examine
from datascaler.errors import ClusterError
from tests.cluster.replay import Answer, Query, Replay, recorded_answer

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
DEFAULTS = path_of("ConfigMap", "ml", "datascaler-defaults")
ACCOUNT = path_of("ServiceAccount", "ml", "datascaler-worker")

pytestmark = pytest.mark.usefixtures("real_helm")


@pytest.fixture
def furnished(server: Replay) -> Replay:
    """A namespace with the chart `datascaler`, seen by its launcher account; the operator is there."""
    server.answer("POST", REVIEWS, *recorded_answer("rights of the launcher"))
    server.answer("GET", DEFAULTS, *recorded_answer("configmap"))
    server.answer("GET", ACCOUNT, *recorded_answer("service account"))
    server.answer("GET", "/apis/kubeflow.org/v1", *recorded_answer("operator"))
    return server


def findings(api: Api, **urls: str) -> dict[str, Finding]:
    found = {finding.check: finding for finding in examine(api, "ml", **urls)}
    assert all("\n" not in finding.said for finding in found.values())
    return found


def test_a_furnished_namespace(furnished: Replay, api: Api) -> None:
    found = findings(api)
    assert [check for check, finding in found.items() if not finding.ok] == []
    assert found["API server"].said == f"Kubernetes {recorded_answer('version')[1]['gitVersion']}"
    assert found["rights"].said == "may submit, watch, scale and cancel runs in namespace ml"
    assert found["defaults"].said == "ConfigMap datascaler-defaults, service account datascaler-worker"
    assert [path for path, _, _ in furnished.requests("POST")] == [REVIEWS]


@pytest.mark.usefixtures("furnished")
def test_an_administrator_may_everything(server: Replay, api: Api) -> None:
    server.answer("POST", REVIEWS, *recorded_answer("rights of an administrator"))
    assert findings(api)["rights"].ok


def test_who_has_no_rights_is_told_which_and_how_to_get_them(furnished: Replay, api: Api) -> None:
    furnished.answer("POST", REVIEWS, *recorded_answer("rights of nobody"))
    found = findings(api)["rights"]
    assert not found.ok
    assert found.is_fatal
    assert found.said.startswith(
        "in namespace ml you may not get jobs, list jobs, create jobs, patch jobs, delete jobs, "
    )
    assert "patch pytorchjobs/scale" in found.said
    assert found.said.endswith("bind the Role datascaler-launcher to you (rbac.subjects of the chart datascaler)")


@pytest.mark.parametrize(
    ("rule", "missing"),
    [
        ({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}, ""),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, ""),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, "list pods"),
        ({"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*"]}, "get pods, list pods"),
        ({"verbs": ["*"], "apiGroups": [""], "resources": ["pods/log"]}, "get pods, list pods"),
        ({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["one"]}, "get pods, list pods"),
    ],
)
def test_how_rules_are_read(rule: dict[str, Any], missing: str, furnished: Replay, api: Api) -> None:
    status, answer = recorded_answer("rights of the launcher")
    others = [each for each in answer["status"]["resourceRules"] if "pods" not in each["resources"]]
    events = {"verbs": ["list"], "apiGroups": [""], "resources": ["events"]}
    answer["status"]["resourceRules"] = [*others, events, rule]
    furnished.answer("POST", REVIEWS, status, answer)
    found = findings(api)["rights"]
    assert found.ok is not bool(missing)
    assert f"you may not {missing}; bind" in found.said or not missing


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (set(), "may submit, watch"),
        ({"pods/log"}, "you may not get pods/log; bind"),
        (
            {"jobs", "events"},
            "you may not get jobs, list jobs, create jobs, patch jobs, delete jobs, list events; bind",
        ),
    ],
)
def test_where_the_server_can_not_list_the_rights_it_is_asked_for_each(
    refused: set[str], said: str, furnished: Replay, api: Api
) -> None:
    """The answers are written by hand, after the documented API: only a webhook that authorizes gives such."""
    status, rules = recorded_answer("rights of nobody")
    furnished.answer("POST", REVIEWS, status, rules | {"status": rules["status"] | {"incomplete": True}})

    def decide(method: str, path: str, _query: Query, body: Any) -> Answer | None:
        if method != "POST" or path != ACCESS:
            return None
        asked = body["spec"]["resourceAttributes"]
        assert asked["namespace"] == "ml"
        resource = "/".join(filter(None, (asked["resource"], asked["subresource"])))
        return 201, body | {"status": {"allowed": resource not in refused}}

    furnished.answers.append(decide)
    found = findings(api)["rights"]
    assert found.ok is not bool(refused)
    assert said in found.said


@pytest.mark.usefixtures("furnished")
def test_another_operator_of_the_same_group_is_not_ours(server: Replay, api: Api) -> None:
    status, answer = recorded_answer("operator")
    others = [each for each in answer["resources"] if not each["name"].startswith("pytorchjobs")]
    assert others
    server.answer("GET", "/apis/kubeflow.org/v1", status, answer | {"resources": others})
    assert not findings(api)["training operator"].ok
    assert not look_around(api, "ml").has_operator


def test_an_empty_namespace(server: Replay, api: Api) -> None:
    server.answer("POST", REVIEWS, *recorded_answer("rights of an administrator"))
    found = findings(api)
    assert {check for check, finding in found.items() if not finding.ok} == {"training operator", "defaults"}
    # submit can do without both.
    assert not found["training operator"].is_fatal
    assert found["training operator"].said == "absent: training runs as an Indexed Job"
    assert not found["defaults"].is_fatal
    assert found["defaults"].said.startswith("no ConfigMap datascaler-defaults; helm install datascaler ")


def test_a_service_account_that_is_missing(furnished: Replay, api: Api) -> None:
    """No pod could be created, and only an event would say so."""
    furnished.answer("GET", ACCOUNT, *recorded_answer("not found"))
    found = findings(api)["defaults"]
    assert (found.ok, found.is_fatal) == (False, True)
    assert found.said == "service account datascaler-worker does not exist; no pod could be created"


def test_without_a_server_nothing_stops_the_other_checks(api: Api) -> None:
    api._client.configuration.host = "http://127.0.0.1:1"
    found = findings(api)
    assert [check for check, finding in found.items() if finding.ok] == ["helm"]
    assert found["API server"].said.startswith("no answer from the API server http://127.0.0.1:1")


@pytest.mark.usefixtures("furnished")
def test_storage(api: Api, tmp_path: Path) -> None:
    pool, out = tmp_path / "pool", tmp_path / "out"
    (pool / "shards").mkdir(parents=True)
    (pool / "shards" / "0.tar").touch()
    out.mkdir()
    found = findings(api, data_dir=str(pool), output_dir=str(out))
    assert found["data-dir"].said == f"{pool}: 1 shards"
    assert found["output-dir"].ok
    # The probe is gone.
    assert list(out.iterdir()) == []
    found = findings(api, data_dir=str(tmp_path / "absent"), output_dir="nowhere://bucket/out")
    assert (found["data-dir"].ok, found["output-dir"].ok) == (False, False)


@pytest.mark.usefixtures("furnished")
def test_shards_are_found_by_the_rule_of_all_verbs(api: Api, tmp_path: Path) -> None:
    for name in ("a/0.tar", "b/c/1.TAR", "b/2.tar.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for source, shards in ((tmp_path, 2), (f"{tmp_path}/{{a,b/c}}", 2), (f"{tmp_path}/a::{tmp_path}/b/*", 2)):
        assert findings(api, data_dir=str(source))["data-dir"].said.startswith(f"{source}: {shards} shards"), source
    said = findings(api, data_dir=str(tmp_path))["data-dir"].said
    assert "passed over 1: 1 as 2.tar.gz (compressed" in said


def test_a_namespace_that_is_not_there(furnished: Replay, api: Api) -> None:
    """The server answers questions of rights about any name."""
    status, answer = recorded_answer("not found")
    furnished.answer("GET", "/api/v1/namespaces/ml", status, answer | {"message": 'namespaces "ml" not found'})
    found = findings(api)["rights"]
    assert (found.ok, found.is_fatal) == (False, True)
    assert found.said == "there is no namespace ml; check --namespace and --context"


# ---- what a submit asks before it describes anything -------------------------------------------------------------


def test_the_surroundings(furnished: Replay, api: Api) -> None:
    around = look_around(api, "ml")
    assert around.has_defaults
    assert around.has_operator
    assert around.defaults["serviceAccountName"] == "datascaler-worker"
    assert around.kubernetes == recorded_answer("version")[1]["gitVersion"].lstrip("v")
    assert {path for path, _, _ in furnished.requests("GET")} == {"/version", DEFAULTS, "/apis/kubeflow.org/v1"}


@pytest.mark.parametrize("about", ["not found", "forbidden"])
def test_defaults_that_can_not_be_read_are_none(about: str, furnished: Replay, api: Api) -> None:
    furnished.answer("GET", DEFAULTS, *recorded_answer(about))
    around = look_around(api, "ml")
    assert (around.has_defaults, around.defaults) == (False, {})


@pytest.mark.parametrize("text", ["[]", "just words", "a: b: c", "{"])
def test_defaults_that_are_no_values(text: str, furnished: Replay, api: Api) -> None:
    status, config_map = recorded_answer("configmap")
    furnished.answer("GET", DEFAULTS, status, config_map | {"data": {"values.yaml": text}})
    with pytest.raises(ClusterError, match=r"ConfigMap ml/datascaler-defaults: key values\.yaml") as refused:
        look_around(api, "ml")
    assert "\n" not in str(refused.value)

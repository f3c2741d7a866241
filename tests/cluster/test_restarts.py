"""An API server that is restarted under a verb: once it has answered, what it says meanwhile is waited out."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.replay import Answer, Query, Replay, recorded_answer
from tests.cluster.submitting import submit
from tests.cluster.test_commands import invoke

pytestmark = pytest.mark.usefixtures("kubeconfig")

DURING = (503, 401, 401, 403, 403, 500)
"""What a server says that goes away, comes back, and learns whom it knows and what they may do."""

VERBS: dict[str, tuple[str, ...]] = {
    "list": ("list",),
    "status": ("status", "some-failed"),
    "describe": ("describe", "some-failed"),
    "wait": ("wait", "some-failed"),
    "logs": ("logs", "some-failed"),
    "logs -f": ("logs", "-f", "some-failed"),
    "scale": ("scale", "running", "1"),
    "cancel": ("cancel", "running"),
    "doctor": ("doctor",),
    "retry": ("retry", "some-failed"),
}


def restart(server: Replay, after: int) -> Callable[[], bool]:
    """Let the requests after that one fail for a while; whether they have."""
    said: list[int] = []
    left = list(DURING)

    def answer(_method: str, path: str, _query: Query, _body: Any) -> Answer | None:
        if path == "/readyz":
            return (500, "[-]informer-sync failed") if left else (200, "ok")
        said.append(0)
        return (left.pop(0), {"message": "not now"}) if len(said) > after and left else None

    server.answers.append(answer)
    return lambda: not left


def log(_method: str, path: str, _query: Query, _body: Any) -> Answer | None:
    return (200, "2026-01-01T00:00:00Z a line\n") if path.endswith("/log") else None


def furnish(server: Replay) -> None:
    server.objects.clear()
    server.answers[1:] = []  # but the version
    for name in ("some-failed", "running"):
        server.add_run(name)
    server.answers.append(log)
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    server.answer("POST", reviews, *recorded_answer("rights of an administrator"))
    for run in server.objects["/apis/batch/v1/namespaces/ml/jobs"]:
        run["metadata"].setdefault("annotations", {}).setdefault("datascaler/values", "{}")


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("kube.api", "watch.wait", "watch.follow_logs"):
        monkeypatch.setattr(f"datascaler.cluster.{module}._PAUSE_SECONDS", 0.001)


@pytest.mark.usefixtures("real_helm")
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_ends_as_if_nothing_had_been(verb: str, server: Replay) -> None:
    furnish(server)
    undisturbed = invoke(*VERBS[verb])
    asked = len(server.asked)
    drawn = random.Random(verb)
    for after in {1, *(drawn.randrange(1, max(2, asked - 1)) for _ in range(2))}:
        furnish(server)
        was_restarted = restart(server, after)
        result = invoke(*VERBS[verb])
        assert result.exit_code == undisturbed.exit_code, after
        # Lines of several pods come as they come.
        assert sorted(result.stdout.splitlines()) == sorted(undisturbed.stdout.splitlines()), after
        assert was_restarted()


@pytest.mark.usefixtures("real_helm")
def test_a_submit_too(server: Replay) -> None:
    was_restarted = restart(server, 1)
    result = submit("subset", "--name", "mine")
    assert (result.exit_code, result.stdout) == (0, "ml/mine\n")
    assert was_restarted()


def test_before_a_first_answer_nothing_is_waited_out(server: Replay) -> None:
    restart(server, 0)
    assert invoke("list").exit_code == 1
    assert len(server.asked) == 1

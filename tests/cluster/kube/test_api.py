"""The real client against recorded answers: pages, strict creation, refusals in one line, logs that break off."""

from collections.abc import Callable, Iterator
from threading import Event

import pytest
from kubernetes import client

from datascaler.cluster.kube.api import PAGE, Api, is_passing
from datascaler.cluster.kube.api_paths import path_of
from datascaler.errors import ClusterError, RefusedError
from tests.cluster.replay import CUT, Replay, recorded_answer

JOBS, PODS = path_of("Job", "ml"), path_of("Pod", "ml")
LOG = f"{PODS}/a-pod/log"


def test_a_list_is_read_page_by_page(server: Replay, api: Api) -> None:
    server.objects[PODS] = [
        {"metadata": {"name": f"p{number}", "labels": {"a": "b"}}} for number in range(2 * PAGE + 1)
    ]
    names = [each["metadata"]["name"] for each in api.items(PODS, labelSelector="a=b")]
    assert names == [f"p{number}" for number in range(2 * PAGE + 1)]
    queries = [query for _, query, _ in server.requests("GET")]
    assert [query["limit"] for query in queries] == [str(PAGE)] * 3
    assert [query.get("continue") for query in queries] == [None, str(PAGE), str(2 * PAGE)]
    assert {query["labelSelector"] for query in queries} == {"a=b"}


def test_an_empty_list(server: Replay, api: Api) -> None:
    server.answer("GET", PODS, 200, {"items": None, "metadata": {}})
    assert list(api.items(PODS)) == []


def test_pages_are_asked_for_as_they_are_needed(server: Replay, api: Api) -> None:
    server.objects[PODS] = [{"metadata": {"name": f"p{number}"}} for number in range(3 * PAGE)]
    next(api.items(PODS))
    assert len(server.asked) == 1


def test_creation_is_strict(server: Replay, api: Api) -> None:
    job = {"kind": "Job", "metadata": {"name": "a", "namespace": "ml"}, "spec": {"ä": 1}}
    assert api.create(JOBS, job, dry_run=True)["spec"] == {"ä": 1}
    assert server.objects == {}
    assert api.create(JOBS, job)["metadata"]["uid"]
    assert [(query, body) for _, query, body in server.requests("POST")] == [
        ({"fieldValidation": "Strict", "dryRun": "All"}, job),
        ({"fieldValidation": "Strict"}, job),
    ]


def test_patches_are_merged_and_deletion_takes_along_what_depends(server: Replay, api: Api) -> None:
    run = server.add_run("running")
    path = f"{JOBS}/running"
    assert api.patch(path, {"spec": {"parallelism": 1}})["spec"]["parallelism"] == 1
    deleted = api.delete(path)
    assert deleted is not None
    assert deleted["metadata"]["uid"] == run["metadata"]["uid"]
    assert server.requests("DELETE") == [(path, {"propagationPolicy": "Foreground"}, None)]
    assert api.delete(path) is None
    assert api.get_or_none(path) is None


@pytest.mark.parametrize(
    ("about", "method", "status", "message"),
    [
        ("not found", "get", 404, 'jobs.batch "absent" not found'),
        ("no such group", "get", 404, "Not Found"),
        (
            "forbidden",
            "get",
            403,
            'jobs.batch is forbidden: User "system:serviceaccount:ml:default" cannot list resource',
        ),
        ("already exists", "create", 409, 'jobs.batch "complete" already exists'),
        ("unknown field", "create", 400, 'strict decoding error: unknown field "spec.paralelism"'),
        ("immutable field", "patch", 422, "Invalid value: 7: can only be modified in tandem with spec.parallelism"),
    ],
)
def test_refusals(about: str, method: str, status: int, message: str, server: Replay, api: Api) -> None:
    """In the server's own words, which name verb, object and field."""
    verb = {"get": "GET", "create": "POST", "patch": "PATCH"}[method]
    server.answer(verb, "/*", *recorded_answer(about))
    with pytest.raises(RefusedError) as refused:
        getattr(api, method)(f"{JOBS}/complete", *([] if method == "get" else [{}]))
    assert str(refused.value).startswith(f"Kubernetes refused ({status}): ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.status == status
    assert refused.value.exit_code == 1


def test_who_is_not_known_is_told_to_log_in(server: Replay, api: Api) -> None:
    said = {"kind": "Status", "status": "Failure", "message": "Unauthorized", "reason": "Unauthorized", "code": 401}
    server.answer("GET", "/*", 401, said)
    with pytest.raises(RefusedError, match=r"\(401\): Unauthorized; log in again, or check --context"):
        api.get(JOBS)


def test_other_refusals_than_of_an_absent_object_are_not_hidden(server: Replay, api: Api) -> None:
    server.answer("GET", "/*", *recorded_answer("forbidden"))
    server.answer("DELETE", "/*", *recorded_answer("forbidden"))
    for act in (api.get_or_none, api.delete):
        with pytest.raises(RefusedError):
            act(f"{JOBS}/a")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 400, 401, 403, 404, 409, 422])
def test_a_busy_or_broken_server_is_away_for_a_moment_and_a_refusal_stays(
    status: int, server: Replay, api: Api
) -> None:
    server.answer("GET", "/*", status, {"message": "no"})
    with pytest.raises(RefusedError) as refused:
        api.get(JOBS)
    assert is_passing(refused.value) == (status in (429, 500, 502, 503, 504))


def test_a_server_that_is_not_there_is_one_line() -> None:
    settings = client.Configuration()
    settings.host = "http://127.0.0.1:1"
    with pytest.raises(ClusterError) as refused:
        Api(client.ApiClient(settings)).get(JOBS)
    assert str(refused.value).startswith("no answer from the API server http://127.0.0.1:1: ")
    assert str(refused.value).endswith("; check --context")
    assert "\n" not in str(refused.value)
    assert is_passing(refused.value)


# ---- logs ------------------------------------------------------------------------------------------------------


def test_a_log_comes_line_by_line(server: Replay, api: Api) -> None:
    server.answer("GET", LOG, *recorded_answer("log"))
    lines = list(api.lines(LOG, container="datascaler", timestamps="true"))
    assert [line.partition(" ")[2] for line in lines] == ["part 0", "done"]
    assert server.requests("GET") == [(LOG, {"container": "datascaler", "timestamps": "true"}, None)]


def test_lines_are_whole_however_the_log_comes(server: Replay, api: Api) -> None:
    server.answer("GET", LOG, 200, ["on", "e\ntwo\n\nthr", "ée\nlast"])
    assert list(api.lines(LOG)) == ["one", "two", "", "thrée", "last"]


def test_a_log_that_breaks_off(server: Replay, api: Api) -> None:
    """Its whole lines are there: the follower asks again from the last of them."""
    server.answer("GET", LOG, 200, ["one\ntwo\nthr", CUT])
    lines = api.lines(LOG)
    assert [next(lines), next(lines)] == ["one", "two"]
    with pytest.raises(ClusterError, match="broke off in the middle of a log") as broken:
        next(lines)
    assert is_passing(broken.value)


def test_a_line_is_there_as_soon_as_it_is_said(server: Replay, api: Api) -> None:
    """Not when so and so many bytes are."""
    heard = Event()

    def pieces() -> Iterator[str]:
        yield "one\n"
        assert heard.wait(60)
        yield "two\n"

    server.answer("GET", LOG, 200, pieces())
    lines = api.lines(LOG)
    assert next(lines) == "one"
    heard.set()
    assert list(lines) == ["two"]


def test_a_log_that_is_silent_for_long(server: Replay, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is one that breaks off: the follower asks again, over a connection that may be a better one."""
    monkeypatch.setattr("datascaler.cluster.kube.api._QUIET_SECONDS", 0.2)
    ended = Event()

    def pieces() -> Iterator[str]:
        yield "one\ntw"
        ended.wait(60)

    server.answer("GET", LOG, 200, pieces())
    lines = api.lines(LOG)
    assert next(lines) == "one"
    with pytest.raises(ClusterError, match="timed out"):
        next(lines)
    ended.set()


def test_a_refused_log_is_a_refusal(server: Replay, api: Api) -> None:
    server.answer("GET", LOG, *recorded_answer("log of an unknown container"))
    with pytest.raises(RefusedError, match=r"\(400\): container absent is not valid for pod"):
        list(api.lines(LOG))


# ---- after a first answer ----------------------------------------------------------------------------------------


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens in each pause, in place of time going by; more pauses than that are an error."""
    acts: list[Callable[[], object]] = []
    monkeypatch.setattr("datascaler.cluster.kube.api.time.sleep", lambda _seconds: acts.pop(0)())
    return acts


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_what_was_answered_before_is_asked_again(
    status: int, server: Replay, api: Api, pauses: list[Callable[[], object]]
) -> None:
    api.get(PODS)
    server.answer("GET", "/*", status, {"message": "no"})
    pauses += [lambda: None, server.answers.clear]
    assert api.get(PODS)["items"] == []
    assert pauses == []


def test_what_was_never_allowed_is_refused_at_once_by_a_server_that_is_ready(server: Replay, api: Api) -> None:
    api.get(PODS)
    server.answer("GET", "/readyz", 200, "ok")
    server.answer("DELETE", "/*", *recorded_answer("forbidden"))
    with pytest.raises(RefusedError):
        api.delete(f"{JOBS}/a")
    assert [(method, path) for method, path, _, _ in server.asked[1:]] == [
        ("DELETE", f"{JOBS}/a"),
        ("GET", "/readyz"),
    ]


@pytest.mark.parametrize("readiness", [401, 403, 500])
def test_a_server_that_is_not_ready_may_change_its_mind(
    readiness: int, server: Replay, api: Api, pauses: list[Callable[[], object]]
) -> None:
    api.get(PODS)
    server.answer("GET", "/readyz", readiness, {"message": "informer-sync failed"})
    server.answer("GET", JOBS, *recorded_answer("forbidden"))
    pauses += [lambda: None, server.answers.clear]
    assert api.get(JOBS)["items"] == []


def test_a_server_that_goes_away_is_waited_for_and_not_for_ever(
    server: Replay, api: Api, pauses: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    api.get(PODS)
    settings = api._client.configuration
    away, here = "http://127.0.0.1:1", server.url
    settings.host = away
    pauses += [lambda: None, lambda: setattr(settings, "host", here)]
    assert api.get(PODS)["items"] == []
    settings.host = away
    with pytest.raises(ClusterError, match="no answer"):
        api.impatient().get(PODS)
    monkeypatch.setattr(api, "_patience_seconds", 0)
    with pytest.raises(ClusterError, match="no answer"):
        api.get(PODS)


def test_a_credential_that_is_refused_is_renewed_once(server: Replay, api: Api) -> None:
    renewed: list[bool] = []

    def renew(*, refused: bool = False) -> bool:
        renewed.append(refused)
        if renewed.count(True) == 2:
            server.answers.clear()
        return True

    api.renew = renew
    server.answer("GET", PODS, 401, {"message": "Unauthorized"})
    with pytest.raises(RefusedError):
        api.get(PODS)
    assert renewed == [False, True, False]
    assert api.get(PODS)["items"] == []

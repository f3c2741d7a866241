"""charts/datascaler-run refuses wrong values, and the message names them."""

from pathlib import Path
from typing import Any

import pytest

from datascaler.spec.numbers import parse_count
from tests.charts.render import NAMESPACE_CHART, RUN_CHART, manifests, refusal

OK: dict[str, Any] = {"kind": "score", "name": "ok", "command": ["datascaler", "score"]}
SCORE_16 = ["datascaler", "score", "--count", "16"]
TRAIN = OK | {"kind": "train", "command": ["datascaler", "train"]}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kind": "scores"}, "/kind"),
        ({"gpus": 1}, "gpus"),
        ({"gpu": {"cuont": 1}}, "cuont"),
        ({"gpu": {"count": -1}}, "/gpu/count"),
        ({"gpu": {"resource": "gpu"}}, "/gpu/resource"),
        ({"command": ["datascaler", "score", "--count", 1]}, "/command/3"),
        ({"completions": 0}, "/completions"),
        ({"completions": 100_001}, "/completions"),
        ({"parallelism": "all"}, "/parallelism"),
        ({"shmSize": "4 GB"}, "/shmSize"),
        ({"resources": {"memory": 16}}, "/resources/memory"),
        ({"train": {"backend": "mpi"}}, "/train/backend"),
        ({"queue": {"system": "slurm"}}, "/queue/system"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"env": {"N": 1}}, "/env/N"),
        ({"env": {"N": {"secretKeyRef": {"name": "s"}}}}, "/env/N"),
        ({"tolerations": [{"efect": "NoSchedule"}]}, "efect"),
        ({"volumes": [{"name": "disk", "hostPath": {"path": "/"}}]}, "hostPath"),
        ({"podSecurityContext": {"runAsUser": 0}}, "/podSecurityContext/runAsUser"),
        ({"podOverlay": {"containers": []}}, "containers"),
        ({"labels": {"team": "a b"}}, "/labels/team"),
        ({"runs": [OK, {"command": ["datascaler"]}]}, "/runs/1"),
        ({"runs": [OK | {"gpus": 1}]}, "gpus"),
        ({"launcher": {"gpu": {"count": 1}}}, "gpu"),
        ({"launcher": {"image": {"pullPolicy": "Sometimes"}}}, "/launcher/image/pullPolicy"),
        ({"logs": ["s3://b"]}, "/logs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_by_the_schema(values: dict[str, Any], named: str) -> None:
    message = refusal(RUN_CHART, OK | values)
    assert "values don't meet the specifications of the schema" in message
    # Helm before 3.18 writes a.b.0 for /a/b/0.
    assert named in message or named.strip("/").replace("/", ".") in message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (OK | {"command": []}, "run ok: command is empty"),
        (OK | {"completions": 4}, "run ok: the command says --count 1 but completions is 4"),
        (OK | {"command": ["datascaler", "score", "--count=8"]}, "the command says --count 8 but completions is 1"),
        (OK | {"command": ["datascaler", "score", "--count=2K"]}, "the command says --count 2000 but completions is 1"),
        (OK | {"command": ["datascaler", "score", "--count", "2k2"]}, "says --count 2k2 but completions is 1"),
        (
            OK | {"command": ["datascaler", "score", "--count", "4", "--index", "2"], "completions": 4},
            "the command says --index 2, so completions must be 1",
        ),
        (
            OK | {"command": [*SCORE_16, "--indexes", "3,7-9"], "completions": 16},
            "the command says --indexes 3,7-9, which are 4, but completions is 16; make them equal",
        ),
        (OK | {"command": [*SCORE_16, "--indexes=3,,7"]}, "--indexes 3,,7, which is no list of numbers and ranges"),
        (OK | {"command": [*SCORE_16, "--indexes", "16"]}, "--indexes 16, but with --count 16 the last index is 15"),
        (OK | {"command": [*SCORE_16, "--indexes", "9-7"]}, "--indexes 9-7, which are 0, but completions is 1"),
        (OK | {"logs": "s3://b/logs", "env": {"DATASCALER_POD": "x"}}, "env.DATASCALER_POD is set by logs"),
        (OK | {"maxFailedIndexes": 2}, "maxFailedIndexes is 2, more than completions (1)"),
        (OK | {"kind": "subset", "completions": 2}, "a subset run can't be shared"),
        (TRAIN | {"train": {"workers": 4, "maxWorkers": 2}}, "train.workers is 4, which is not between"),
        (TRAIN | {"train": {"workers": 1, "minWorkers": 2}}, "train.workers is 1, which is not between"),
        (
            TRAIN | {"command": ["datascaler", "train", "--nproc-per-node", "2"]},
            "--nproc-per-node 2 but gpu.count is 1",
        ),
        (TRAIN | {"command": ["datascaler", "train", "--nproc_per_node=8"]}, "--nproc-per-node 8 but gpu.count is 1"),
        (TRAIN | {"name": "a" * 55}, "name has 55 characters; its last pod is called NAME-worker-0, so at most 54"),
        (OK | {"name": "a" * 63}, "so at most 61"),
        (OK | {"env": {"AWS_SECRET_ACCESS_KEY": "x"}}, "env.AWS_SECRET_ACCESS_KEY would put a credential"),
        (TRAIN | {"env": {"PET_NNODES": "2"}}, "env.PET_NNODES is set by the run's own object"),
        (OK | {"queue": {"priorityClass": "high"}}, "queue.priorityClass is high but queue.name is empty"),
        ({"runs": [OK, OK]}, "runs: two are called ok"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_by_a_check_of_several_values(values: dict[str, Any], message: str) -> None:
    assert message in refusal(RUN_CHART, values)


CREDENTIALS = (
    *("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "HF_TOKEN", "WANDB_API_KEY", "CLIENT_SECRET", "DB_PASSWORD"),
    *("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_KEY", "PRIVATE_KEY", "GIT_CREDENTIALS"),
    *("PROXY_CREDENTIAL", "FTP_PASS", "PASS", "FTP_PASSWD", "gcs_private_key"),
)


@pytest.mark.parametrize("variable", CREDENTIALS)
@pytest.mark.parametrize("chart", [RUN_CHART, NAMESPACE_CHART], ids=["run", "namespace"])
def test_credentials_are_not_taken_as_text(chart: Path, variable: str) -> None:
    values = OK | {"env": {variable: "x"}} if chart == RUN_CHART else {"storage": {"env": {variable: "x"}}}
    assert f"env.{variable} would put a credential" in refusal(chart, values)


def test_what_only_looks_like_a_credential_is_taken() -> None:
    env = {"GOOGLE_APPLICATION_CREDENTIALS": "/gcp/key.json", "AWS_SHARED_CREDENTIALS_FILE": "/aws/credentials"}
    env |= {"BYPASS": "1", "AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_FEDERATED_TOKEN_FILE": "/t", "TOKENIZERS": "1"}
    assert manifests(RUN_CHART, OK | {"env": env})
    assert manifests(NAMESPACE_CHART, {"storage": {"env": env}})


@pytest.mark.parametrize(
    ("count", "completions"),
    [("1K", 1000), ("2k", 2000), ("0.002M", 2000), ("1.5K", 1500), ("1_000", 1000), ("0.016K", 16), ("4", 4)],
)
def test_counts_are_read_as_the_command_line_reads_them(count: str, completions: int) -> None:
    assert parse_count(count) == completions
    for words in (["--count", count], [f"--count={count}"]):
        [job] = manifests(RUN_CHART, OK | {"command": ["datascaler", "score", *words], "completions": completions})
        assert job["spec"]["completions"] == completions


def test_a_release_name_that_no_object_may_have_is_refused() -> None:
    unnamed = {"command": ["datascaler", "score"]}
    assert "run 1st: name must begin with a letter" in refusal(RUN_CHART, unnamed, name="1st")


def test_the_longest_names_are_accepted() -> None:
    for values in (OK | {"name": "a" * 61}, TRAIN | {"name": "a" * 54}):
        assert manifests(RUN_CHART, values)


def test_one_index_of_many_may_be_run_again() -> None:
    [job] = manifests(RUN_CHART, OK | {"command": [*SCORE_16, "--index", "3"]})
    assert job["spec"]["completions"] == 1


def test_several_indexes_of_many_may_be_run_again() -> None:
    [job] = manifests(RUN_CHART, OK | {"command": [*SCORE_16, "--indexes", "3,7-9,15"], "completions": 5})
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 5


@pytest.mark.parametrize(
    "key",
    [
        *(
            "ttlSecondsAfterFinished",
            "terminationGracePeriodSeconds",
            "readOnlyRootFilesystem",
            "suspend",
            "completions",
        ),
        *("automountServiceAccountToken", "resources.memory", "queue.name", "storage.secretName", "shmSize"),
    ],
)
def test_null_is_not_taken_for_nothing(key: str) -> None:
    """TTL 0 would delete a run and its logs at once, and a read-only root that is null is none."""
    outer, _, inner = key.partition(".")
    value = {outer: {inner: None}} if inner else {outer: None}
    assert f"{key} is null; leave it out for the chart's default" in refusal(RUN_CHART, OK | value)

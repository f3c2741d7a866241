"""charts/datascaler-run refuses wrong values, and the message names them."""

from typing import Any

import pytest

from tests.charts.render import RUN_CHART, manifests, refusal

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

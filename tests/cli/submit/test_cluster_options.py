"""Every cluster flag is one key of the chart's values; none hides a flag of the verb that it goes with."""

import json
from pathlib import Path
from typing import Any

import click
import pytest

from datascaler.cli.submit.cluster_options import ALL, FLAGS, ClusterFlag, flags_of
from datascaler.cli.submit.options import COMMON, VERBS
from tests.charts.render import RUN_CHART
from tests.cli.submitting import objects_of, refused, values_of, verbs

SCHEMA = json.loads((RUN_CHART / "values.schema.json").read_text())
DIGEST = "sha256:" + "0123456789abcdef" * 4

SAMPLES: dict[str, tuple[list[str], Any]] = {
    "--image": (["reg:5000/team/worker:v1"], {"repository": "reg:5000/team/worker", "tag": "v1", "digest": ""}),
    "--image-pull-policy": (["Always"], "Always"),
    "--image-pull-secret": (["one", "two"], [{"name": "one"}, {"name": "two"}]),
    "--launcher-image": (["launcher"], {"repository": "launcher", "tag": "", "digest": ""}),
    "--gpus": (["0"], 0),
    "--gpu-resource": (["nvidia.com/mig-1g.5gb"], "nvidia.com/mig-1g.5gb"),
    "--cpu": (["500m"], "500m"),
    "--memory": (["64Gi"], "64Gi"),
    "--shm-size": (["16Gi"], "16Gi"),
    "--scratch-size": (["1Ti"], "1Ti"),
    "--parallelism": (["0"], 0),
    "--retries": (["5"], 5),
    "--max-failed-indexes": (["1"], 1),
    "--workers": (["2"], 2),
    "--min-workers": (["1"], 1),
    "--max-workers": (["8"], 8),
    "--max-restarts": (["0"], 0),
    "--backend": (["job"], "job"),
    "--queue": (["team-a"], "team-a"),
    "--queue-system": (["volcano"], "volcano"),
    "--priority": (["high"], "high"),
    "--priority-class": (["batch"], "batch"),
    "--scheduler": (["mine"], "mine"),
    "--runtime-class": (["nvidia"], "nvidia"),
    "--node-selector": (["a/b=c", "d="], {"a/b": "c", "d": ""}),
    "--toleration": (
        ["spot", "gpu=yes:NoSchedule", "old:NoExecute"],
        [
            {"key": "spot", "operator": "Exists"},
            {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
            {"key": "old", "operator": "Exists", "effect": "NoExecute"},
        ],
    ),
    "--service-account": (["worker"], "worker"),
    "--storage-secret": (["s3"], "s3"),
    "--env-file": (["FILE"], {"A": "1", "B": "two words"}),
    "--env": (["A=b=c", "EMPTY="], {"A": "b=c", "EMPTY": ""}),
    "--secret-env": (["HF_TOKEN=hub:token"], {"HF_TOKEN": {"secretKeyRef": {"name": "hub", "key": "token"}}}),
    "--label": (["team=a"], {"team": "a"}),
    "--annotation": (["note=a: b"], {"note": "a: b"}),
    "--pod-overlay": (["FILE"], {"spec": {"hostname": "here", "affinity": None}}),
    "--deadline": (["1K"], 1000),
    "--ttl": (["0"], 0),
    "--grace-period": (["30"], 30),
    "--suspend": ([], True),
}
"""What is typed after each flag, and the value that it stands for."""

FILES = {
    "--env-file": "# Of the laptop\nA=1\n\n  B=two words\n",
    "--pod-overlay": "spec: {hostname: here, affinity: null}",
}
NEEDS = {"--max-workers": ["--workers", "2"], "--workers": [], "--priority": ["--queue", "team-a"]}
"""Flags that the chart refuses alone."""


def key_exists(schema: dict[str, Any], path: str) -> bool:
    """Whether the schema knows the key, through its references."""
    for key in path.split("."):
        while "$ref" in schema:
            target: Any = SCHEMA
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            schema = target
        if key not in schema.get("properties", {}):
            return False
        schema = schema["properties"][key]
    return True


def flag_name(flag: ClusterFlag) -> str:
    return flag.name


@pytest.mark.parametrize("flag", FLAGS, ids=flag_name)
def test_every_flag_is_a_key_of_the_chart(flag: ClusterFlag) -> None:
    assert key_exists(SCHEMA, flag.key)
    assert flag.help.endswith((".", "]", "..."))
    assert set(flag.verbs) <= set(ALL)


def test_the_walk_through_the_schema_finds_what_is_not_there() -> None:
    assert not key_exists(SCHEMA, "gpu.cuont")
    assert not key_exists(SCHEMA, "shmsize")


def test_every_flag_has_a_sample() -> None:
    assert list(SAMPLES) == [flag.name for flag in FLAGS]


@pytest.mark.parametrize("verb", ALL)
def test_no_flag_hides_one_of_the_verb(verb: str) -> None:
    """--json means the same to both, and is of the submit."""
    of_submit = [name for param in verbs()[verb].params for name in (*param.opts, *param.secondary_opts)]
    assert len(set(of_submit)) == len(of_submit)
    if verb in VERBS:
        of_verb = {name for param in VERBS[verb].params for name in (*param.opts, *param.secondary_opts)}
        assert set(of_submit) & of_verb == {"--json"}


def test_the_common_flags_are_no_cluster_flags() -> None:
    command = click.Command("x")
    for option in COMMON:
        option(command)
    params = getattr(command, "params", []) or command.__click_params__  # type: ignore[attr-defined]
    common = {name for param in params for name in param.opts}
    assert common & {flag.name for flag in FLAGS} == set()
    assert "--dry-run" in common


CASES = [(flag.verbs[number % len(flag.verbs)], flag) for number, flag in enumerate(FLAGS)]
"""The verbs in turn."""


@pytest.mark.parametrize(("verb", "flag"), CASES, ids=lambda value: value if isinstance(value, str) else value.name)
def test_what_a_flag_says_is_in_the_values(verb: str, flag: ClusterFlag, tmp_path: Path) -> None:
    """And the chart takes it."""
    texts, value = SAMPLES[flag.name]
    if flag.name in FILES:
        (tmp_path / "file").write_text(FILES[flag.name])
        texts = [str(tmp_path / "file")]
    words = [word for text in texts for word in (flag.name, text)] if texts else [flag.name]
    found: Any = values_of(verb, *words, *NEEDS.get(flag.name, []))
    for key in flag.key.split("."):
        found = found[key]
    assert found == value or (isinstance(found, dict) and found.items() >= value.items())


def test_a_flag_that_is_not_given_says_nothing() -> None:
    assert values_of("score").keys() == {"kind", "name", "command", "logs", "completions"}


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("worker", ("worker", "", "")),
        ("worker:v1", ("worker", "v1", "")),
        ("reg:5000/worker", ("reg:5000/worker", "", "")),
        ("reg:5000/a/worker:v1.2-x", ("reg:5000/a/worker", "v1.2-x", "")),
        (f"reg.example/worker@{DIGEST}", ("reg.example/worker", "", DIGEST)),
        (f"reg:5000/worker:v1@{DIGEST}", ("reg:5000/worker", "v1", DIGEST)),
    ],
)
def test_image_references(reference: str, parts: tuple[str, str, str]) -> None:
    image = values_of("score", "--image", reference)["image"]
    assert (image["repository"], image["tag"], image["digest"]) == parts


def test_a_later_tag_takes_the_place_of_a_digest(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(f"image: {{repository: old, digest: '{DIGEST}', pullPolicy: Never}}")
    values = values_of("score", "--values", str(tmp_path / "values.yaml"), "--image", "new:v2")
    assert values["image"] == {"repository": "new", "tag": "v2", "digest": "", "pullPolicy": "Never"}


def test_variables_of_this_machine() -> None:
    words = ("--env", "WANDB_MODE", "--env", "B=2", "--secret-env", "T=s:k")
    assert values_of("score", *words, environment={"WANDB_MODE": "offline"})["env"] == {
        "WANDB_MODE": "offline",
        "B": "2",
        "T": {"secretKeyRef": {"name": "s", "key": "k"}},
    }


def test_a_variable_of_the_command_line_beats_that_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=file\nB=file\nC=file")
    words = ("--env", "A=flag", "--secret-env", "B=s:k", "--env-file", str(tmp_path / "env"))
    found = values_of("score", *words)["env"]
    assert found == {"A": "flag", "B": {"secretKeyRef": {"name": "s", "key": "k"}}, "C": "file"}


@pytest.mark.parametrize("flag", ["--pod-overlay", "--values", "--env-file"])
@pytest.mark.parametrize("content", [b"a: b: c\nd", b"spec: [\n  1,\n", b"- 1", b"\xff\xfe"])
def test_a_file_that_can_not_be_read_is_a_usage_error_in_one_line(flag: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    said = refused("score", flag, str(path))
    assert "\n" not in said
    # Lines of a file of variables are variables.
    assert said.startswith(f"{flag} {path}: ") or (flag == "--env-file" and "it is not set here" in said)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--env", "NO_SUCH_VARIABLE"], "--env NO_SUCH_VARIABLE: it is not set here; write NO_SUCH_VARIABLE=VALUE"),
        (["--secret-env", "A=b"], "'b' is not of the form NAME=SECRET:KEY"),
        (["--secret-env", "A"], "'A' is not of the form NAME=SECRET:KEY"),
        (["--label", "team"], "'team' is not of the form KEY=VALUE"),
        (["--node-selector", "=x"], "'=x' is not of the form KEY=VALUE"),
        (["--gpus", "many"], "Invalid value for '--gpus'"),
        (["--env-file", "/no/such/file"], "File '/no/such/file' does not exist"),
        (
            ["--env", "AWS_SECRET_ACCESS_KEY=x"],
            "env.AWS_SECRET_ACCESS_KEY would put a credential into a manifest; refer to",
        ),
        (["--env", "HF_TOKEN=x"], "env.HF_TOKEN would put a credential into a manifest"),
        (["--gpu-resource", "gpu"], "'/gpu/resource'"),
        (["--memory", "64 GB"], "'/resources/memory'"),
        (["--image-pull-policy", "Sometimes"], "'/image/pullPolicy'"),
        (["--env", "A B=x"], "'A B' can't be the name of a variable"),
        (["--secret-env", "A B=s:k"], "'A B' can't be the name of a variable"),
        (["--label", "a b=c"], "'a b' can't be a key"),
        (["--toleration", ""], "--toleration '' names no taint"),
        (["--toleration", "k:"], "--toleration 'k:' names no taint"),
        (["--image", "worker:"], "'worker:' is no image"),
        (["--annotation", "a" * 400 + "/b=c"], "a name among the values has 402 letters: aaaa"),
        (["--env", "a" * 400 + "=c"], "a name among the values has 400 letters: aaaa"),
        (["--values", "{annotations: {a: !!binary YQ==}}"], "a value is a bytes, which no manifest can hold"),
        (["--toleration", ":NoSchedule"], "--toleration ':NoSchedule' names no taint"),
        (["--deadline", "1e19"], "'/activeDeadlineSeconds'"),
        (["--ttl", "1e19"], "'/ttlSecondsAfterFinished'"),
        (["--grace-period", "1e19"], "'/terminationGracePeriodSeconds'"),
        (["--memory", "64"], "'/resources/memory'"),
        (["--memory", "0Gi"], "'/resources/memory'"),
        (["--shm-size", "16"], "'/shmSize'"),
        (["--scratch-size", "1"], "'/scratchSize'"),
        (["--namespace", ".."], "a namespace can't be called '..'"),
        (["--service-account", "a\n  hostNetwork: true"], "'/serviceAccountName'"),
        (["--values", '{"completions": 5}'], "--values says completions: 5, which is for --count to say"),
        (["--values", '{"logs": "s3://l"}'], "--values says logs: s3://l, which is for --logs to say"),
        (["--parallelism", "2", "--max-failed-indexes", "2"], "maxFailedIndexes is 2, more than completions (1)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_values_are_usage_errors_with_the_remedy(words: list[str], message: str) -> None:
    assert message in refused("score", *words)


def test_flags_of_another_kind_of_run_are_unknown() -> None:
    """They are left for the verb, which does not know them either."""
    assert "No such option '--workers'" in refused("score", "--workers", "2")
    assert "No such option '--parallelism'" in refused("train", "--parallelism", "2")
    assert all(flag.name != "--launcher-image" for flag in flags_of("train"))


def test_a_finished_run_may_stay_for_ever() -> None:
    [job] = objects_of("score", "--ttl", "never")
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert objects_of("score", "--ttl", "0")[0]["spec"]["ttlSecondsAfterFinished"] == 0


def test_one_process_that_is_asked_for_is_one() -> None:
    [job] = objects_of("train", "--gpus", "8", "--nproc-per-node", "1")
    assert job["spec"]["nprocPerNode"] == "1"
    assert objects_of("train", "--gpus", "8")[0]["spec"]["nprocPerNode"] == "8"


@pytest.mark.parametrize("text", ["dol$lar", "dol$$lar", "$(HOME)", "$$(HOME)", "$", "a$(b"])
def test_pods_see_dollars_as_they_were_typed(text: str) -> None:
    """Kubernetes takes two for one, and `$(X)` for a variable."""
    [job] = objects_of("subset", "--subset-name", text, "--env", f"A={text}")
    [container] = job["spec"]["template"]["spec"]["containers"]
    word = container["command"][container["command"].index("--subset-name") + 1]
    variable = next(each["value"] for each in container["env"] if each["name"] == "A")
    assert word == variable == text.replace("$", "$$")


def test_pictures_in_texts_reach_the_pods() -> None:
    """YAML knows no pairs of escapes, as JSON has them for such."""
    assert values_of("score", "--annotation", "note=🙂\u2028")["annotations"] == {"note": "🙂\u2028"}
    assert objects_of("score", "--annotation", "note=🙂\ufeff")[0]["metadata"]["annotations"]["note"] == "🙂\ufeff"
    for odd in ("\udcff", "\x85", "\ufffe", "\uffff"):
        assert "a character that no manifest can" in refused("score", "--annotation", f"note={odd}")


def test_texts_that_yaml_has_other_meanings_for_reach_the_pods() -> None:
    """Helm leaves the first two without quotes, and PyYAML knows a merge and a value by them; the last is a date."""
    words = [word for text in ("<<", "=", "2026-01-01") for word in ("--annotation", f"note-{ord(text[0])}={text}")]
    found = objects_of("score", *words, "--values", "{annotations: {date: 2026-01-01}}")[0]["metadata"]["annotations"]
    assert found.items() >= {"note-60": "<<", "note-61": "=", "note-50": "2026-01-01", "date": "2026-01-01"}.items()


def test_lines_of_a_file_of_variables_end_where_lines_end(tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes("\ufeffA= two  \r\n  B=x\u2028y\x0bz\n\n # C=1\n".encode())
    assert values_of("score", "--env-file", str(tmp_path / "env"))["env"] == {"A": " two  ", "B": "x\u2028y\x0bz"}

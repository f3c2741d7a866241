"""`datascaler submit VERB --dry-run=client`: the chart's own manifests, the command word for word, and layers."""

import json
from pathlib import Path

import pytest
import yaml

from datascaler.cluster.kube.names import VALUES
from tests.charts.render import RUN_CHART, run_helm
from tests.charts.render import VALUES as EXAMPLES
from tests.cli.submitting import SMALLEST, command_of, objects_of, refused, submit, values_of, verbs

VERBS = list(SMALLEST)


def test_every_verb_is_tried_here_and_shown_in_an_example() -> None:
    assert set(VERBS) == set(verbs())
    assert set(VERBS) <= {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("verb", VERBS)
def test_the_manifests_are_the_charts(verb: str) -> None:
    """`helm template` of what `-o values` prints, but for the record that the launcher adds."""
    words = ("--name", "my-run", "--namespace", "team")
    values = values_of(verb, *words)
    done = run_helm("template", "my-run", RUN_CHART, "--namespace", "team", values=values)
    assert done.returncode == 0, done.stderr
    expected = [each for each in yaml.safe_load_all(done.stdout) if each]
    found = [each for each in yaml.safe_load_all(submit(verb, *words).stdout) if each]
    for each in found:
        if each["kind"] in ("Job", "PyTorchJob"):
            del each["metadata"]["annotations"][VALUES]
            if not each["metadata"]["annotations"]:
                del each["metadata"]["annotations"]
    assert found == expected


@pytest.mark.parametrize("verb", VERBS)
def test_json_is_the_same_as_yaml(verb: str) -> None:
    result = submit(verb, "-o", "yaml")
    assert result.stdout == submit(verb).stdout
    assert objects_of(verb) == [each for each in yaml.safe_load_all(result.stdout) if each]


@pytest.mark.parametrize("verb", VERBS)
def test_each_run_carries_the_values_that_it_was_made_from(verb: str) -> None:
    values = values_of(verb, "--name", "my-run", "--label", "team=a")
    runs = [each for each in objects_of(verb, "--name", "my-run", "--label", "team=a") if each["kind"] != "Service"]
    records = [json.loads(each["metadata"]["annotations"][VALUES]) for each in runs]
    if verb == "sweep":
        assert [record["name"] for record in records] == ["my-run-0", "my-run-1"]
        assert all(record["labels"] == {"team": "a"} and "runs" not in record for record in records)
    else:
        assert records == [values]


@pytest.mark.parametrize("verb", ["score", "train", "sweep"])
def test_the_outlook_is_on_stderr(verb: str) -> None:
    result = submit(verb, "--name", "my-run", "-n", "team")
    assert "run       team/my-run" in result.stderr
    assert ("estimate  4 A100-hours" in result.stderr) is (verb == "train")
    assert "dry run: no cluster was asked" in result.stderr
    assert "A100" not in result.stdout


# ---- the command -----------------------------------------------------------------------------------------------

ODD = {
    "score": "--data-dir=s3://pool/{00..99}.tar --output_dir s3://out --method CLIP --num_workers=1 --overwrite",
    "subset": "--output-dir s3://out --method=DFN --fraction 3/10 --formats=npy,pkl,trie",
    "train": "--data-dir s3://a::s3://b --output-dir=s3://r --scale small --use_mup=true --width-mult 0.1875 "
    "--train-num-samples=12_800_000 --nproc-per-node 1 --subset-file-path s3://out/x.npy --method clip --fraction 0.3",
    "eval": "--train-dir s3://runs --data-dir s3://evalsets --tasks imagenet*,vtab/* --use-mup --scale small",
}


@pytest.mark.parametrize("verb", ODD)
def test_the_command_is_word_for_word_what_was_typed(verb: str) -> None:
    words = ODD[verb].split()
    # Cluster flags may stand anywhere between.
    result = submit(verb, *words[:2], "--gpus", "1", *words[2:], "--label", "a=b", "-o", "json", smallest=False)
    assert result.exit_code == 0, result.stderr
    [*_, job] = json.loads(result.stdout)["items"]
    assert command_of(job) == ["datascaler", verb, *words]


def test_odd_words_arrive_whole() -> None:
    words = ["--tasks", 'it\'s "quoted" $HOME {{ .Values }} \\ \t ünï: - #', "--batch-size=6_4"]
    [job] = objects_of("eval", *words)
    # Kubernetes expands $(NAME) in a command, and takes $$ for $.
    assert command_of(job) == ["datascaler", "eval", *SMALLEST["eval"], *(word.replace("$", "$$") for word in words)]


def test_the_default_name_is_of_the_command_alone() -> None:
    names = {values_of("score", *more)["name"] for more in ([], ["--gpus", "4"], ["--label", "a=b"], ["-n", "x"])}
    assert len(names) == 1
    assert values_of("score", "--arch", "b32")["name"] not in names
    assert next(iter(names)).startswith("score-clip-")
    assert values_of("train")["name"].startswith("train-small-")


def test_parts_are_shared_among_as_many_pods() -> None:
    [job] = objects_of("score", "--count", "1_6", "--parallelism", "4")
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (16, 4)


# ---- layers of values ------------------------------------------------------------------------------------------


def test_precedence(tmp_path: Path) -> None:
    """chart < --defaults < --values, in their order < flags."""
    layers = {
        "defaults": {"shmSize": "1Gi", "scratchSize": "1Gi", "queue": {"name": "d"}, "labels": {"a": "d", "b": "d"}},
        "one": {"scratchSize": "2Gi", "labels": {"a": "1", "c": "1"}, "gpu": {"count": 8}, "schedulerName": "one"},
        "two": {"labels": {"c": "2"}, "schedulerName": None, "queue": {"name": "two"}},
    }
    for name, layer in layers.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(layer))
    words = ["--defaults", str(tmp_path / "defaults.yaml")]
    words += ["--values", str(tmp_path / "one.yaml"), "--values", str(tmp_path / "two.yaml")]
    words += ["--queue", "flag", "--label", "d=flag"]
    values = values_of("score", *words)
    expected = {
        "shmSize": "1Gi",
        "scratchSize": "2Gi",
        "gpu": {"count": 8},
        "queue": {"name": "flag"},
        "labels": {"a": "1", "b": "d", "c": "2", "d": "flag"},
    }
    assert {key: values.get(key) for key in expected} == expected
    assert "schedulerName" not in values
    # What nobody says is the chart's.
    [job] = objects_of("score", *words)
    assert job["spec"]["ttlSecondsAfterFinished"] == 259200


@pytest.mark.parametrize("said", ["kind: subset", "name: other", "command: [rm]", "completions: 7"])
def test_what_a_run_is_can_not_be_said_below_the_command(said: str, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(said)
    result = submit("score", "--name", "mine", "--values", str(tmp_path / "values.yaml"), "-o", "values")
    assert result.exit_code == 2
    assert f"--values says {said.replace('[rm]', repr(['rm']))}, which is for " in result.stderr


def test_values_may_stand_in_the_flag_itself() -> None:
    assert values_of("score", "--values", '{"gpu": {"count": 3}}')["gpu"] == {"count": 3}


@pytest.mark.parametrize("flag", ["--values", "--defaults"])
@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "not a map of values"), ("a: b: c", "mapping values are not allowed"), (None, "No such file")],
)
def test_values_that_can_not_be_read(flag: str, text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    if text is not None:
        path.write_text(text)
    said = refused("score", flag, str(path))
    assert message in said
    assert f"{flag} {path}" in said


# ---- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "words", "message"),
    [
        ("score", ["--data-dir", "pool"], "--data-dir is pool, on this machine's disk, which pods don't see; copy"),
        ("subset", ["--output-dir", "/out"], "--output-dir is /out, on this machine's disk"),
        ("train", ["--subset-file", "x.npy", "--method", "clip", "--fraction", "1"], "--subset-file is x.npy, on this"),
        ("sweep", ["--output-dir", "~/runs"], "--output-dir is ~/runs, on this machine's disk"),
        ("eval", ["--task-dir", "./tasks"], "--task-dir is ./tasks, on this machine's disk"),
        ("pipeline", ["--data-dir", "pool"], "--data-dir is pool, on this machine's disk"),
        ("pipeline", ["--eval-data-dir", "sets"], "--eval-data-dir is sets, on this machine's disk"),
        ("score", ["--method", "nobody"], "Invalid value for '--method'"),
        ("score", ["--index", "3"], "--index: each pod gets its own; `datascaler retry` runs some of them again"),
        ("eval", ["--indexes=3"], "--indexes=3: each pod gets its own"),
        ("train", ["--scale", "huge"], "unknown scale 'huge'; known: debug, small, medium, large, xlarge"),
        ("train", ["--fraction", "0.4"], "fraction 0.4 needs the subset to train on: give --subset-file"),
        ("sweep", ["--lrs", "1e-3,0.001"], "the grid has the same point twice"),
        ("score", ["--name", "My_Run"], "a run can't be called 'My_Run': begin with a letter"),
        ("score", ["--name", "a" * 63], "has 63 characters; at most 53 are possible"),
        ("train", ["--workers", "4", "--max-workers", "2"], "train.workers is 4, which is not between"),
        ("score", ["--dry-run=maybe"], "Invalid value for '--dry-run'"),
        ("score", ["--no-such-flag"], "No such option '--no-such-flag'"),
        ("score", ["word"], "unexpected extra argument"),
        ("pipeline", ["--train", "--no-such-flag"], "No such option '--no-such-flag'"),
        ("pipeline", ["--train", "--lr -1"], "lr must be above 0"),
        ("pipeline", ["--fraction", "0"], "fraction must be above 0"),
    ],
)  # fmt: skip
def test_usage_errors_name_the_flag_and_the_remedy(verb: str, words: list[str], message: str) -> None:
    assert message in refused(verb, *words)


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_flag_is_a_usage_error(verb: str) -> None:
    # A report's first word is a run, and then comes its flag.
    said = refused(verb, *SMALLEST[verb][1 if verb == "report" else 2 :], smallest=False)
    own = {"eval": "give either --train-dir, or --model", "report": "Missing argument 'RUNS"}
    assert own.get(verb, "Missing option '--") in said


def test_mounted_volumes_are_seen_by_pods(tmp_path: Path) -> None:
    volume = {"name": "pool", "persistentVolumeClaim": {"claimName": "pool"}}
    mounts = {"volumes": [volume], "volumeMounts": [{"name": "pool", "mountPath": "/mnt/pool"}]}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(mounts))
    [job] = objects_of("score", "--data-dir", "/mnt/pool/shards", "--values", str(tmp_path / "values.yaml"))
    assert command_of(job)[-2:] == ["--data-dir", "/mnt/pool/shards"]
    assert "--data-dir is /mnt/pool/shards" in refused("score", "--data-dir", "/mnt/pool/shards")


def test_scores_of_metadata_need_no_tars_but_urls() -> None:
    words = ["--from-metadata", "s3://datacomp/metadata", "--output-dir", "s3://out", "--method", "basic"]
    [job] = objects_of("score", *words, "--language-model", "cld3", smallest=False)
    assert command_of(job)[-2:] == ["--language-model", "cld3"]
    local = refused("score", *words, "--language-model", "/models/lid.176.bin", smallest=False)
    assert "--language-model is /models/lid.176.bin, on this machine's disk" in local

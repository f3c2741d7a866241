"""Paths of this machine are refused, because pods don't see its disk."""

from typing import Any

import pytest

from datascaler.cluster.submit.values import require_url, require_urls
from datascaler.errors import ConfigError
from datascaler.spec.evaluate import EvalSpec
from datascaler.spec.train import TrainSpec, datacomp_recipe


def spec_of(params: dict[str, Any]) -> TrainSpec | EvalSpec:
    """An evaluation of a model or of runs where the params are of one, else a training run; the rest has URLs."""
    given = {name: value for name, value in params.items() if value}
    if given.keys() & {"train_dir", "task_dir", "model", "pretrained"}:
        source = {} if given.keys() & {"train_dir", "model", "pretrained"} else {"train_dir": "s3://runs"}
        return EvalSpec(**{"data_dir": "s3://sets", "output_dir": "s3://out", **source, **given})
    return datacomp_recipe("small", **{"data_dir": "s3://pool", "output_dir": "s3://out", **given})


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"data_dir": None, "output_dir": ""},
        {"data_dir": "s3://pool", "output_dir": "gs://out", "train_dir": "az://c/runs"},
        {"data_dir": "s3://one::gs://two::http://three/{000..100}.tar"},
        {"model": "ViT-B-32", "pretrained": "openai"},
        {"model": "hf-hub:org/name", "pretrained": None},
        {"pretrained": "s3://runs/small/none-f1.0/a"},
        {"method": "a/b", "model_arch": "/small"},
        {"cache_dir": "/tmp/cache"},
    ],
    ids=str,
)
def test_what_pods_see(params: dict[str, Any]) -> None:
    require_urls(spec_of(params))


@pytest.mark.parametrize(
    ("params", "flag", "path"),
    [
        ({"data_dir": "/pool"}, "--data-dir", "/pool"),
        ({"data_dir": "pool"}, "--data-dir", "pool"),
        ({"data_dir": "s3://one::./two"}, "--data-dir", "./two"),
        ({"output_dir": "file:///out"}, "--output-dir", "file:///out"),
        ({"subset_file": "best.npy"}, "--subset-file", "best.npy"),
        ({"plan_file": "best.plan"}, "--plan", "best.plan"),
        ({"train_dir": "runs"}, "--train-dir", "runs"),
        ({"task_dir": "tasks"}, "--task-dir", "tasks"),
        ({"pretrained": "weights/clip.pt"}, "--pretrained", "weights/clip.pt"),
        ({"pretrained": "weights.pt"}, "--pretrained", "weights.pt"),
        ({"model": "local-dir:clip"}, "--model", "local-dir:clip"),
        ({"model": "local-dir:/models/clip"}, "--model", "local-dir:/models/clip"),
    ],
    ids=str,
)
def test_what_pods_do_not_see(params: dict[str, Any], flag: str, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        require_urls(spec_of(params), ["/mnt/pool"])
    message = str(refused.value)
    assert message.startswith(f"{flag} is {path}, on this machine's disk, which pods don't see; ")
    assert "copy it to object storage and give its URL, or mount a volume there" in message


@pytest.mark.parametrize(
    "params",
    [
        {"data_dir": "/mnt/pool"},
        {"data_dir": "/mnt/pool/shards::s3://more"},
        {"output_dir": "file:///mnt/pool/out"},
        {"model": "local-dir:/mnt/pool/clip"},
    ],
    ids=str,
)
def test_mounted_volumes_are_seen(params: dict[str, Any]) -> None:
    require_urls(spec_of(params), ["/cache", "/mnt/pool/"])


@pytest.mark.parametrize("path", ["/mnt/pool2", "/mnt/pool/../../etc", "mnt/pool"])
def test_what_only_looks_like_a_mounted_volume_is_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        require_urls(spec_of({"data_dir": path}), ["/mnt/pool"])


@pytest.mark.parametrize("text", ["./found", "/out/scores/found", "out/found"])
def test_scores_are_named_not_pathed(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--boxes is {text}, a path; give the name alone"):
        require_url("--boxes", text, "scores")
    require_url("--boxes", "boxes-1a.2b_3", "scores")


@pytest.mark.parametrize("text", ["openai", "cld3", "ViT-B-32", "hf-hub:org/name", "laion2b_s34b_b79k", "dfn5b"])
def test_words_for_models_are_no_paths(text: str) -> None:
    require_url("--model", text, "model")

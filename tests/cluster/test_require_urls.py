"""Paths of this machine are refused, because pods don't see its disk."""

from typing import Any

import pytest

from datascaler.cluster.submit.values import require_urls
from datascaler.errors import ConfigError


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
        {"method": "a/b", "scale": "/small"},
    ],
    ids=str,
)
def test_what_pods_see(params: dict[str, Any]) -> None:
    require_urls(params)


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
        ({"model": "local-dir:clip"}, "--model", "local-dir:clip"),
        ({"model": "local-dir:/models/clip"}, "--model", "local-dir:/models/clip"),
    ],
    ids=str,
)
def test_what_pods_do_not_see(params: dict[str, Any], flag: str, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        require_urls(params, ["/mnt/pool"])
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
    require_urls(params, ["/cache", "/mnt/pool/"])


@pytest.mark.parametrize("path", ["/mnt/pool2", "/mnt/pool/../../etc", "mnt/pool"])
def test_what_only_looks_like_a_mounted_volume_is_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        require_urls({"data_dir": path}, ["/mnt/pool"])

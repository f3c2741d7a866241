"""The images of these tests, made by scripts/e2e_images and put on the node, and the operator's own manifests."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.runtime import ctr, import_image

_ROOT = Path(__file__).parents[2]
_OPERATOR_MODULE = "github.com/kubeflow/training-operator"


@dataclass(frozen=True, slots=True)
class Images:
    launcher: tuple[str, str]
    """Repository and tag."""
    worker: tuple[str, str]
    operator: str
    operator_manifests: str
    worker_folder: str
    """Holds the workers' environment, `venv`; the worker image has none of its own."""


def import_images() -> Images:
    made: Any = json.loads(_output(str(_ROOT / "scripts" / "e2e_images")))
    for name in ("launcher", "worker", "operator"):
        _import(made[name]["image"], Path(made[name]["archive"]))
    module = _output(
        "go", "-C", str(_ROOT / "tests/cluster/tools/operator"), "list", "-m", "-f", "{{.Dir}}", _OPERATOR_MODULE
    )
    return Images(
        launcher=_split(made["launcher"]["image"]),
        worker=_split(made["worker"]["image"]),
        operator=made["operator"]["image"],
        operator_manifests=f"{module}/manifests/overlays/standalone",
        worker_folder=str(Path(made["venv"]).parent),
    )


def _import(name: str, archive: Path) -> None:
    """Names stay the same when contents change, so what was imported from another archive is replaced."""
    label = "datascaler.archive"
    here = ctr("images", "list", f"name=={name}")
    if f"{label}={archive.name}" not in here:
        import_image(archive)
        ctr("images", "label", name, f"{label}={archive.name}")


def _split(image: str) -> tuple[str, str]:
    repository, _, tag = image.rpartition(":")
    return repository, tag


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

"""`datascaler submit ... --dry-run=client` in this process, with a real helm."""

import json
from typing import Any

import click
import yaml
from click.testing import CliRunner, Result

from datascaler.cli.main import cli
from tests.charts.render import helm

Json = dict[str, Any]

SMALLEST: dict[str, list[str]] = {
    "score": ["--data-dir", "s3://pool", "--output-dir", "s3://out", "--method", "clip"],
    "subset": ["--output-dir", "s3://out", "--method", "clip", "--fraction", "0.3"],
    "train": ["--data-dir", "s3://pool", "--output-dir", "s3://runs", "--scale", "small"],
    "sweep": ["--data-dir", "s3://pool", "--output-dir", "s3://runs", "--scale", "small", "--lrs", "5e-4,1e-3"],
    "eval": ["--train-dir", "s3://runs", "--data-dir", "s3://evalsets"],
    "report": ["s3://runs", "--output", "s3://out/report.html"],
    "pipeline": [
        *("--data-dir", "s3://pool", "--output-dir", "s3://out", "--method", "clip", "--fraction", "0.3"),
        *("--scale", "small", "--eval-data-dir", "s3://evalsets"),
    ],
    "forecast": [
        *("--data-dir", "s3://pool", "--output-dir", "s3://out", "--scale", "small"),
        *("--subset-files", "s3://out/clip.npy,none", "--width-mults", "0.25,0.5", "--branch-at", "4M,8M"),
        *("--eval-data-dir", "s3://evalsets", "--target", "large"),
    ],
}
"""Each verb's required flags."""


def submit(verb: str, *words: str, smallest: bool = True, environment: dict[str, str] | None = None) -> Result:
    """Without a cluster. Bugs keep their traceback."""
    given = [*(SMALLEST[verb] if smallest else ()), "--dry-run=client", *words]
    result = CliRunner().invoke(cli, ["submit", verb, *given], env={"DATASCALER_HELM": helm(), **(environment or {})})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(verb: str, *words: str, smallest: bool = True) -> str:
    """What a usage error says."""
    result = submit(verb, *words, smallest=smallest)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    # click breaks long lines only at its own usage line.
    message: str = result.stderr.split("Error: ", 1)[1]
    return message.strip()


def values_of(verb: str, *words: str, environment: dict[str, str] | None = None) -> Json:
    result = submit(verb, *words, "-o", "values", environment=environment)
    assert result.exit_code == 0, result.stderr
    values: Json = yaml.safe_load(result.stdout)
    return values


def objects_of(verb: str, *words: str, smallest: bool = True) -> list[Json]:
    result = submit(verb, *words, "-o", "json", smallest=smallest)
    assert result.exit_code == 0, result.stderr
    objects: list[Json] = json.loads(result.stdout)["items"]
    return objects


def command_of(found: Json) -> list[str]:
    """Of the one container of a Job or PyTorchJob."""
    spec = found["spec"]
    template = spec["pytorchReplicaSpecs"]["Worker"]["template"] if found["kind"] == "PyTorchJob" else spec["template"]
    [container] = template["spec"]["containers"]
    command: list[str] = container["command"]
    return command


def verbs() -> dict[str, click.Command]:
    group = cli.commands["submit"]
    assert isinstance(group, click.Group)
    return dict(group.commands)

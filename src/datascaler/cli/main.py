"""The `datascaler` command: the group of verbs, and the one place where errors become a line and an exit code."""

import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import NamedTuple, NoReturn

import click

from datascaler import __version__
from datascaler.errors import DatascalerError, StoppedError
from datascaler.extras import what_is_missing
from datascaler.foreign_errors import said_by, what_it_means


class Verb(NamedTuple):
    """Where a verb's command is, and its line in the list of verbs."""

    module: str
    """Its path below `datascaler.cli`."""
    name: str
    help_line: str

    def load(self) -> click.Command:
        command: click.Command = getattr(import_module(f"datascaler.cli.{self.module}"), self.name)
        return command


HERE = {
    "pool": Verb("pool.pool", "pool", "Make pools and evaluation sets; check and index pools."),
    "score": Verb("score.score", "score", "Score every sample of a pool."),
    "subset": Verb("subset.subset", "subset", "Keep the best rows of a scored pool."),
    "train": Verb("train", "train", "Train CLIP on a pool restricted to a subset."),
    "sweep": Verb("sweep", "sweep", "Train a grid of learning rates and rank its points by final loss."),
    "eval": Verb("evaluate", "evaluate", "Evaluate models zero-shot on DataComp's tasks."),
    "export": Verb(
        "export", "export", "Export a run as an ordinary CLIP, for open_clip and for DataComp's evaluate.py."
    ),
    "coord-check": Verb(
        "coord_check", "coord_check", "Check that muP keeps what CLIP computes as large at every width."
    ),
    "forecast": Verb("forecast", "forecast_command", "Predict from small runs which filter wins at full size."),
    "report": Verb(
        "report", "report_command", "Make one page of any set of runs: what was found, and what it rests on."
    ),
    "runs": Verb("runs", "runs", "Show how far the runs below a folder are."),
    "watch": Verb("watch", "watch", "Watch a training run, or the runs below a folder."),
    "demo": Verb("demo", "demo", "Watch datascaler choose better data, on this machine, in a few minutes."),
}
IN_THE_CLUSTER = {
    "submit": Verb("submit.submit", "submit", "Run a verb in a Kubernetes cluster."),
    "status": Verb("cluster.status", "status", "Show how a run is doing, and why it waits or failed."),
    "list": Verb("cluster.list_runs", "list_command", "List the runs of a namespace, newest last."),
    "logs": Verb("cluster.logs", "logs", "Print what a run's pods say."),
    "wait": Verb("cluster.wait", "wait", "Wait until a run has ended; the exit code says how."),
    "cancel": Verb("cluster.cancel", "cancel", "End a run, every run of a sweep, or a pipeline with its steps."),
    "retry": Verb("cluster.retry", "retry", "Run again what failed, and only that."),
    "scale": Verb("cluster.scale", "scale", "Change how many pods work on a run while it goes on."),
    "describe": Verb("cluster.describe", "describe", "Show all that is known of a run."),
    "doctor": Verb(
        "cluster.doctor", "doctor", "Check what runs need: the API server, your rights, the operator, helm."
    ),
}
"""The verbs stand in the order in which a user meets them."""


class _Commands(MutableMapping[str, click.Command]):
    """The verbs' commands, each imported when it is asked for: a start costs what one verb needs."""

    def __init__(self, verbs: Mapping[str, Verb]) -> None:
        self._known: dict[str, click.Command | Verb] = dict(verbs)

    def __getitem__(self, name: str) -> click.Command:
        command = self._known[name]
        if isinstance(command, Verb):
            command = self._known[name] = command.load()
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class _Verbs(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take --debug wherever it stands: one adds it at the end of the command that has failed."""
        own = args[: args.index("--")] if "--" in args else args
        if _DEBUG_FLAG in own:
            # Child processes are to know it too.
            os.environ[_DEBUG] = "1"
            args = [word for word in own if word != _DEBUG_FLAG] + args[len(own) :]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, verbs in (("Commands", HERE), ("In a Kubernetes cluster", IN_THE_CLUSTER)):
            with formatter.section(title):
                formatter.write_dl([(name, verb.help_line) for name, verb in verbs.items()])


_DEBUG_FLAG, _DEBUG = "--debug", "DATASCALER_DEBUG"

_SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    # `--use_mup` is `--use-mup`: the first version's own notes had both.
    "token_normalize_func": lambda token: token.replace("_", "-"),
}


@click.group(cls=_Verbs, commands=_Commands(HERE | IN_THE_CLUSTER), context_settings=_SETTINGS)
@click.version_option(__version__, message="datascaler %(version)s")
@click.option(_DEBUG_FLAG, is_flag=True, expose_value=False, help="Show the traceback of an error, too.")
def cli() -> None:
    """Choose the part of an image-text pool to train CLIP on, and find out how it will do at full size."""
    try:
        os.getcwd()  # noqa: PTH109 - pathlib is not loaded for --help
    except OSError as error:
        # Libraries below say that they can't load themselves, and end the process.
        raise DatascalerError("the folder that this was started in is gone: go to one that is there (cd)") from error


def main() -> None:
    try:
        # torchrun's processes print through the one that started them.
        if os.environ.get("DATASCALER_LOG_DIR") and "LOCAL_RANK" not in os.environ:
            from datascaler.storage.log_copy import run_with_log_copy

            sys.exit(run_with_log_copy(sys.argv[1:]))
        cli(prog_name="datascaler")
    except (DatascalerError, StoppedError) as error:
        _end(error, str(error), error.exit_code)
    except Exception as error:
        known = what_is_missing(error) if isinstance(error, ImportError) else what_it_means(error)
        if known is None:
            _end(error, f"{said_by(error)}\n  --debug shows where; if the command is right, please report it", 1)
        else:
            _end(error, str(known), known.exit_code)


def _end(error: BaseException, message: str, exit_code: int) -> NoReturn:
    """Leave with what a user needs; the traceback is for those who ask for it."""
    if os.environ.get(_DEBUG, "") not in ("", "0"):
        sys.excepthook(type(error), error, error.__traceback__)
    click.echo(f"datascaler: error: {message}", err=True)
    sys.exit(exit_code)

"""The flags that every `datascaler submit VERB` has, and how its words fall into the verb's part and the cluster's."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.cluster.run_argument import WHERE
from datascaler.cli.evaluate import eval_spec, evaluate
from datascaler.cli.options import json_option
from datascaler.cli.report import report_command, report_spec
from datascaler.cli.score.score import score, score_spec
from datascaler.cli.submit.cluster_options import flags_of
from datascaler.cli.subset.options import subset_spec
from datascaler.cli.subset.subset import subset
from datascaler.cli.sweep import sweep, sweep_spec
from datascaler.cli.train import train
from datascaler.cli.train_options import train_spec
from datascaler.spec.sweep import AXES, MORE_AXES

if TYPE_CHECKING:
    from datascaler.cluster.submit.request import Spec

VERBS: dict[str, click.Command] = {
    "score": score,
    "subset": subset,
    "train": train,
    "sweep": sweep,
    "eval": evaluate,
    "report": report_command,
}

_EXAMPLES = {
    "score": "--data-dir s3://pool --output-dir s3://out --method clip --count 16 --gpus 1",
    "subset": "--output-dir s3://out --method clip --fraction 0.3 --memory 64Gi",
    "train": "--data-dir s3://pool --output-dir s3://runs --scale small --workers 4 --gpus 8",
    "sweep": "--data-dir s3://pool --output-dir s3://runs --scale small --lrs 5e-4,1e-3,2e-3 --queue team-a",
    "eval": "--train-dir s3://runs --data-dir s3://evalsets --count 4 --gpus 1",
    "report": "s3://runs --target large --output s3://runs/report.html",
}

COMMON = (
    click.option("--name", help="Of the run.  [default: VERB-...-<hash of the command>]"),
    *WHERE,
    click.option("--values", "value_files", multiple=True, help="YAML file of the chart's values, below the flags."),
    click.option("--defaults", help="YAML file in place of the cluster's ConfigMap datascaler-defaults."),
    click.option("--logs", help="Folder URL that the pods' output is also kept in.  [default: OUTPUT_DIR/logs]"),
    click.option(
        "--dry-run",
        type=click.Choice(["none", "client", "server"]),
        is_flag=False,
        flag_value="client",
        default="none",
        help="Print what would be sent; client contacts no cluster, server has it validated there.",
    ),
    click.option("--wait", is_flag=True, help="Until it ends; the exit code says how. Ctrl-C detaches."),
    click.option("--follow", "-f", is_flag=True, help="Wait, and print the pods' output meanwhile."),
    click.option("--timeout", type=float, help="Seconds to wait at most."),
)


def form_option(verb: str) -> Callable[[Any], Any]:
    """How to have the manifests printed; the --output of a report is its page."""
    flags = ("-o",) if verb == "report" else ("--output", "-o")
    return click.option(*flags, "form", type=click.Choice(["yaml", "json", "values"]), help="Print the manifests.")


_OPEN: dict[str, Any] = {"context_settings": {"ignore_unknown_options": True, "allow_extra_args": True}}
"""Settings of a command that leaves what it does not know to others."""


class SubmitCommand(click.Command):
    """Knows the cluster's flags; what it does not know is left for the verb, whose flags its help shows too."""

    def __init__(self, verb: str) -> None:
        super().__init__(
            verb,
            **_OPEN,
            callback=self._submit,
            help=f"Run `datascaler {verb}` in the cluster.\n\n\b\ndatascaler submit {verb} {_EXAMPLES[verb]}",
        )
        self.verb = VERBS[verb]
        for option in (*COMMON, form_option(verb), *(flag.option() for flag in flags_of(verb)), json_option):
            option(self)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        own = {param.name for param in self.params} | {"index", "indexes"}
        records = [param.get_help_record(ctx) for param in self.verb.params if param.name not in own]
        with formatter.section(f"Flags of {self.verb.name}, which go into the pods' command word for word"):
            formatter.write_dl([record for record in records if record])

    def _submit(self, **given: Any) -> None:
        from datascaler.cli.submit.run import submit_run

        submit_run(Step(self.verb, click.get_current_context(), dict(given)))


class Step:
    """One `submit VERB` command line: what is the verb's, and what is submit's own."""

    def __init__(self, verb: click.Command, ctx: click.Context, given: dict[str, Any]) -> None:
        self.verb = str(verb.name)
        self.arguments = list(ctx.args)
        """The verb's words, as they were typed."""
        self.given = given
        self._command, self._parent = verb, ctx
        if isinstance(verb, click.Group) and self.arguments and self.arguments[0] in verb.commands:
            words = f"{verb.name} {self.arguments[0]}"
            raise click.UsageError(f"{words} is no work for pods: run `datascaler {words} ...` here")
        refuse_what_is_not_for_pods(self.arguments)

    def parse(self) -> dict[str, Any]:
        """The verb's arguments as values; a wrong or missing one is a usage error."""
        return self._command.make_context(self.verb, list(self.arguments), parent=self._parent.parent).params

    def spec(self, *, offline: bool) -> "Spec":
        """What they describe. offline: as in `train_spec`."""
        return verb_spec(self.verb, self.parse(), offline=offline)

    @property
    def words(self) -> list[str]:
        """The arguments as the pods' command has them: without the axes of a sweep, of which each run has one value."""
        if self.verb != "sweep":
            return self.arguments
        axes = {*AXES.values(), *MORE_AXES.values()}
        command = click.Command("sweep", params=[param for param in sweep.params if param.name in axes], **_OPEN)
        return command.make_context("sweep", list(self.arguments), parent=self._parent.parent).args


def verb_spec(verb: str, options: Mapping[str, Any], *, offline: bool) -> "Spec":
    """What the flags of a verb describe, by their names. offline: as in `train_spec`."""
    if verb == "score":
        return score_spec(options)
    if verb == "subset":
        return subset_spec(options)
    if verb == "eval":
        return eval_spec(options)
    if verb == "report":
        return report_spec(options)
    return (sweep_spec if verb == "sweep" else train_spec)(options, offline=offline)


def refuse_what_is_not_for_pods(words: Iterable[str]) -> None:
    for word in words:
        if word.partition("=")[0] in ("--index", "--indexes"):
            raise click.UsageError(f"{word}: each pod gets its own; `datascaler retry` runs some of them again")
        if word == "--collect":
            raise click.UsageError("--collect needs no pods: run `datascaler sweep ... --collect` here")
        if word.partition("=")[0] in ("--transfer", "--stop-above"):
            raise click.UsageError(
                f"{word}: the points of a sweep are jobs of their own in the cluster, none of which waits for another; "
                "`datascaler submit pipeline --sweep ... --train ...` trains with the best one"
            )

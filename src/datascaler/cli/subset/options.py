"""Which rows `datascaler subset` keeps, and by whose scores: its flags, and what they come to."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import COUNT, FRACTION
from datascaler.cli.verb_group import VerbGroup
from datascaler.errors import ConfigError

if TYPE_CHECKING:
    from datascaler.data.select.mix_rule import MixRule
    from datascaler.data.select.rule import SelectRule

_FLAGS = (
    click.option("--method", help="Whose scores: clip, dfn; or random, a baseline. Not with --mix."),
    click.option("--fraction", type=FRACTION, help="Part of the whole pool to keep: above 0, at most 1."),
    click.option("--top", type=COUNT, help="In place of --fraction: the best so many rows."),
    click.option("--threshold", type=float, help="In place of --fraction: all rows that score at least this."),
    click.option(
        "--compat",
        type=click.Choice(["datacomp"], case_sensitive=False),
        help="With --fraction: DataComp's own rule, which keeps all ties at the threshold.",
    ),
    click.option(
        "--score-name",
        "score_names",
        metavar="NAME[=WEIGHT]",
        multiple=True,
        help="Which tables, if the method has several. With --mix: once for each column.",
    ),
    click.option(
        "--mix",
        type=click.Choice(["zscore", "rank"], case_sensitive=False),
        help="Mix the columns of several --score-name: the weighted sum of their z-scores, or mean of their ranks.",
    ),
    click.option("--seed", type=COUNT, default=0, show_default=True, help="Of --method random."),
)


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


class SubsetGroup(VerbGroup):
    """Refuses flags that contradict one another while the command line is read, so that `submit` does it too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        alone = not args or args[0].startswith("-")
        rest = super().parse_args(ctx, args)
        if alone and not ctx.resilient_parsing:
            try:
                rule_of(ctx.params)
                scores_of(ctx.params)
            except ConfigError as error:
                raise click.UsageError(str(error), ctx) from error
        return rest


def rule_of(options: dict[str, Any]) -> "SelectRule":
    from datascaler.data.select.rule import SelectRule

    if all(options[name] is None for name in ("fraction", "top", "threshold")):
        raise click.UsageError("Missing option '--fraction', '--top' or '--threshold'.")
    return SelectRule(**{name: options[name] for name in ("fraction", "top", "threshold", "compat")})


def scores_of(options: dict[str, Any]) -> "tuple[str | None, str | None, MixRule | None]":
    """The method and its score name, or the mix."""
    from datascaler.data.select.mix_rule import MixRule, parse_weights

    method, names, kind = options["method"], options["score_names"], options["mix"]
    if kind:
        if method:
            raise click.UsageError(f"--mix takes its scores from --score-name: leave out --method {method}")
        return None, None, MixRule(kind, parse_weights(names))
    if not method:
        raise click.UsageError("Missing option '--method' (or '--mix' with several '--score-name').")
    if len(names) > 1 or any("=" in name for name in names):
        raise click.UsageError("several --score-name, or one with a weight, need --mix zscore or --mix rank")
    return method.lower(), names[0] if names else None, None

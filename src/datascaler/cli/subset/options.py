"""Which rows `datascaler subset` keeps, and by whose scores: its flags, and what they come to."""

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import click

from datascaler.cli.options import given, spec_option, spec_options, usage_errors_of
from datascaler.cli.verb_group import VerbGroup
from datascaler.spec.mix_rule import KINDS
from datascaler.spec.select_rule import DATACOMP
from datascaler.spec.subset import SubsetSpec

_flag = partial(spec_option, SubsetSpec)

subset_options = spec_options(
    _flag("output_dir", required=True, help="The folder that `datascaler score` wrote into."),
    _flag("method", help="Whose scores: clip, dfn; or random, a baseline. Not with --mix."),
    _flag("fraction", help="Part of the whole pool to keep: above 0, at most 1."),
    _flag("top", help="In place of --fraction: the best so many rows."),
    _flag("threshold", help="In place of --fraction: all rows that score at least this."),
    _flag(
        "compat",
        type=click.Choice([DATACOMP], case_sensitive=False),
        help="With --fraction: DataComp's own rule, which keeps all ties at the threshold.",
    ),
    _flag(
        "score_names",
        type=str,
        metavar="NAME[=WEIGHT]",
        multiple=True,
        default="",
        help="Which tables, if the method has several. With --mix: once for each column.",
    ),
    _flag(
        "mix",
        type=click.Choice(KINDS, case_sensitive=False),
        help="Mix the columns of several --score-name: the weighted sum of their z-scores, or mean of their ranks.",
    ),
    _flag("seed", help="Of --method random."),
    _flag(
        "formats",
        help="Files to write: npy, pkl, trie, txt, parquet. For pkl and trie all uids must fit in memory, as strings.",
    ),
    _flag("subset_name", help="Name of the files below OUTPUT_DIR/subsets, in place of METHOD-fFRACTION."),
    _flag("overwrite", is_flag=True, help="Replace a subset of that name which was chosen otherwise."),
)


class SubsetGroup(VerbGroup):
    """Refuses flags that contradict one another while the command line is read, so that `submit` does it too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        alone = not args or args[0].startswith("-")
        rest = super().parse_args(ctx, args)
        if alone and not ctx.resilient_parsing:
            subset_spec(ctx.params, ctx)
        return rest


def subset_spec(options: Mapping[str, Any], ctx: click.Context | None = None) -> SubsetSpec:
    names = {each.name for each in fields(SubsetSpec)}
    with usage_errors_of(SubsetSpec, ctx):
        return SubsetSpec(**given({name: value for name, value in options.items() if name in names}))

"""`datascaler subset sample`."""

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import click

from datascaler.cli.options import NAME, OUTPUT, given, json_option, spec_option
from datascaler.cli.output import print_result
from datascaler.cli.subset.result import coverage_lines, suggest_training
from datascaler.spec.sampler import DEFAULT_PENALTY, Sampler

_flag = partial(spec_option, Sampler)


@click.command()
@click.option("--output-dir", type=OUTPUT, required=True, help="The folder that `datascaler score` wrote into.")
@click.option("--method", required=True, help="Whose scores: clip, dfn.")
@click.option("--score-name", help="Which tables, if the method has several.")
@click.option("--sampler", type=click.Choice(["scs", "hcs"], case_sensitive=False), required=True)
@_flag("draws", required=True, help="Samples in all, repeats counted: 128M.")
@_flag("penalty", default=str(DEFAULT_PENALTY), help="Of scs: off a score at each draw, in the score's unit.")
@_flag("max_repeats", help="Of hcs: times that a uid can be drawn.")
@_flag("batch", help="No uid is in a batch twice.")
@_flag("temperature", help="Below 1: the best more often.")
@_flag("seed")
@click.option(
    "--subset-name", type=NAME, help="Name of the files below OUTPUT_DIR/subsets.  [METHOD-SAMPLER-nDRAWS-sSEED]"
)
@click.option("--overwrite", is_flag=True, help="Replace a subset of that name that holds something else.")
@json_option
def sample(
    output_dir: str,
    method: str,
    score_name: str | None,
    subset_name: str | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Draw a subset in which good samples repeat.

    Batch after batch is drawn without replacement by softmax(score / temperature) over the whole scored pool (FLYT,
    arXiv 2503.08805). scs, soft cap: what was drawn loses --penalty of its score, so the best come often and the
    others still come. hcs, hard cap: scores stay, and nobody comes more than --max-repeats times. The penalty's
    default was found for FLYT's own scores; cosine similarities lie closer together and want a lower temperature and
    a smaller penalty.

    Writes the uids (.npy, repeats in it), the recipe and the plan. The same scores and seed give the same subset.
    Needs some 50 bytes of memory a sample of the pool.

    \b
    datascaler subset sample --output-dir s3://out --method dfn --sampler scs --draws 128M
    """
    from datascaler.data.select.sampler.make_sample import make_sample

    how = sampler_of(options)
    made = make_sample(
        output_dir, how, method=method.lower(), score_name=score_name, name=subset_name, overwrite=overwrite
    )
    shown = ("usable_uids", "kept_uids", "distinct_uids", "most_repeated", "rule")
    result = {"files": made.files, "plan": made.plan, **{key: made.recipe[key] for key in shown}}
    print_result(result | coverage_lines(made), as_json=as_json)
    suggest_training(made.files[0], as_json=as_json)


def sampler_of(options: Mapping[str, Any]) -> Sampler:
    """How the flags say to draw."""
    own = given({each.name: options[each.name] for each in fields(Sampler)})
    if options["sampler"] == "scs":
        if "max_repeats" in own:
            raise click.UsageError("--max-repeats belongs to --sampler hcs; scs takes a --penalty")
        return Sampler(**{"penalty": DEFAULT_PENALTY, **own})
    if "penalty" in own or "max_repeats" not in own:
        raise click.UsageError("--sampler hcs takes --max-repeats, and no --penalty")
    return Sampler(**own)

"""`datascaler subset`."""

from fractions import Fraction

import click

from datascaler.cli.options import COUNT, FRACTION, json_option
from datascaler.cli.output import print_result
from datascaler.cli.subset_combine import combine
from datascaler.cli.subset_convert import convert
from datascaler.cli.subset_sample import sample
from datascaler.cli.subset_show import show
from datascaler.cli.verb_group import VerbGroup


@click.group(cls=VerbGroup)
@click.option("--output-dir", required=True, help="The folder that `datascaler score` wrote into.")
@click.option("--method", required=True, help="Whose scores: clip, dfn; or random, a baseline.")
@click.option("--fraction", type=FRACTION, required=True, help="Part of the whole pool to keep: above 0, at most 1.")
@click.option("--score-name", help="Which tables, if the method has several.")
@click.option("--formats", default="npy,pkl", show_default=True, help="Files to write: npy, pkl, trie.")
@click.option("--subset-name", help="Name of the files below OUTPUT_DIR/subsets, in place of METHOD-fFRACTION.")
@click.option("--seed", type=COUNT, default=0, show_default=True, help="Of --method random.")
@json_option
def subset(
    output_dir: str,
    method: str,
    fraction: Fraction,
    score_name: str | None,
    formats: str,
    subset_name: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Keep the best fraction of a scored pool.

    Writes the uids (DataComp's .npy, .pkl, .trie), the recipe and the plan that training reads by.

    \b
    datascaler subset --output-dir s3://out --method clip --fraction 0.3
    """
    from datascaler.data.make_subset import make_subset

    made = make_subset(
        output_dir,
        method=method.lower(),
        fraction=fraction,
        score_name=score_name,
        formats=tuple(each.strip() for each in formats.split(",")),
        name=subset_name,
        seed=seed,
    )
    coverage = made.coverage
    result = {
        "files": made.files,
        "plan": made.plan,
        **{key: made.recipe[key] for key in ("rows", "usable", "kept_rows", "kept_uids", "threshold", "ties")},
        "coverage": f"{coverage.present:,} of {coverage.wanted:,} uids present in this pool",
    }
    if coverage.duplicate_rows:
        result["duplicate_rows"] = coverage.duplicate_rows
    print_result(result, as_json=as_json)


for command in (show, convert, combine, sample):
    subset.add_command(command)

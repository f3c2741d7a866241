"""`datascaler subset`."""

from typing import Any

import click

from datascaler.cli.options import json_option
from datascaler.cli.output import print_result
from datascaler.cli.subset.baseline import baseline
from datascaler.cli.subset.combine import combine
from datascaler.cli.subset.convert import convert
from datascaler.cli.subset.materialize import materialize
from datascaler.cli.subset.options import SubsetGroup, choice_options, scores_of
from datascaler.cli.subset.result import coverage_lines
from datascaler.cli.subset.sample import sample
from datascaler.cli.subset.show import show


@click.group(cls=SubsetGroup)
@click.option("--output-dir", required=True, help="The folder that `datascaler score` wrote into.")
@choice_options
@click.option(
    "--formats",
    default="npy,pkl",
    show_default=True,
    help="Files to write: npy, pkl, trie, txt, parquet. For pkl and trie all uids must fit in memory, as strings.",
)
@click.option("--subset-name", help="Name of the files below OUTPUT_DIR/subsets, in place of METHOD-fFRACTION.")
@json_option
def subset(output_dir: str, formats: str, subset_name: str | None, as_json: bool, **choice: Any) -> None:
    """Keep the best rows of a scored pool.

    Which rows is decided over the whole pool and exactly: ties at the threshold go to the smaller uids, and rows
    without a score are never kept. Selecting takes less than half a GB of memory for any pool, and 32 bytes a kept row
    on local disk, below $TMPDIR; the plan takes 9 bytes of memory a kept uid (docs/subset.md).

    Writes the uids (DataComp's .npy, .pkl, .trie), the recipe and the plan that training reads by.

    \b
    datascaler subset --output-dir s3://out --method clip --fraction 0.3
    datascaler subset --output-dir s3://out --method clip --threshold 0.28
    datascaler subset --output-dir s3://out --mix zscore --score-name clip-l14 --score-name dfn-b16=0.5 --top 38M
    """
    from datascaler.data.select.select_subset import select_subset

    method, score_name, mix = scores_of(choice)
    made = select_subset(
        output_dir,
        method=method,
        score_name=score_name,
        mix=mix.kind if mix else None,
        weights=mix.weights if mix else None,
        **{each: choice[each] for each in ("fraction", "top", "threshold", "compat")},
        formats=tuple(each.strip() for each in formats.split(",")),
        name=subset_name,
        seed=choice["seed"],
    )
    result = {
        "files": made.files,
        "plan": made.plan,
        **{key: made.recipe[key] for key in ("rows", "usable", "kept_rows", "kept_uids", "threshold", "ties")},
    }
    lines = coverage_lines(made)
    if made.coverage and made.coverage.duplicate_rows:
        lines["duplicate_rows"] = made.coverage.duplicate_rows
    print_result(result | lines, as_json=as_json)


for command in (show, convert, combine, sample, baseline, materialize):
    subset.add_command(command)

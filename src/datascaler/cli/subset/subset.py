"""`datascaler subset`."""

from typing import Any

import click

from datascaler.cli.options import json_option
from datascaler.cli.output import print_result
from datascaler.cli.subset.baseline import baseline
from datascaler.cli.subset.combine import combine
from datascaler.cli.subset.convert import convert
from datascaler.cli.subset.materialize import materialize
from datascaler.cli.subset.options import SubsetGroup, subset_options, subset_spec
from datascaler.cli.subset.result import coverage_lines, suggest_training
from datascaler.cli.subset.sample import sample
from datascaler.cli.subset.show import show


@click.group(cls=SubsetGroup)
@subset_options
@json_option
def subset(as_json: bool, **options: Any) -> None:
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

    spec = subset_spec(options)
    made = select_subset(
        spec.output_dir,
        method=spec.method,
        score_name=spec.score_names[0] if spec.score_names and not spec.mix else None,
        mix=spec.mix,
        weights=spec.mix_rule.weights if spec.mix_rule else None,
        fraction=spec.fraction,
        top=spec.top,
        threshold=spec.threshold,
        compat=spec.compat,
        formats=spec.formats,
        name=spec.subset_name,
        seed=spec.seed,
        overwrite=spec.overwrite,
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
    suggest_training(made.files[0], as_json=as_json)


for command in (show, convert, combine, sample, baseline, materialize):
    subset.add_command(command)

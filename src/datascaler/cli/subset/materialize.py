"""`datascaler subset materialize`."""

from dataclasses import asdict

import click

from datascaler.cli.options import COUNT, INPUT, OUTPUT, data_dir_option, json_option
from datascaler.cli.output import print_result, suggest


@click.command()
@click.argument("subset", type=INPUT)
@data_dir_option
@click.option("--output-dir", type=OUTPUT, required=True, help="Folder or URL for the new tars: a pool of its own.")
@click.option(
    "--plan", "plan_url", type=INPUT, help="The subset's plan for this pool.  [default: beside SUBSET, else made]"
)
@click.option("--samples-per-shard", type=COUNT, default=10_000, show_default=True, help="Less where that is 3 GB.")
@click.option("--num-workers", type=COUNT, default=4, show_default=True, help="Shards written at a time.")
@click.option("--overwrite", is_flag=True, help="Replace what another subset left in OUTPUT_DIR.")
@json_option
def materialize(
    subset: str,
    data_dir: str,
    output_dir: str,
    plan_url: str | None,
    samples_per_shard: int,
    num_workers: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Copy the samples of a subset into tars of their own.

    `train` needs no copy: this is for other tools, for tiny subsets and for pools that will be gone. The layout is
    that of DataComp's resharder: numbered tars, keys UID-COPY, all members of a sample, stats and sizes, meta.json. A
    uid that the subset has k times is written k times, side by side: shuffle when reading. Only what is kept is read
    where the plan knows its place. Run the same command again to go on after an interruption.

    \b
    datascaler subset materialize best.npy --data-dir s3://bucket/pool --output-dir s3://bucket/best
    """
    from datascaler.data.materialize.materialize_subset import materialize_subset

    made = materialize_subset(
        subset,
        data_dir,
        output_dir,
        plan_url=plan_url,
        samples_per_shard=samples_per_shard,
        num_workers=num_workers,
        overwrite=overwrite,
    )
    result = asdict(made)
    result["coverage"] = f"{made.samples:,} of {result.pop('wanted'):,} uids present in this pool"
    print_result(result, as_json=as_json)
    suggest(["train", "--data-dir", output_dir, "--output-dir", "RUNS", "--scale", "small"], as_json=as_json)

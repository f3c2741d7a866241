"""`datascaler pool index`."""

from dataclasses import asdict

import click

from datascaler.cli.options import COUNT, OUTPUT, data_dir_option, index_options, json_option
from datascaler.cli.output import print_result, show_finished, suggest


@click.command()
@data_dir_option
@click.option(
    "--output-dir", type=OUTPUT, required=True, help="Folder or URL for the index; give the same one to `train`."
)
@click.option("--num-workers", type=COUNT, default=4, show_default=True, help="Shards read at a time, at most.")
@index_options
@json_option
def index(data_dir: str, output_dir: str, num_workers: int, index: int, count: int, as_json: bool) -> None:
    """Note the uid, place and state of every sample of a pool.

    `train` needs it for a pool that was not scored and has no parquet beside its shards, and makes it by itself if it
    must; this does it ahead, by many workers. One table a shard, published whole: run the same command again to go on
    after an interruption.

    \b
    datascaler pool index --data-dir s3://bucket/pool --output-dir s3://bucket/out
    datascaler pool index --data-dir s3://bucket/pool --output-dir s3://bucket/out --index 3 --count 16
    """
    from datascaler.data.tables.index_tables import index_part

    show_finished(
        lambda: index_part(data_dir, output_dir, index=index, count=count, num_workers=num_workers),
        lambda summary: print_result(asdict(summary), as_json=as_json),
    )
    suggest(["train", "--data-dir", data_dir, "--output-dir", output_dir, "--scale", "small"], as_json=as_json)

"""`datascaler pool make`."""

from dataclasses import asdict

import click

from datascaler.cli.options import COUNT, INPUT, NAME, OUTPUT, json_option
from datascaler.cli.output import print_result, show_finished, suggest


@click.command()
@click.option("--images-dir", type=INPUT, required=True, help="Folder or URL with the images, subfolders included.")
@click.option(
    "--captions", type=INPUT, required=True, help="Table with a row an image: .csv, .tsv, .jsonl or .parquet."
)
@click.option("--output-dir", type=OUTPUT, required=True, help="Folder or URL of the pool.")
@click.option("--samples-per-shard", type=COUNT, default=10_000, show_default=True, help="Rows of a tar.")
@click.option("--max-side", type=COUNT, help="Re-encode as JPEG (quality 95), the longer side shrunk to this at most.")
@click.option("--name", type=NAME, default="pool", show_default=True, help="Name of the table below metadata/.")
@click.option("--file-column", default="file", show_default=True, help="Path of the image below --images-dir.")
@click.option("--caption-column", default="caption", show_default=True, help="What the image shows.")
@click.option("--url-column", default="url", show_default=True, help="Where it is from; without it, its path.")
@click.option("--uid-column", default="uid", show_default=True, help="32 hex digits; without it, md5(caption + url).")
@click.option("--delimiter", help="Between the fields of a .csv or .tsv: one character, \\t for a tab.")
@click.option("--num-workers", type=COUNT, default=8, show_default=True, help="Images read at a time.")
@click.option("--overwrite", is_flag=True, help="Replace a pool that was made from other inputs.")
@json_option
def make(
    images_dir: str,
    captions: str,
    output_dir: str,
    samples_per_shard: int,
    max_side: int | None,
    name: str,
    file_column: str,
    caption_column: str,
    url_column: str,
    uid_column: str,
    delimiter: str | None,
    num_workers: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make a pool in DataComp's layout from a folder of images and a table of captions.

    Images are stored as they are. Rows without a readable image or a caption are counted and logged, not fatal. A
    command that was interrupted goes on at the first unfinished shard when it is started again.

    \b
    printf 'file,caption\\ncats/1.jpg,a cat on a sofa\\n' > captions.csv
    datascaler pool make --images-dir photos --captions captions.csv --output-dir s3://bucket/pool
    """
    from datascaler.data.make.captions import CaptionColumns
    from datascaler.data.make.make_pool import make_pool

    show_finished(
        lambda: make_pool(
            images_dir,
            captions,
            output_dir,
            columns=CaptionColumns(file=file_column, caption=caption_column, url=url_column, uid=uid_column),
            delimiter=delimiter,
            samples_per_shard=samples_per_shard,
            max_side=max_side,
            name=name,
            num_workers=num_workers,
            overwrite=overwrite,
        ),
        lambda written: print_result(asdict(written), as_json=as_json),
    )
    suggest(
        ["score", "--data-dir", output_dir, "--output-dir", "SCORED", "--method", "clip", "--arch", "b32"],
        as_json=as_json,
    )

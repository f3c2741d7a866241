"""`datascaler pool make-evalset`."""

from dataclasses import asdict

import click

from datascaler.cli.options import COUNT, INPUT, OUTPUT, json_option
from datascaler.cli.output import print_result, print_table, suggest


@click.command("make-evalset")
@click.option(
    "--images-dir", type=INPUT, required=True, help="Folder or URL with CLASS/image files, or with captioned images."
)
@click.option("--output-dir", type=OUTPUT, required=True, help="Folder or URL of the evaluation set.")
@click.option("--captions", type=INPUT, help="Make a retrieval set: .csv, .tsv, .jsonl or .parquet, a row a caption.")
@click.option("--file-column", default="file", show_default=True, help="In --captions: path below --images-dir.")
@click.option("--caption-column", default="caption", show_default=True, help="In --captions: what the image shows.")
@click.option("--delimiter", help="In --captions: between the fields of a .csv or .tsv; \\t for a tab.")
@click.option("--classnames", type=INPUT, help="File with a class name a line, in the order of the folders.")
@click.option("--template", "templates", multiple=True, help="Prompt with {c} for the class name; repeatable.")
@click.option("--images-per-shard", type=COUNT, default=10_000, show_default=True, help="Images of a tar.")
@click.option("--overwrite", is_flag=True, help="Replace what is in --output-dir.")
@json_option
def make_evalset(
    images_dir: str,
    output_dir: str,
    captions: str | None,
    file_column: str,
    caption_column: str,
    delimiter: str | None,
    classnames: str | None,
    templates: tuple[str, ...],
    images_per_shard: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make an evaluation set in DataComp's layout, for `datascaler eval`.

    A class's name is that of its folder, with spaces for underscores; which is which is printed, and kept in
    class_folders.csv. Several captions of an image are several rows, or a list in one. The prompt is "a photo of a
    {c}." unless --template gives others. An image that does not decode is left out and counted.

    \b
    datascaler pool make-evalset --images-dir digits --output-dir s3://bucket/eval/digits \\
        --template "the digit {c}." --template "a scan of the digit {c}."
    datascaler pool make-evalset --images-dir photos --captions captions.csv --output-dir s3://bucket/eval/photos
    """
    from datascaler.data.make.captions import CaptionColumns
    from datascaler.data.make.make_evalset import make_classification_set, make_retrieval_set
    from datascaler.data.make.write_evalset import DEFAULT_TEMPLATES

    if captions is None:
        written = make_classification_set(
            images_dir,
            output_dir,
            classnames=classnames,
            templates=templates or DEFAULT_TEMPLATES,
            images_per_shard=images_per_shard,
            overwrite=overwrite,
        )
    elif classnames or templates:
        raise click.UsageError("--classnames and --template belong to classification; leave out --captions")
    else:
        written = make_retrieval_set(
            images_dir,
            captions,
            output_dir,
            columns=CaptionColumns(file=file_column, caption=caption_column),
            delimiter=delimiter,
            images_per_shard=images_per_shard,
            overwrite=overwrite,
        )
    result = asdict(written)
    del result["images_by_label"]
    classes = result["class_folders"] if as_json else result.pop("class_folders")
    print_result(result, as_json=as_json)
    if classes and not as_json:
        click.echo()
        print_table(classes)
    suggest(["eval", "--train-dir", "RUNS", "--data-dir", output_dir], as_json=as_json)

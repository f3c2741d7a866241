"""`datascaler subset convert`."""

from dataclasses import asdict

import click

from datascaler.cli.options import INPUT, OUTPUT, json_option
from datascaler.cli.output import print_result
from datascaler.cli.subset.result import suggest_training


@click.command()
@click.argument("source", type=INPUT, metavar="IN")
@click.argument("target", type=OUTPUT, metavar="OUT")
@click.option("--drop-repeats", is_flag=True, help="Keep each uid once. Needed for .pkl and .trie where uids repeat.")
@click.option("--overwrite", is_flag=True, help="Replace OUT where its recipe is that of another subset.")
@json_option
def convert(source: str, target: str, drop_repeats: bool, overwrite: bool, as_json: bool) -> None:
    """Write a subset in another format.

    The suffixes tell the formats: .npy (DataComp's own, also without a header), .pkl, .trie, .txt (a uid of 32 hex
    digits a line), .parquet (columns uid_high and uid_low; a hex column uid is read, so DataComp's metadata can be
    IN). OUT is sorted, and the recipe beside IN goes along. A uid that IN has k times is k times in OUT.

    \b
    datascaler subset convert best.txt s3://bucket/best.npy
    datascaler subset convert sampled.npy distinct.pkl --drop-repeats
    """
    from datascaler.data.subset.convert import convert_subset

    made = convert_subset(source, target, drop_repeats=drop_repeats, overwrite=overwrite)
    print_result(asdict(made), as_json=as_json)
    suggest_training(made.file, as_json=as_json)

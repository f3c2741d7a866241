"""`datascaler subset combine`."""

from dataclasses import asdict

import click

from datascaler.cli.options import INPUT, OUTPUT, json_option
from datascaler.cli.output import print_result
from datascaler.cli.subset.result import suggest_training


@click.command()
@click.argument("operation", type=click.Choice(["and", "or", "minus", "plus"]))
@click.argument("files", type=INPUT, nargs=-1, required=True, metavar="A B [C ...]")
@click.option(
    "--output", type=OUTPUT, required=True, help="Subset to write, BASE.npy or another format; the recipe is BASE.json."
)
@click.option("--overwrite", is_flag=True, help="Replace the output where its recipe is that of another subset.")
@json_option
def combine(operation: str, files: tuple[str, ...], output: str, overwrite: bool, as_json: bool) -> None:
    """Combine subsets by and, or, minus or plus.

    A uid may be in a subset several times, and is then seen that often:

    \b
    and    the uids of A that are in all others, as often as A has them
    minus  A without the uids that are in any other
    or     every uid, as often as the subset that has it most
    plus   every uid, as often as all of them together

    The recipe records the inputs by their digests. Needs some 50 bytes of memory a uid.

    \b
    datascaler subset combine and clip.npy english.txt --output clip-english.npy
    datascaler subset combine minus pool.npy evalset-duplicates.npy --output clean.npy
    """
    from datascaler.data.subset.combine import combine_subsets

    if len(files) < 2:
        raise click.UsageError(f"{operation} needs at least two subset files, got {len(files)}")
    combined = combine_subsets(operation, files, output, overwrite=overwrite)
    print_result(asdict(combined), as_json=as_json)
    suggest_training(combined.file, as_json=as_json)

"""`datascaler subset baseline`."""

import contextlib
import json
import shlex
from functools import partial
from typing import Any

import click

from datascaler.cli.options import json_option, spec_option, usage_errors_of
from datascaler.cli.output import note, print_result
from datascaler.spec.baselines import BASELINES, BaselineSpec, Command, baseline_commands, subset_url
from datascaler.spec.score_captions import METADATA_ARCHS

_flag = partial(spec_option, BaselineSpec)


@click.command()
@click.argument("name", type=click.Choice(BASELINES), metavar="NAME")
@_flag("from_metadata", required=True, metavar="DIR", help="Folder of DataComp's metadata parquet files.")
@_flag("output_dir", required=True, help="Folder or URL for the score tables and the subset.")
@_flag("arch", type=click.Choice(METADATA_ARCHS), help="Of the baselines by clip_score.")
@_flag("fraction", help="Of the baselines by clip_score: by DataComp's own rule, ties kept.")
@_flag("threshold", help="In place of --fraction.")
@_flag("language_model", metavar="FILE", help="fastText's lid.176.bin.  [laion2b: cld3]")
@_flag("words", metavar="FILE", help="text_based: the words, one a line.")
@_flag("wordnet", metavar="DIR", help="text_based: WordNet's dict folder, in place of --words.")
@_flag("synsets", metavar="FILE", help="text_based: ImageNet-21k's synsets, one a line, for --wordnet.")
@_flag("target", metavar="FILE", help="image_based: L/14 embeddings of ImageNet-1k's train images.")
@_flag("centroids", metavar="FILE", help="image_based: L/14 cluster centres of the pool.")
@click.option("--dry-run", is_flag=True, help="Print the commands, and run none.")
@json_option
def baseline(dry_run: bool, as_json: bool, **options: Any) -> None:
    """Make one of DataComp's named baselines from its metadata.

    A baseline is a list of `datascaler` commands; --dry-run prints them, to be run by hand or by many workers. What is
    finished is not done again.

    \b
    NAME   no_filter, basic_filter, clip_score, laion2b, text_based, image_based, or
           image_based_intersect_clip_score

    \b
    datascaler subset baseline clip_score --from-metadata pool/metadata --output-dir out --arch l14 --fraction 0.3
    datascaler subset baseline laion2b --from-metadata pool/metadata --output-dir out
    """
    with usage_errors_of(BaselineSpec):
        spec = BaselineSpec(**options)
        commands = baseline_commands(spec)
    lines = [f"datascaler {shlex.join(command)}" for command in commands]
    if dry_run:
        print_result({"commands": lines}, as_json=True) if as_json else click.echo("\n".join(lines))
        return
    made: dict[str, Any] = {}
    for command, line in zip(commands, lines, strict=True):
        note(line)
        made = _run(command)
    result = {"file": subset_url(spec), "uids": made["kept_uids"] if "kept_uids" in made else made["uids"]}
    print_result({**result, "commands": lines} if as_json else result, as_json=as_json)


def _run(command: Command) -> dict[str, Any]:
    """What the command prints as JSON."""
    import io

    root = click.get_current_context().find_root().command
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        root.main([*command, "--json"], prog_name="datascaler", standalone_mode=False)
    result: dict[str, Any] = json.loads(printed.getvalue())
    return result

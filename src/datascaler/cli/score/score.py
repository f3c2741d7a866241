"""`datascaler score`."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
from click.core import ParameterSource

from datascaler.cli.options import COUNT, index_options, json_option
from datascaler.cli.output import print_result, show_finished
from datascaler.cli.score import captions as score_captions
from datascaler.cli.score import embeddings as score_embeddings
from datascaler.cli.score import image as score_image
from datascaler.errors import ConfigError
from datascaler.spec.score import CAPTION_METHODS, EMBEDDING_METHODS, IMAGE_METHODS, METHODS, check_method
from datascaler.spec.score_captions import METADATA_METHODS

_FAMILIES = ((IMAGE_METHODS, score_image), (CAPTION_METHODS, score_captions), (EMBEDDING_METHODS, score_embeddings))
"""Methods, and the module that has their OPTIONS, the NAMES of all options that they read, those that only some of them
read in METHOD_OPTIONS, and `run`."""


def _method(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    try:
        return check_method(value)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


def _family_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for _, family in reversed(_FAMILIES):
        for option in reversed(family.OPTIONS):
            command = option(command)
    return command


@click.command()
@click.option("--data-dir", help="Folder or URL of the pool's tar shards; several as a::b; brace ranges work.")
@click.option("--output-dir", required=True, help="Folder or URL for the score tables.")
@click.option("--method", required=True, callback=_method, help=f"How to score: {', '.join(METHODS)} (any case).")
@_family_options
@click.option("--score-name", help="Name of the tables' folder, in place of METHOD-ARCH-<weights hash>.")
@click.option(
    "--num-workers",
    type=COUNT,
    help="Workers that read and decode.  [default: 4, or where the network is on the CPU as many as it has threads]",
)
@index_options
@click.option("--overwrite", is_flag=True, help="Score again what is there already.")
@json_option
def score(method: str, as_json: bool, **options: Any) -> None:
    """Score every sample of a pool.

    One table a shard, published whole: run the same command again to go on after an interruption. Samples that can't
    be scored are rows with their reason.

    \b
    datascaler score --data-dir s3://pool --output-dir s3://out --method clip --arch b32
    datascaler score --data-dir pool --output-dir out --method dfn --pretrained out/small/none-f1.0/...
    datascaler score --from-metadata datacomp/metadata --output-dir out --method clip --arch l14
    """
    ctx = click.get_current_context()
    family = next(module for methods, module in _FAMILIES if method in methods)
    if options["from_metadata"] and method in METADATA_METHODS:
        family = score_captions  # DataComp has scored it already
    foreign = {name for _, module in _FAMILIES for name in module.NAMES} - set(family.NAMES)
    some = {name for names in family.METHOD_OPTIONS.values() for name in names}
    for name in sorted(foreign | some - set(family.METHOD_OPTIONS[method])):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} has no meaning for --method {method}")
    own = {name: options.pop(name) for name in family.NAMES}
    common = {name: value for name, value in options.items() if name not in foreign}
    show_finished(
        lambda: family.run({"method": method, **common}, **own),
        lambda summary: print_result(asdict(summary), as_json=as_json),
    )

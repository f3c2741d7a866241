"""`datascaler score`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import click

from datascaler.cli.options import given as given_of
from datascaler.cli.options import index_options, json_option, spec_option, spec_options, usage_errors_of
from datascaler.cli.output import print_result, show_finished, suggest
from datascaler.cli.score import captions as score_captions
from datascaler.cli.score import embeddings as score_embeddings
from datascaler.cli.score import image as score_image
from datascaler.errors import ConfigError
from datascaler.spec.field import names_read
from datascaler.spec.score import METHODS, ScorePart, ScoreSpec, check_method
from datascaler.spec.score_captions import METADATA_METHODS, CaptionSpec
from datascaler.spec.score_embeddings import EmbeddingSpec

_FAMILIES: tuple[tuple[type[ScorePart], Any], ...] = (
    (ScoreSpec, score_image),
    (CaptionSpec, score_captions),
    (EmbeddingSpec, score_embeddings),
)
"""Each spec, and the module that has its OPTIONS, the OTHERS among them that are not fields, `spec_of`, and `run`."""

_YES_OR_NO = ("basic", "english", "text_based", "metaclip", "dedup", "image_based")
"""Methods whose scores have a threshold of their own."""

_flag = partial(spec_option, ScorePart)


def _method(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    try:
        return value if value is None else check_method(value)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


class _ScoreCommand(click.Command):
    """Its help has the flags of each family of methods in a section of their own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Options", *_SECTIONS)}
        for param in self.get_params(ctx):
            title = next((title for title, names in _SECTIONS.items() if param.name in names), "Options")
            records[title] += filter(None, [param.get_help_record(ctx)])
        for title, lines in records.items():
            with formatter.section(title):
                formatter.write_dl(lines)


def _names_of(options: Iterable[Callable[[Any], Any]]) -> set[str | None]:
    """The parameters that these options make."""
    return {param.name for param in click.command()(spec_options(*options)(lambda: None)).params}


_SECTIONS = {
    f"{what}: {', '.join(kind.FAMILY)}": _names_of(family.OPTIONS)
    for what, (kind, family) in zip(("Images", "Captions and metadata", "Embeddings"), _FAMILIES, strict=True)
}


@click.command(cls=_ScoreCommand)
@_flag("data_dir", help="Folder or URL of the pool's tar shards; several as a::b; brace ranges work.")
@_flag("output_dir", required=True, help="Folder or URL for the score tables.")
@click.option("--method", required=True, callback=_method, help=f"How to score: {', '.join(METHODS)} (any case).")
@spec_options(*(option for _, family in _FAMILIES for option in family.OPTIONS))
@_flag("score_name", help="Name of the tables' folder, in place of METHOD-ARCH-<weights hash>.")
@_flag(
    "num_workers",
    default="4, or where the network is on the CPU as many as it has threads",
    help="Workers that read and decode.",
)
@index_options
@_flag("overwrite", is_flag=True, help="Score again what is there already.")
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
    given = {"method": method, **given_of(options)}
    _, family = _family_of(given)
    spec = score_spec(given)
    others = {name: given[name] for name in family.OTHERS if name in given}
    show_finished(lambda: family.run(spec, **others), lambda summary: print_result(asdict(summary), as_json=as_json))
    if "verify" not in given:
        suggest(_next_command(spec), as_json=as_json)


def _next_command(spec: ScorePart) -> list[str]:
    """What is made of the scores, once every worker has made its own."""
    if spec.count > 1:
        return ["runs", spec.output_dir]
    if spec.method == "boxes":
        return ["score", "--data-dir", spec.data_dir, "--output-dir", spec.output_dir, "--method", "tmars"]
    named = ["--score-name", spec.score_name] if spec.score_name else []
    cut = (
        ["--threshold", "0" if spec.method == "metaclip" else "1"]
        if spec.method in _YES_OR_NO
        else ["--fraction", "0.3"]
    )
    return ["subset", "--output-dir", spec.output_dir, "--method", spec.method, *named, *cut]


def score_spec(options: Mapping[str, Any]) -> ScorePart:
    """What the flags describe."""
    given = given_of({name: value for name, value in options.items() if name not in ("indexes", "as_json")})
    given["method"] = check_method(given["method"])
    kind, family = _family_of(given)
    own = {*names_read(kind, given["method"]), *family.OTHERS}
    for name in sorted(given):
        if name not in own:
            raise click.UsageError(f"--{name.replace('_', '-')} has no meaning for --method {given['method']}")
    with usage_errors_of(kind):
        spec: ScorePart = family.spec_of({name: value for name, value in given.items() if name not in family.OTHERS})
    return spec


def _family_of(given: Mapping[str, Any]) -> tuple[type[ScorePart], Any]:
    if "from_metadata" in given and given["method"] in METADATA_METHODS:
        return CaptionSpec, score_captions  # DataComp has scored it already
    return next((kind, family) for kind, family in _FAMILIES if given["method"] in kind.FAMILY)

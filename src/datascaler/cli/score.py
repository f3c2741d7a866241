"""`datascaler score`."""

from dataclasses import asdict

import click

from datascaler.cli.options import COUNT, data_dir_option, index_options, json_option
from datascaler.cli.output import note, print_result
from datascaler.errors import ConfigError
from datascaler.spec.score import METHODS, ScoreSpec, check_method, default_model


def _method(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    try:
        return check_method(value)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@data_dir_option
@click.option("--output-dir", required=True, help="Folder or URL for the score tables.")
@click.option("--method", required=True, callback=_method, help=f"How to score: {', '.join(METHODS)} (any case).")
@click.option("--model", help="open_clip model name, hf-hub:ORG/NAME or local-dir:FOLDER.")
@click.option("--pretrained", help="open_clip's tag, a weights file, or the URL of a datascaler run.")
@click.option("--arch", default="l14", show_default=True, help="CLIP's default model: l14 or b32.")
@click.option("--score-name", help="Name of the tables' folder, in place of METHOD-ARCH-<weights hash>.")
@click.option("--batch-size", type=COUNT, default=256, show_default=True)
@click.option("--num-workers", type=COUNT, default=4, show_default=True, help="Decoding threads.")
@index_options
@click.option("--overwrite", is_flag=True, help="Score again what is there already.")
@json_option
def score(arch: str, model: str | None, pretrained: str | None, as_json: bool, **options: object) -> None:
    """Score every sample of a pool.

    One table a shard, published whole: run the same command again to go on after an interruption. Samples that can't
    be scored are rows with their reason.

    \b
    datascaler score --data-dir s3://pool --output-dir s3://out --method clip --arch b32
    datascaler score --data-dir pool --output-dir out --method dfn --pretrained out/small/none-f1.0/...
    """
    model, pretrained = default_model(str(options["method"]), arch, model, pretrained)
    spec = ScoreSpec(model=model, pretrained=pretrained, **options)  # type: ignore[arg-type]

    from datascaler.score.run import score as run

    print_result(asdict(run(spec, note)), as_json=as_json)

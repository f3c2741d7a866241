"""`datascaler coord-check`."""

from dataclasses import asdict
from functools import partial
from typing import Any

import click

from datascaler.cli.options import FRACTION, json_option, list_of, spec_option, usage_errors_of
from datascaler.cli.output import begin_work, note, print_result
from datascaler.errors import DatascalerError
from datascaler.spec.coord_check import CoordCheckSpec

_flag = partial(spec_option, CoordCheckSpec)


@click.command("coord-check")
@_flag("output_dir", required=True, help="Folder or URL for coord_check.json and coord_check.png.")
@_flag("model_arch", help="open_clip architecture.")
@_flag("width_mults", type=list_of(FRACTION), default="2,4,8,16", help="Widths; the smallest is muP's base.")
@_flag("seeds", help="Models at each width.")
@_flag("steps", help="Updates of each.")
@_flag("batch_size", help="Random pairs in the batch of all steps.")
@_flag("lr", help="At the base width; several times that of training.")
@_flag("eps", help="Of AdamW, at the base width.")
@_flag("weight_decay", help="Of AdamW, at the base width.")
@json_option
def coord_check(as_json: bool, **options: Any) -> None:
    """Check that muP keeps what CLIP computes as large at every width.

    Models of several widths take a few steps under the standard parametrisation and under muP. The check passes where
    muP's sizes do not go with width, and the standard ones do, so that a wrong parametrisation would have been seen.

    \b
    datascaler coord-check --output-dir coords
    datascaler coord-check --output-dir coords --model-arch ViT-B-32 --width-mults 3/16,3/8,3/4,3/2
    """
    with usage_errors_of(CoordCheckSpec):
        spec = CoordCheckSpec(**{name: value for name, value in options.items() if value is not None})
    begin_work(None, spec.output_dir)

    from datascaler.train.coord_check import check_coordinates

    result = check_coordinates(spec, note)
    for reason in result.reasons:
        note(reason)
    print_result({name: value for name, value in asdict(result).items() if name != "reasons"}, as_json=as_json)
    if result.verdict != "passed":
        raise DatascalerError(f"the verdict is: {result.verdict}; {result.results} has all slopes")

"""`datascaler score` by networks that see the images: its options, and the run."""

from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import COUNT
from datascaler.cli.output import note
from datascaler.spec.score import ScoreSpec, default_model

if TYPE_CHECKING:
    from datascaler.score.summary import ScoreSummary

OPTIONS = (
    click.option("--model", help="open_clip model name, hf-hub:ORG/NAME or local-dir:FOLDER."),
    click.option("--pretrained", help="open_clip's tag, a weights file, or the URL of a datascaler run."),
    click.option("--arch", default="l14", show_default=True, help="CLIP's default model: l14 or b32."),
    click.option("--batch-size", type=COUNT, default=256, show_default=True),
)
NAMES = ("model", "pretrained", "arch", "batch_size")
"""The options that these methods read."""


def run(common: dict[str, Any], arch: str, model: str | None, pretrained: str | None, **options: Any) -> "ScoreSummary":
    if not common["data_dir"]:
        raise click.UsageError(f"Missing option '--data-dir': --method {common['method']} looks at the pool's images")
    model, pretrained = default_model(common["method"], arch, model, pretrained)
    spec = ScoreSpec(model=model, pretrained=pretrained, **common, **options)

    from datascaler.score.run import score

    return score(spec, note)

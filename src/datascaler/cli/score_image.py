"""`datascaler score` by networks that see the images: its options, and the run."""

from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import COUNT
from datascaler.cli.output import note
from datascaler.spec.score import ScoreSpec, default_model

if TYPE_CHECKING:
    from datascaler.score.summary import ScoreSummary
    from datascaler.score.verify import VerifySummary

OPTIONS = (
    click.option("--model", help="open_clip model name, hf-hub:ORG/NAME or local-dir:FOLDER."),
    click.option("--pretrained", help="open_clip's tag, a weights file, or the URL of a datascaler run."),
    click.option("--arch", default="l14", show_default=True, help="CLIP's default model: l14 or b32."),
    click.option("--batch-size", type=COUNT, default=256, show_default=True),
    click.option(
        "--verify",
        type=COUNT,
        is_flag=False,
        flag_value="200",
        metavar="[ROWS]",
        help="Instead: score so many rows of finished tables again, and compare.  [200 if no number is given]",
    ),
    click.option("--verify-seed", type=COUNT, default=0, show_default=True, help="Which rows --verify draws."),
)
NAMES = ("model", "pretrained", "arch", "batch_size", "verify", "verify_seed")
"""The options that these methods read."""


def run(
    common: dict[str, Any],
    arch: str,
    model: str | None,
    pretrained: str | None,
    verify: int | None,
    verify_seed: int,
    **options: Any,
) -> "ScoreSummary | VerifySummary":
    if not common["data_dir"]:
        raise click.UsageError(f"Missing option '--data-dir': --method {common['method']} looks at the pool's images")
    if common["method"] in ("tmars", "boxes"):
        # Until the pipeline hands pictures to score.choose_edit, they would be scored as they are, under a false name.
        raise click.UsageError(f"--method {common['method']} is not available yet")
    model, pretrained = default_model(common["method"], arch, model, pretrained)
    spec = ScoreSpec(model=model, pretrained=pretrained, **common, **options)

    if verify is not None:
        from datascaler.score.verify import verify as verify_rows

        return verify_rows(spec, verify, seed=verify_seed)

    from datascaler.score.run import score

    return score(spec, note)

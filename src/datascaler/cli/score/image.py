"""`datascaler score` by networks that see the images: its options, and the run."""

from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import COUNT
from datascaler.cli.output import note
from datascaler.spec.score import ScoreSpec, TextOptions

if TYPE_CHECKING:
    from datascaler.score.score_summary import ScoreSummary
    from datascaler.score.verify_scores import VerifySummary

OPTIONS = (
    click.option("--model", help="open_clip model name, hf-hub:ORG/NAME or local-dir:FOLDER."),
    click.option("--pretrained", help="open_clip's tag, a weights file, or the URL of a datascaler run."),
    click.option("--arch", default="l14", show_default=True, help="CLIP's default model: l14 or b32."),
    click.option("--batch-size", type=COUNT, default=256, show_default=True),
    click.option("--save-embeddings", is_flag=True, help="Keep the float16 vectors too, beside each table, as .npz."),
    click.option("--torch-compile", is_flag=True, help="Compile the network first: minutes, for a faster forward."),
    click.option("--processes", type=COUNT, help="Processes that share the work.  [default: one for each GPU]"),
    click.option("--detector", help="tmars, boxes: an .onnx file that detects text, in place of the default network."),
    click.option(
        "--max-masked-area",
        type=float,
        default=TextOptions().max_masked_area,
        show_default=True,
        help="tmars: masks never cover more of a picture.",
    ),
    click.option("--boxes", metavar="SCORE_ID", help="tmars: mask what --method boxes, or tmars, has found already."),
    click.option(
        "--plain", metavar="SCORE_ID", help="tmars: scores of the same network, for the pictures that have no text."
    ),
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
_TEXT = ("detector", "max_masked_area", "boxes", "plain")
METHOD_OPTIONS: dict[str, tuple[str, ...]] = {"clip": (), "dfn": (), "tmars": _TEXT, "boxes": _TEXT}
NAMES = (
    *("model", "pretrained", "arch", "batch_size", "save_embeddings", "torch_compile", "processes"),
    *(*_TEXT, "verify", "verify_seed"),
)
"""The options that these methods read."""


def run(
    common: dict[str, Any],
    processes: int | None,
    verify: int | None,
    verify_seed: int,
    **options: Any,
) -> "ScoreSummary | VerifySummary":
    if not common["data_dir"]:
        raise click.UsageError(f"Missing option '--data-dir': --method {common['method']} looks at the pool's images")
    text = TextOptions(**{name: options.pop(name) for name in _TEXT})
    spec = ScoreSpec(text=text, **common, **options)

    if verify is not None:
        from datascaler.score.verify_scores import verify_scores

        return verify_scores(spec, verify, seed=verify_seed)

    from datascaler.score.score_pool import score_pool

    return score_pool(spec, note, processes=processes)

"""`datascaler score` by networks that see the images: its options, its spec, and the run."""

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import COUNT, spec_option
from datascaler.cli.output import begin_work, note
from datascaler.spec.score import ScoreSpec, TextOptions

if TYPE_CHECKING:
    from datascaler.score.score_summary import ScoreSummary
    from datascaler.score.verify_scores import VerifySummary

_flag = partial(spec_option, ScoreSpec)

OPTIONS = (
    _flag("model", help="open_clip model name, hf-hub:ORG/NAME or local-dir:FOLDER."),
    _flag("pretrained", help="open_clip's tag, a weights file, or the URL of a datascaler run."),
    _flag("arch", help="CLIP's default model: l14 or b32."),
    _flag("image_size", help="Side of the images that the model sees, where it isn't the architecture's."),
    _flag("context_length", help="Tokens of a caption that the model sees, where it isn't the architecture's."),
    _flag("decode", help="How images are made small: as open_clip does it, or nearly so and faster."),
    _flag("precision", help="What the model computes in; auto: 16 bits on a GPU, fp32 on a CPU."),
    _flag("batch_size"),
    _flag("save_embeddings", is_flag=True, help="Keep the float16 vectors too, beside each table, as .npz."),
    _flag("torch_compile", is_flag=True, help="Compile the network first: minutes, for a faster forward."),
    click.option("--processes", type=COUNT, help="Processes that share the work.  [default: one for each GPU]"),
    _flag("detector", help="tmars, boxes: an .onnx file that detects text, in place of the default network."),
    _flag("max_masked_area", help="tmars: masks never cover more of a picture."),
    _flag("boxes", metavar="SCORE_ID", help="tmars: mask what --method boxes, or tmars, has found already."),
    _flag("plain", metavar="SCORE_ID", help="tmars: scores of the same network, for the pictures that have no text."),
    click.option(
        "--verify",
        type=COUNT,
        is_flag=False,
        flag_value="200",
        metavar="[ROWS]",
        help="Instead: score so many rows of finished tables again, and compare.  [200 if no number is given]",
    ),
    click.option("--verify-seed", type=COUNT, help="Which rows --verify draws.  [default: 0]"),
)
OTHERS = ("processes", "verify", "verify_seed")
"""Options of theirs that say nothing of what is computed, and so are not in the spec."""


def spec_of(given: Mapping[str, Any]) -> ScoreSpec:
    if "from_metadata" in given:
        raise click.UsageError(f"--from-metadata has no meaning for --method {given['method']}")
    if "data_dir" not in given:
        raise click.UsageError(f"Missing option '--data-dir': --method {given['method']} looks at the pool's images")
    names = {each.name for each in fields(TextOptions)}
    text = TextOptions(**{name: value for name, value in given.items() if name in names})
    return ScoreSpec(**{name: value for name, value in given.items() if name not in names}, text=text)


def run(
    spec: ScoreSpec, processes: int | None = None, verify: int | None = None, verify_seed: int = 0
) -> "ScoreSummary | VerifySummary":
    begin_work(spec)

    from datascaler.models.freed_memory import keep_freed_memory_on_cpu

    keep_freed_memory_on_cpu()
    if verify is not None:
        from datascaler.score.verify_scores import verify_scores

        return verify_scores(spec, verify, seed=verify_seed)

    from datascaler.score.score_pool import score_pool

    return score_pool(spec, note, processes=processes)

"""The flags of a training run, shared by `train` and `sweep`; names are those of the first version's scripts."""

from collections.abc import Callable
from typing import Any, get_args

import click

from datascaler.cli.options import BYTES, COUNT, FRACTION, data_dir_option, truth_option
from datascaler.spec.scales import SCALES
from datascaler.spec.train import Decoder, StorageClient

_OPTIONS = (
    data_dir_option,
    click.option("--output-dir", required=True, help="Folder or URL for runs."),
    click.option("--scale", required=True, help=f"DataComp's recipe: {', '.join(SCALES)}."),
    click.option("--method", help="How the subset was chosen; taken from its recipe if it has one."),
    click.option("--fraction", type=FRACTION, help="Fraction that the subset keeps; taken from its recipe."),
    click.option(
        "--subset-file",
        "--subset-file-path",
        "subset_file",
        help="Uids to train on, in any format of `subset convert`; none trains on the whole pool.",
    ),
    click.option("--plan", "plan_file", help="A plan made for this pool and subset; found or made if not given."),
    truth_option("--no-plan", default=False, help="Stream the whole pool instead; on one node."),
    click.option("--model-arch", help="open_clip architecture.  [default: the scale's, ViT-B-32]"),
    click.option("--width-mult", type=FRACTION, default="1", show_default=True, help="Width of the model."),
    click.option("--min-width-mult", type=FRACTION, help="muP's base width.  [default: width-mult]"),
    truth_option("--use-mup", default=False, help="Parametrise by muP."),
    click.option("--train-num-samples", type=COUNT, help="Samples seen in all: 128_000_000, 128M."),
    click.option("--batch-size", type=COUNT, help="Global batch size.  [default: the scale's]"),
    click.option("--device-batch-size", type=COUNT, default=0, help="Most samples in one forward pass."),
    click.option("--beta1", type=float, help="Of AdamW.  [default: 0.9]"),
    click.option("--beta2", type=float, help="Of AdamW.  [default: the scale's]"),
    click.option("--eps", type=float, help="Of AdamW, at the base width.  [default: 1e-6]"),
    click.option("--seed", type=COUNT, default=0, show_default=True),
    click.option(
        "--decode",
        type=click.Choice(get_args(Decoder)),
        default="bicubic",
        show_default=True,
        help="How images are made small: as open_clip does it, or nearly so and faster.",
    ),
    click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True),
    click.option("--num-workers", type=COUNT, default=4, show_default=True, help="Loader processes per process."),
    click.option("--cache-dir", help="Folder on each node that keeps the samples read, for later passes."),
    click.option("--cache-size", "cache_bytes", type=BYTES, default="50G", show_default=True, help="Of --cache-dir."),
    click.option(
        "--storage-client",
        type=click.Choice(get_args(StorageClient)),
        default="fsspec",
        show_default=True,
        help="How loader processes read object stores; obstore costs a fraction of the CPU.",
    ),
    click.option("--num-checkpoints", type=COUNT, default=5, show_default=True),
    click.option(
        "--checkpoint-minutes",
        type=float,
        default=15.0,
        show_default=True,
        help="Save after so many minutes too, so that a killed run loses no more; 0: don't.",
    ),
    click.option("--log-every-steps", type=COUNT, default=10, show_default=True),
    click.option("--min-coverage", type=float, default=0.0, help="Stop if less of the subset is in the pool."),
    click.option(
        "--max-substituted",
        type=float,
        default=0.05,
        show_default=True,
        help="Stop if a larger share of the draws can't be read or decoded, so that others stand in.",
    ),
    click.option("--nproc-per-node", type=COUNT, default=1, show_default=True, help="Processes (GPUs) on this node."),
)


def train_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def with_recipe(options: dict[str, Any]) -> dict[str, Any]:
    """Fill method and fraction from the subset's recipe where the user left them out, and the base width."""
    options["min_width_mult"] = options["min_width_mult"] or options["width_mult"]
    subset_file = options["subset_file"]
    if subset_file and (options["method"] is None or options["fraction"] is None):
        from datascaler.data.subset.subset import read_recipe

        recipe = read_recipe(subset_file) or {}
        options["method"] = options["method"] or recipe.get("method", "subset")
        if options["fraction"] is None and "fraction" in recipe:
            options["fraction"] = FRACTION(recipe["fraction"])
    return options

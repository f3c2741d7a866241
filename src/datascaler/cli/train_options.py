"""The flags of a training run, shared by `train` and `sweep`; names are those of the first version's scripts."""

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import click

from datascaler.cli.options import BYTES, COUNT, FRACTION, data_dir_option, spec_option, spec_options, usage_errors_of
from datascaler.spec.scales import SCALES
from datascaler.spec.train import TrainSpec, datacomp_recipe

_flag = partial(spec_option, TrainSpec)
_SCALES = "the scale's"


def _at_least_one(ctx: click.Context, param: click.Parameter, value: int) -> int:
    if value < 1:
        raise click.BadParameter(f"it must be at least 1, got {value}", ctx, param)
    return value


train_options = spec_options(
    data_dir_option,
    _flag("output_dir", required=True, help="Folder or URL for runs."),
    _flag("scale", required=True, help=f"DataComp's recipe: {', '.join(SCALES)}."),
    _flag("method", default="", help="How the subset was chosen; taken from its recipe if it has one."),
    _flag("fraction", default="", help="Fraction that the subset keeps; taken from its recipe."),
    _flag(
        "subset_file",
        "--subset-file-path",
        help="Uids to train on, in any format of `subset convert`; none trains on the whole pool.",
    ),
    _flag("plan_file", help="A plan made for this pool and subset; found or made if not given."),
    _flag("no_plan", help="Stream the whole pool instead; on one node."),
    _flag("model_arch", default="the scale's, ViT-B-32", help="open_clip architecture."),
    _flag("width_mult", help="Width of the model."),
    _flag("min_width_mult", default="width-mult", help="muP's base width."),
    _flag("use_mup", help="Parametrise by muP."),
    _flag("init_from", help="Weights to start from: a tag of the architecture, a file, or a run."),
    _flag("extend", help="A complete run to go on from, under this run's schedule; count its samples too."),
    _flag("train_num_samples", default=_SCALES, help="Samples seen in all: 128_000_000, 128M."),
    _flag("schedule", help="cosine, to the run's end; or wsd: warm-up, constant, cool-down."),
    _flag("cooldown", help="Share of the samples in which wsd's rate falls."),
    _flag("branch_at", help="Several budgets of samples, one trunk (4M,8M,16M), by wsd: a run for each."),
    _flag("batch_size", default=_SCALES, help="Global batch size."),
    _flag("device_batch_size", default="no limit", help="Most samples in one forward pass."),
    _flag("beta1", help="Of AdamW."),
    _flag("beta2", default=_SCALES, help="Of AdamW."),
    _flag("eps", help="Of AdamW, at the base width."),
    _flag("loss", help="clip: a softmax over the batch; siglip: a sigmoid of each pair."),
    _flag("init_temperature", default="0.07, or siglip's 0.1", help="What similarities are divided by at the start."),
    _flag("hold_tau", help="Scale the weight decay where samples or batch are not the scale's, so that tau stays."),
    _flag("grad_clip_norm", help="Most that the norm of all gradients may be; 0: any."),
    _flag("seed"),
    _flag("tag", default="", help="Ends the name of the run's folder."),
    _flag("decode", help="How images are made small: as open_clip does it, or nearly so and faster."),
    _flag("precision", help="bf16 is autocast, with weights and moments in fp32; auto takes it where a GPU has it."),
    _flag("grad_checkpointing", help="Compute activations twice in place of keeping them: less memory."),
    _flag("torch_compile", help="Compile both towers; the first steps take minutes."),
    _flag("num_workers", help="Loader processes per process."),
    _flag("cache_dir", help="Folder on each node that keeps the samples read, for later passes."),
    _flag("cache_bytes", type=BYTES, default="50G", help="Of --cache-dir."),
    _flag("storage_client", help="How loader processes read object stores; obstore costs a fraction of the CPU."),
    _flag("num_checkpoints"),
    _flag("checkpoint_minutes", help="Save after so many minutes too, so that a killed run loses no more; 0: don't."),
    _flag("keep_every", help="Keep the checkpoint of every so many steps for good; 0: the newest ones only."),
    _flag("keep_all", help="Keep every checkpoint."),
    _flag("log_every_steps"),
    _flag("loss_limits", default="none", help="SAMPLES:LOSS,...: give the run up if its loss is above that there."),
    _flag(
        "track", default="none", help="Copy the run's figures to tensorboard, wandb, mlflow; by their own variables."
    ),
    _flag("eval_every", default="", help="Evaluate a checkpoint every so many samples (1M), beside the job."),
    _flag("eval_data_dir", help="Folder or URL of the evaluation sets for that."),
    _flag("eval_tasks", default="all", help="Only these, by key or name, with *: imagenet1k."),
    _flag("min_coverage", help="Stop if less of the subset is in the pool."),
    _flag(
        "max_substituted", help="Stop if a larger share of the draws can't be read or decoded, so that others stand in."
    ),
    click.option(
        "--nproc-per-node",
        type=COUNT,
        default=1,
        show_default=True,
        callback=_at_least_one,
        help="Processes (GPUs) on this node.",
    ),
)
"""Those of both."""

point_options = spec_options(
    _flag("lr", default=_SCALES, help="Peak learning rate, at the base width."),
    _flag("weight_decay", help="Of AdamW."),
    _flag("warmup_steps", default=_SCALES, help="Steps of linear warm-up."),
)
"""Those of `train`, which a sweep varies."""


def train_spec(options: Mapping[str, Any], *, offline: bool = False) -> TrainSpec:
    """What the flags describe.

    offline: nothing is read for it, so of a subset whose method and fraction are not given they are only stand-ins.
    """
    own = {each.name: options.get(each.name) for each in fields(TrainSpec)}
    if offline and own["subset_file"]:
        own |= {"method": own["method"] or "subset", "fraction": 1 if own["fraction"] is None else own["fraction"]}
    own = _with_recipe(own)
    with usage_errors_of(TrainSpec):
        return datacomp_recipe(**own)


def _with_recipe(options: dict[str, Any]) -> dict[str, Any]:
    """Fill method and fraction from the subset's recipe where the user left them out, and the base width."""
    if options["min_width_mult"] is None:
        options["min_width_mult"] = options["width_mult"]
    subset_file = options["subset_file"]
    if subset_file and (options["method"] is None or options["fraction"] is None):
        from datascaler.data.subset.subset import read_recipe

        recipe = read_recipe(subset_file) or {}
        options["method"] = options["method"] or recipe.get("method", "subset")
        if options["fraction"] is None and "fraction" in recipe:
            options["fraction"] = FRACTION(recipe["fraction"])
    return options

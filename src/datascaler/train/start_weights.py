"""What a new run starts from where that is not a draw: pretrained weights, or the end of another run."""

import torch
from torch import nn

from datascaler import storage
from datascaler.data.runs.run_folder import finished
from datascaler.errors import ConfigError
from datascaler.models.attention import ScaledAttention
from datascaler.models.build import BuiltClip
from datascaler.models.load import load_clip
from datascaler.models.run_weights import newest_checkpoint
from datascaler.spec.train import TrainSpec

_MAY_BE_NEW = "logit_bias"
"""SigLIP has it and weights of a CLIP don't: it stays as it was drawn."""
_OF_THE_ORDER = ("batch_size", "seed")


def take_weights(clip: BuiltClip, pretrained: str) -> None:
    """Give a freshly built model the weights that `pretrained` names: a tag of its architecture, a file, or a run.

    Raises ConfigError where they are of another model, by a tensor's shape or by what no tensor tells.
    """
    loaded = load_clip(clip.arch, pretrained, torch.device("cpu"))
    if loaded.config != clip.arch:
        raise ConfigError(f"{pretrained} is for {loaded.config}: give that as --model-arch")
    wanted, given = clip.model.state_dict(), loaded.model.state_dict()
    for name in [*wanted, *(given.keys() - wanted.keys())]:
        there, here = (tuple(each[name].shape) if name in each else "missing" for each in (given, wanted))
        if there != here and not (name == _MAY_BE_NEW and there == "missing"):
            raise ConfigError(f"{pretrained} does not fit this run: {name} is {there} there and {here} here")
    if _attention_scales(loaded.model) != _attention_scales(clip.model):
        raise ConfigError(
            f"{pretrained} has another attention: muP's at another base width, or none; the same weights would be "
            "another model. Start from a run with the same --min-width-mult"
        )
    clip.model.load_state_dict({**wanted, **given})


def end_of_run(spec: TrainSpec, inputs: dict[str, object]) -> str:
    """The checkpoint at which the run `spec.extend` ended, from where this one goes on, under its own schedule.

    Raises ConfigError where its place in the data would be another one here: `inputs` are this run's, as in run.json.
    """
    run = str(spec.extend)
    summary, checkpoint = finished(run), newest_checkpoint(run)
    if summary is None or checkpoint is None:
        raise ConfigError(f"{run} is not a run that is complete: only one that is can be extended")
    record = storage.read_record(storage.join(run, "run.json"))
    there = {name: record["spec"].get(name) for name in _OF_THE_ORDER} | record["inputs"]
    here = {name: getattr(spec, name) for name in _OF_THE_ORDER} | inputs
    for name, value in here.items():
        if there.get(name) != value:
            raise ConfigError(f"{run} can't be extended by this run: {name} was {there.get(name)!r} and is {value!r}")
    if summary.samples_seen >= spec.steps * spec.batch_size:
        raise ConfigError(
            f"{run} has seen {summary.samples_seen:,} samples: give more than those as --train-num-samples"
        )
    return checkpoint


def _attention_scales(model: nn.Module) -> list[float]:
    """The factor on q.k in every block."""
    modules = [each for each in model.modules() if isinstance(each, ScaledAttention | nn.MultiheadAttention)]
    return [round(each.scale if isinstance(each, ScaledAttention) else each.head_dim**-0.5, 9) for each in modules]

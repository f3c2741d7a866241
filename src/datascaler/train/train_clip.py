"""Training, from top to bottom: data, model, optimizer, resume, batches, loop."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta

from datascaler import storage
from datascaler.data.runs.run_folder import RunSummary, no_datacomp_info, outcome, record_divergence, run_url, start_run
from datascaler.errors import BadInputError, DivergedError, GivenUpError, StoppedError
from datascaler.models.build import BuiltClip, check_clip
from datascaler.models.compute_threads import compute_threads
from datascaler.models.optimizer import build_optimizer
from datascaler.models.roles import table_to_json
from datascaler.models.run_weights import fresh_model, newest_checkpoint, run_of_checkpoint
from datascaler.spec.train import TrainSpec
from datascaler.stop import deferred, stopped
from datascaler.train.checkpoint import Checkpoints, Progress
from datascaler.train.distributed import World, joined_world, on_main, wait_to_leave
from datascaler.train.evaluated_beside import evaluated_beside
from datascaler.train.lease import Lease
from datascaler.train.loading.batches import BatchSource, iterate_batches
from datascaler.train.loading.loader_processes import awaited
from datascaler.train.loading.substitutions import JUDGED_DRAWS, JUDGED_DRAWS_UNMIXED, Replaced
from datascaler.train.open_data import RunData, opened_data
from datascaler.train.read_launch import STARTED_BY
from datascaler.train.recorder import Recorder, copy_metrics
from datascaler.train.schedule import learning_rate
from datascaler.train.start_weights import end_of_run, take_weights
from datascaler.train.step import StartedStep, TrainStep
from datascaler.train.step_time import seconds_per_step


def train_clip(spec: TrainSpec, command: str = "", say: Callable[[str], None] = lambda _: None) -> RunSummary | None:
    """Train, or go on with, the run that `spec` describes. A finished run is only looked up.

    A spec with `branch_at` is a run for each of its budgets, one after another; the longest one's summary is returned.
    Under torchrun every process calls this; the summary is returned on rank 0, and `say` gets lines for people there.
    While it runs, SIGTERM and Ctrl-C make it save a checkpoint and raise StoppedError; the same call goes on.

    Args:
        spec: what to train, on which pool and subset; `datacomp_recipe` makes one of a scale of DataComp's.
        command: what `run.json` records as the command line.
        say: gets lines for people.

    Returns the summary: `run` (URL of its folder), `checkpoint`, `samples_seen`, `train_loss` (nats), `seconds`, ...

    Raises ConfigError for a spec that disagrees with the run's folder, and for a pool, subset or plan that can't be
    used; BadInputError where too many samples can't be read; DivergedError where the loss is not finite.

    Example:
        >>> spec = datacomp_recipe(
        ...     "small", data_dir="pool", output_dir="runs", model_arch="ViT-Micro-12-48",
        ...     batch_size=12, train_num_samples=24, num_workers=0,
        ... )
        >>> summary = train_clip(spec)
        >>> summary.steps, summary.samples_seen
        (2, 24)
        >>> load_clip(pretrained=summary.run).arch
        'ViT-Micro-12-48'
    """
    with joined_world() as world:
        budgets = spec.budgets
        summary = None
        for number, budget in enumerate(budgets):
            if world.is_main and len(budgets) > 1:
                say(f"budget    {budget.train_num_samples:,} samples, {number + 1} of {len(budgets)}")
            summary = _train_budget(budget, budgets[:number], world, command, say)
        return summary


def _train_budget(
    spec: TrainSpec, shorter: Sequence[TrainSpec], world: World, command: str, say: Callable[[str], None]
) -> RunSummary | None:
    """Train one run; its trunk may be taken from one of the shorter ones, which are complete."""
    with ExitStack() as stack:
        url = run_url(spec)

        # ---- data ----------------------------------------------------------------------------------------------
        check_clip(spec.model_arch, spec.width_mult, spec.min_width_mult, use_mup=spec.use_mup)
        data = stack.enter_context(opened_data(spec, world, say))
        # Rank 0 alone looks, here and for the checkpoint: what all do must not hang on what each finds a moment later.
        lease = Lease(url, say)
        stack.callback(lease.release)
        done = on_main(lambda: _begin(spec, data.inputs, command, lease), world)
        if world.is_main:
            say(data.coverage)
        if done:
            return done if world.is_main else None

        if world.is_main:
            stack.enter_context(evaluated_beside(spec, url, say))

        # ---- model, optimizer ----------------------------------------------------------------------------------
        clip = fresh_model(spec)
        clip.model.to(world.device)
        stack.enter_context(compute_threads(clip.config, spec.num_workers, world.device))
        betas = (spec.beta1, spec.beta2)
        optimizer = build_optimizer(
            clip.model, clip.table, lr=spec.lr, weight_decay=spec.applied_weight_decay, betas=betas, eps=spec.eps
        )
        step = TrainStep(spec, clip, optimizer, world)

        # ---- resume --------------------------------------------------------------------------------------------
        checkpoints = Checkpoints(url, spec, clip, optimizer)
        found = on_main(lambda: checkpoints.find(say), world)
        if found is None and shorter:
            found = on_main(lambda: checkpoints.find_trunk(shorter, say), world)
            if found and world.is_main:
                copy_metrics(run_of_checkpoint(found), url)
        if found is None and spec.init_from:
            take_weights(clip, spec.init_from)
        if found is None and spec.extend:
            found = on_main(lambda: end_of_run(spec, data.inputs), world)
        at = checkpoints.restore(found)
        first_step = at.samples_seen // spec.batch_size
        replaced = _replaced(spec, data)
        if too_many := replaced.excess(at.substituted, at.samples_seen, warns=world.is_main):
            raise BadInputError(too_many)
        if world.is_main:
            storage.publish_text(storage.join(url, "mup.json"), table_to_json(clip.table))

        # ---- batches -------------------------------------------------------------------------------------------
        batches = iterate_batches(_source(spec, clip, data, world, at), spec.num_workers)
        stack.enter_context(closing(batches))
        seconds = seconds_per_step(step, clip, spec, world) * (spec.steps - first_step)
        if world.is_main:
            for line in _outlook(spec, data, clip, world, at, seconds):
                say(line)

        # ---- loop ----------------------------------------------------------------------------------------------
        stack.enter_context(deferred())
        recorder = None
        if world.is_main:
            recorder = Recorder(spec, checkpoints, lease, at, data.samples, say, processes=world.size)
            stack.callback(recorder.close)
        before: StartedStep | None = None
        limits = spec.limits_by_step
        asked = time.monotonic()
        for number, batch in enumerate(awaited(batches), start=first_step + 1):
            if batch is None:
                if recorder and before:
                    _settle(step, before, spec, world)
                    recorder.leave(before)
                raise _stopped_at(at)
            waited = time.monotonic() - asked
            lr = learning_rate(spec, at.samples_seen)
            is_last = number == spec.steps
            started = step(batch, number, lr, measured=is_last or number % spec.log_every_steps == 0)
            at.samples_seen += spec.batch_size
            at.substituted += started.substituted
            replaced.note(batch.faults)
            too_many = replaced.excess(at.substituted, at.samples_seen, warns=world.is_main)
            leaving = started.stop or bool(too_many)
            # The device has this step to do while the host looks at the one before; all ranks do so at the same moment.
            if before:
                _settle(step, before, spec, world)
            if leaving or is_last:
                _settle(step, started, spec, world)
            before = started
            if recorder:
                recorder.after_step(started, waited, save_now=leaving)
            if number in limits and not is_last:
                _heed_limit(limits[number], step, started, recorder, spec, world)
            if too_many:
                wait_to_leave(world)
                raise BadInputError(too_many)
            if started.stop:
                wait_to_leave(world)
                raise _stopped_at(at)
            asked = time.monotonic()
        return recorder.finish() if recorder else None


def _begin(spec: TrainSpec, inputs: dict[str, object], command: str, lease: Lease) -> RunSummary | None:
    if spec.extend and newest_checkpoint(run_url(spec)) is None:
        end_of_run(spec, inputs)  # refused before the folder says that this is the run
    start_run(spec, inputs, command, os.environ.get(STARTED_BY, "a program that uses the library"))
    if done := outcome(spec, is_same_data=True):
        return done
    lease.take()
    # It may have been waited for, until the run was complete.
    return outcome(spec, is_same_data=True)


def _stopped_at(at: Progress) -> StoppedError:
    return stopped(f"stopped on request at {at.samples_seen:,} samples; the same command goes on")


def _settle(step: TrainStep, started: StartedStep, spec: TrainSpec, world: World) -> None:
    try:
        step.settle(started)
    except DivergedError as error:
        if world.is_main:
            record_divergence(spec, started.number, str(error))
        wait_to_leave(world)
        raise


def _heed_limit(
    limit: float, step: TrainStep, started: StartedStep, recorder: Recorder | None, spec: TrainSpec, world: World
) -> None:
    """Raise GivenUpError, on all ranks, where the loss up to this step is above its limit."""
    _settle(step, started, spec, world)
    loss = on_main(lambda: recorder.loss_so_far() if recorder else 0.0, world)
    if loss <= limit:
        return
    samples = started.number * spec.batch_size
    message = f"given up: the loss after {samples:,} samples, {loss:.4g}, is above its limit, {limit:.4g}"
    if world.is_main:
        record_divergence(spec, started.number, message, given_up=True)
    wait_to_leave(world)
    raise GivenUpError(message)


def _source(spec: TrainSpec, clip: BuiltClip, data: RunData, world: World, at: Progress) -> BatchSource:
    return BatchSource(
        samples=data.source,
        arch=spec.model_arch,
        image_side=clip.config["vision_cfg"]["image_size"],
        decode=spec.decode,
        storage_client=spec.storage_client,
        seed=spec.seed,
        batch_size=spec.batch_size,
        first_draw=at.samples_seen,
        steps=spec.steps - at.samples_seen // spec.batch_size,
        rank=world.rank,
        world=world.size,
    )


def _replaced(spec: TrainSpec, data: RunData) -> Replaced:
    judged = JUDGED_DRAWS if data.samples else JUDGED_DRAWS_UNMIXED
    judged = min(judged, data.samples or judged, spec.steps * spec.batch_size)
    return Replaced(spec.max_substituted, judged)


def _outlook(
    spec: TrainSpec, data: RunData, clip: BuiltClip, world: World, at: Progress, seconds: float
) -> Iterator[str]:
    """What people want to know before they commit hours."""
    parameters = sum(parameter.numel() for parameter in clip.model.parameters())
    yield f"model     {spec.model_arch} x {spec.width_mult}, {parameters / 1e6:.2f}M parameters, {_kind(spec)}"
    if data.samples:
        yield f"data      {data.samples:,} samples, seen {spec.train_num_samples / data.samples:.2f} times"
    else:
        yield "data      the whole pool as a stream, in every process, for lack of a plan"
        if data.passes > 1:
            yield f"          an epoch reads it {data.passes} times, so that copies of a sample are drawn apart"
    if spec.tau:
        yield f"tau       AdamW remembers {spec.tau:.3g} of the run, by weight decay {spec.applied_weight_decay:.3g}"
    yield f"steps     {spec.steps:,} of {spec.batch_size:,} samples on {world.size} process(es), {world.device.type}"
    if data.samples and data.samples < spec.batch_size:
        yield (
            f"warning   a batch of {spec.batch_size:,} is more than the {data.samples:,} samples: pairs meet copies of "
            "themselves in it, as negatives"
        )
    if spec.warmup_steps >= (spec.trunk_steps or spec.steps):
        yield (
            f"warning   the run has {spec.steps:,} steps and its warm-up {spec.warmup_steps:,}: the learning rate "
            f"still rises when it {'cools down' if spec.trunk_steps else 'ends'} (--warmup)"
        )
    if at.samples_seen:
        yield f"resuming  at {at.samples_seen:,} samples"
        if spec.no_plan:
            yield "          what was read of the pool up to there is read again, and not decoded"
    reason = no_datacomp_info(spec)
    if reason:
        yield f"info.pkl  none for DataComp's evaluate.py ({reason}); `datascaler export` makes a folder with one"
    yield f"estimate  {timedelta(seconds=round(seconds))} of computing, from one timed step"


def _kind(spec: TrainSpec) -> str:
    return f"muP from base width {spec.min_width_mult}" if spec.use_mup else "standard parametrisation"

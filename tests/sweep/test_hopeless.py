"""Points that are given up on the way, seeds and other axes of a grid, and the transfer of what was found."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.runs.run_folder import RunSummary, finish_run, finished, record_divergence, run_url, start_run
from datascaler.data.runs.sweep_results import collect_sweep
from datascaler.data.runs.transfer_spec import transfer_spec
from datascaler.errors import ConfigError, GivenUpError, PartlyFailedError
from datascaler.spec.sweep import SweepSpec, grid, point_arguments
from datascaler.spec.train import TrainSpec
from datascaler.sweep import sweep_runs as sweep_module
from datascaler.sweep.hopeless import from_the_middle, with_limits
from datascaler.sweep.sweep_runs import sweep_runs, train_transfer
from datascaler.train.train_clip import train_clip
from tests.train.runs import BATCH, metrics_of, tiny_spec

LRS = (1e-4, 2e-4, 4e-4, 8e-4, 16e-4)
STEPS = 8


def complete(spec: TrainSpec, loss: float, losses: Sequence[float] = ()) -> None:
    """Files of a run that has ended with that loss; `losses` are those of its steps."""
    rows = [{"samples_seen": number * BATCH, "loss": each} for number, each in enumerate(losses, start=1)]
    storage.publish_text(storage.join(run_url(spec), "metrics.jsonl"), "".join(json.dumps(row) + "\n" for row in rows))
    start_run(spec, {}, "")
    summary: dict[str, Any] = {"run": run_url(spec), "checkpoint": "c.pt", "steps": spec.steps, "substituted": 0}
    finish_run(spec, RunSummary(**summary, samples_seen=spec.train_num_samples, train_loss=loss, seconds=1.0))


def swept(folder: Path, losses: Mapping[float, float], data_dir: str = "pool", **changes: Any) -> SweepSpec:
    """A sweep whose points have ended so."""
    base = tiny_spec(data_dir, str(folder), use_mup=True, **changes)
    spec = SweepSpec(base=base, lrs=tuple(losses), transfer=Fraction(1, 2))
    for point in spec.points:
        complete(point, losses[point.lr])
    return spec


# ---- hopeless points -------------------------------------------------------------------------------------------


def test_points_are_trained_from_the_middle_outwards_line_by_line() -> None:
    points = grid(tiny_spec("pool", "out"), lrs=LRS[::-1], weight_decays=[0.1, 0.2])
    ordered = from_the_middle(points)
    middle_out = [4e-4, 2e-4, 8e-4, 1e-4, 16e-4]
    assert [(point.weight_decay, point.lr) for point in ordered] == [(wd, lr) for wd in (0.1, 0.2) for lr in middle_out]


def test_the_limits_of_a_point_are_the_best_losses_at_the_same_samples(tmp_path: Path) -> None:
    points = grid(tiny_spec("pool", str(tmp_path)), lrs=LRS, weight_decays=[0.2, 0.3])
    first, second, third, fourth, fifth = (point for point in points if point.weight_decay == 0.2)
    assert with_limits(first, points, 0.25) == first
    # At half, step 4, the one is lower; at three quarters, step 6, the other.
    complete(third, 1.0, [9, 9, 9, 4, 3, 2, 1, 1])
    complete(second, 1.5, [9, 9, 9, 3, 3, 2.5, 2, 1.5])
    limited = with_limits(first, points, 0.25)
    assert limited == replace(first, loss_limits=(f"{4 * BATCH}:3.75", f"{6 * BATCH}:2.5"))
    assert with_limits(fourth, points, 0.25) == fourth, "it is next to the best"
    assert with_limits(fifth, points, 0.25).limits_by_step == {4: 3.75, 6: 2.5}
    others = [point for point in points if point.weight_decay == 0.3]
    assert [with_limits(point, points, 0.25) for point in others] == others, "they have no rivals of their own yet"


def test_a_run_above_its_limit_is_given_up_and_stays_so(pool: str, tmp_path: Path) -> None:
    spec = tiny_spec(pool, str(tmp_path), loss_limits=(f"{3 * BATCH}:99", f"{5 * BATCH}:0.5"))
    with pytest.raises(
        GivenUpError, match=rf"given up: the loss after {5 * BATCH} samples, .*, is above its limit, 0\.5"
    ):
        train_clip(spec)
    assert finished(run_url(spec)) is None
    with pytest.raises(GivenUpError, match=r"step 5: given up: .* \(remove .*diverged\.json to try again\)"):
        train_clip(replace(spec, loss_limits=()))
    storage.remove(storage.join(run_url(spec), "diverged.json"))
    assert train_clip(replace(spec, loss_limits=()))
    assert [row["step"] for row in metrics_of(run_url(spec))] == list(range(1, STEPS + 1))


def test_a_sweep_gives_up_what_is_hopeless_and_decides_the_same_again(
    pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two points are complete, with losses that the third one can't reach; it is not next to the best of them."""
    points = grid(tiny_spec(pool, str(tmp_path), num_checkpoints=1), lrs=[1e-3, 2e-3, 4e-3])
    for point, loss in zip(points, (0.1, 0.2), strict=False):
        complete(point, loss, [loss] * STEPS)

    def trained(spec: TrainSpec, command: str, say: Callable[[str], None]) -> object:
        return train_clip(spec, command, say) if spec.lr == 4e-3 else None

    monkeypatch.setattr(sweep_module, "train_clip", trained)
    said: list[str] = []
    result = sweep_runs(points, say=said.append, stop_above=0.2)
    assert [line.split(", ")[0].rpartition("lr ")[2] for line in said if line.startswith("---")] == [
        *("0.002", "0.001", "0.004"),
    ]
    assert [(point.lr, point.ended) for point in result.points] == [(1e-3, ""), (2e-3, ""), (4e-3, "given up")]
    (hopeless,) = (line for line in said if line.startswith("this point is hopeless"))
    assert f"the loss after {4 * BATCH} samples" in hopeless
    assert hopeless.endswith("is above its limit, 0.12")
    assert result.unfinished == 0
    assert sweep_runs(points, stop_above=0.2).points[:2] == result.points[:2]


def test_the_grid_does_not_end_before_what_was_given_up(tmp_path: Path) -> None:
    points = grid(tiny_spec("pool", str(tmp_path)), lrs=LRS[:3])
    complete(points[0], 3.0)
    complete(points[1], 2.0)
    start_run(points[2], {}, "")
    record_divergence(points[2], 4, "given up", given_up=True)
    assert collect_sweep(points).doubts == []
    record_divergence(points[2], 4, "the loss is nan")
    (doubt,) = collect_sweep(points).doubts
    assert "is the highest of the grid" in doubt


# ---- other axes ------------------------------------------------------------------------------------------------


def test_every_axis_is_in_the_folder_and_in_the_arguments_of_a_point() -> None:
    base = tiny_spec("pool", "out", tag="x")
    spec = SweepSpec(base=base, lrs=(1e-3,), batch_sizes=(6, 12), init_temperatures=(0.05, 0.0), seeds=(0, 1, 2))
    points = spec.points
    assert len({point.folder for point in points}) == 12
    assert points[0].folder.endswith("/lr0.001-wd0.2-wu2-n96-s0-t0.05-x-b6")
    assert (points[-1].batch_size, points[-1].init_temperature, points[-1].seed) == (12, 0.0, 2)
    words = " ".join(point_arguments(points[0], spec.varied))
    assert (
        words == "--batch-size 6 --lr 0.001 --weight-decay 0.2 --warmup 2 --init-temperature 0.05 --seed 0 --tag x-b6"
    )
    # Without these axes nothing of them is said, and the folder is that of `datascaler train`.
    plain = SweepSpec(base=base, lrs=(1e-3,))
    assert "batch" not in " ".join(point_arguments(plain.points[0], plain.varied))
    assert plain.points[0] == base


def test_settings_are_ranked_by_the_mean_over_their_seeds(tmp_path: Path) -> None:
    """The lowest single loss is not the best setting's."""
    losses = {1e-3: (2.0, 2.2), 2e-3: (1.5, 3.0), 4e-3: (2.5, 2.5), 8e-3: (1.0, None)}
    spec = SweepSpec(base=tiny_spec("pool", str(tmp_path)), lrs=tuple(losses), seeds=(0, 1))
    for point in spec.points:
        loss = losses[point.lr][point.seed]
        if loss is None:
            start_run(point, {}, "")
            record_divergence(point, 1, "the loss is nan")
        else:
            complete(point, loss)
    result = collect_sweep(spec.points)
    assert [(point.lr, point.seed) for point in result.points[:2]] == [(1e-3, 0), (1e-3, 1)]
    assert [(each.setting.lr, round(each.mean, 6), each.done, each.of) for each in result.settings] == [
        *((1e-3, 2.1, 2, 2), (2e-3, 2.25, 2, 2), (4e-3, 2.5, 2, 2)),
    ]
    assert result.settings[0].deviation == pytest.approx(0.02**0.5)
    # A setting of which a seed diverged is none to go on with, however low the other one's loss is.
    assert [point.lr for point in result.points[-2:]] == [8e-3, 8e-3]


def test_a_temperature_to_start_from(pool: str, tmp_path: Path) -> None:
    spec = tiny_spec(pool, str(tmp_path), init_temperature=0.2, train_num_samples=BATCH, lr=1e-9)
    train_clip(spec)
    (row,) = metrics_of(run_url(spec))
    assert row["logit_scale"] == pytest.approx(5.0, rel=1e-6)
    for wrong in (0.001, 1.5, -1.0):
        with pytest.raises(ConfigError, match="init_temperature must"):
            replace(spec, init_temperature=wrong)


# ---- optimum and transfer --------------------------------------------------------------------------------------


def test_the_optimum_is_found_between_the_points_and_recorded(tmp_path: Path) -> None:
    spec = swept(
        tmp_path, {lr: 2 + 0.1 * place**2 for lr, place in zip(LRS, (-2.5, -1.5, -0.5, 0.5, 1.5), strict=True)}
    )
    result = collect_sweep(spec.points)
    assert result.optimum is not None
    assert result.optimum.lr == pytest.approx(4e-4 * 2**0.5)
    assert result.optimum.loss == pytest.approx(2.0)
    assert storage.read_json(result.results)["optimum"]["lr"] == result.optimum.lr
    wide = transfer_spec(spec, result)
    assert (wide.lr, wide.width_mult, wide.min_width_mult) == (5.66e-4, Fraction(1, 2), Fraction(1, 4))
    assert replace(wide, lr=4e-4, width_mult=Fraction(1, 4)) == spec.points[2]


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        ({1e-4: 1.0, 2e-4: 2.0, 4e-4: 3.0}, "is the lowest of the grid"),
        ({1e-4: 2.485, 2e-4: 2.484, 4e-4: 2.486}, "as by chance"),
    ],
)
def test_what_is_in_doubt_is_not_transferred(losses: dict[float, float], reason: str, tmp_path: Path) -> None:
    spec = swept(tmp_path, losses)
    with pytest.raises(PartlyFailedError, match=f"nothing is trained at width 0.5: .*{reason}"):
        transfer_spec(spec, collect_sweep(spec.points))


@pytest.mark.parametrize("losses", [{1e-4: 2.0, 2e-4: 1.0, 4e-4: 3.0}, {1e-4: 1.0, 2e-4: 2.0, 4e-4: 3.0}])
def test_json_names_the_run_that_follows(losses: dict[float, float], tmp_path: Path) -> None:
    spec = swept(tmp_path, losses)
    words = ["sweep", *spec.base.arguments(leave_out=["warmup_steps"]), "--warmups", str(spec.base.warmup_steps)]
    words += ["--lrs", ",".join(map(str, losses)), "--transfer", "0.5", "--collect", "--json"]
    shown = json.loads(CliRunner().invoke(cli, words).stdout)["transfer"]
    if min(losses, key=losses.__getitem__) == min(losses):
        assert shown is None, "the best rate is the lowest of the grid: there may be a better one below"
    else:
        wide = transfer_spec(spec, collect_sweep(spec.points))
        assert shown == {"run": run_url(wide), "width_mult": "0.5", "lr": wide.lr}


def test_a_grid_that_is_not_complete_is_not_transferred(tmp_path: Path) -> None:
    spec = swept(tmp_path, {1e-4: 2.0, 2e-4: 1.0, 4e-4: 3.0})
    wider = replace(spec, lrs=(*spec.lrs, 8e-4))
    with pytest.raises(PartlyFailedError, match="1 of 4 points are neither complete nor diverged"):
        transfer_spec(wider, collect_sweep(wider.points))


def test_without_mup_there_is_no_transfer() -> None:
    with pytest.raises(ConfigError, match="transfer needs use_mup"):
        SweepSpec(base=tiny_spec("pool", "out"), transfer=Fraction(1))


def test_the_optimum_is_trained_at_the_wider_width(pool: str, tmp_path: Path) -> None:
    spec = swept(tmp_path, {1e-4: 2.0, 2e-4: 1.0, 4e-4: 3.0}, data_dir=pool, train_num_samples=BATCH)
    said: list[str] = []
    run = train_transfer(spec, collect_sweep(spec.points), say=said.append)
    assert said[0].startswith("--- transfer to width 0.5: lr 0.00017")
    assert "-w0.5-b0.25-mup/" in run
    assert finished(run)

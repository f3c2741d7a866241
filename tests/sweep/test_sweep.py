"""Grids: ranking, resuming, points that diverge, several nodes."""

import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.runs.run_folder import finished, run_url, start_run
from datascaler.data.runs.sweep_results import SweepPoint, SweepResult, collect_sweep, sweep_results_url
from datascaler.errors import BadInputError, ConfigError, DatascalerError, StorageError
from datascaler.spec.sweep import AXES, grid
from datascaler.spec.train import TrainSpec
from datascaler.sweep import sweep_runs as sweep_module
from datascaler.sweep.sweep_runs import sweep_runs
from datascaler.train.train_clip import train_clip
from tests.train.runs import BATCH, metrics_of, start_cli, tiny_spec
from tests.train.test_processes import free_port


def base_spec(pool: str, output_dir: Path) -> TrainSpec:
    return tiny_spec(pool, str(output_dir), train_num_samples=4 * BATCH, num_checkpoints=1, warmup_steps=0)


def test_the_grid() -> None:
    base = tiny_spec("pool", "out")
    assert [point.lr for point in grid(base)] == [2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3]
    points = grid(base, lrs=[1e-3, 2e-3], weight_decays=[0.1, 0.2], warmups=[2, 5])
    assert len({point.folder for point in points}) == 8
    assert points[0] == replace(base, lr=1e-3, weight_decay=0.1, warmup_steps=2)
    assert points[-1] == replace(base, lr=2e-3, weight_decay=0.2, warmup_steps=5)
    with pytest.raises(ConfigError, match="the same point twice"):
        grid(base, lrs=[1e-3, 1.0000001e-3])


def result_of(losses: dict[float, float | None], batch_size: int = 64) -> SweepResult:
    points = [SweepPoint(lr, 0.2, 1, f"run-{lr}", loss) for lr, loss in losses.items()]
    points.sort(key=lambda point: math.inf if point.train_loss is None else point.train_loss)
    return SweepResult(points, "sweep.json", 0, batch_size)


def test_a_best_point_that_is_none_to_go_on_with_is_doubted() -> None:
    assert result_of({1e-4: 3.0, 2e-4: 2.0, 4e-4: 2.5}).doubts == []
    assert result_of({1e-4: 2.0}).doubts == []
    doubtful: list[tuple[dict[float, float | None], str]] = [
        (
            {1e-4: 1.0, 2e-4: 2.0, 4e-4: 2.5},
            "0.0001, is the lowest of the grid: a better one may",
        ),
        # A point that diverged is no end.
        (
            {1e-4: 3.0, 2e-4: 2.0, 4e-4: None},
            "0.0002, is the highest of the grid: a better one may",
        ),
        ({1e-4: 4.15, 2e-4: 4.16, 4e-4: 4.19}, "each of the 3 points is about ln(batch size) = 4.16, as by chance"),
    ]
    for losses, what in doubtful:
        (doubt,) = result_of(losses).doubts
        assert what in doubt


def test_sweeps_of_one_architecture_do_not_overwrite_each_other() -> None:
    base = tiny_spec("pool", "out")
    sweeps = [
        grid(base),
        grid(base, lrs=[1e-3, 2e-3]),
        grid(base, warmups=[1, 2]),
        grid(replace(base, train_num_samples=2 * base.train_num_samples)),
        grid(replace(base, seed=1)),
    ]
    urls = [sweep_results_url(points) for points in sweeps]
    assert len(set(urls)) == len(sweeps)
    assert {storage.parent(url) for url in urls} == {storage.parent(run_url(base))}
    assert sweep_results_url(sweeps[0][::-1]) == urls[0]
    assert storage.basename(urls[3]).startswith(f"sweep-n{2 * base.train_num_samples}-s0-")


def test_ranks_records_what_diverged_and_skips_what_is_done(
    pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = base_spec(pool, tmp_path)
    points = grid(base, lrs=[1e-5, 1e30, 1e-2])
    said: list[str] = []
    result = sweep_runs(points, say=said.append)

    losses = {spec.lr: finished(run_url(spec)) for spec in points}
    assert losses[1e30] is None
    ranked = [point.lr for point in result.points]
    assert set(ranked) == {1e-5, 1e-2, 1e30}
    assert ranked[-1] == 1e30
    first, second, last = result.points
    assert first.train_loss is not None
    assert second.train_loss is not None
    assert first.train_loss < second.train_loss
    assert result.best == first
    assert last.train_loss is None
    assert "the loss is nan" in last.failure
    assert any(line.startswith("this point diverged: the loss is nan") for line in said)
    assert "--- point 2 of 3: lr 1e+30, weight decay 0.2" in said

    # One table beside the points, in the order of the ranking.
    assert storage.parent(result.results) == storage.parent(run_url(base))
    table = storage.read_json(result.results)["points"]
    assert [row["lr"] for row in table] == ranked
    assert table[0] == {
        "lr": first.lr,
        "weight_decay": 0.2,
        "warmup_steps": 0,
        "run": first.run,
        "train_loss": first.train_loss,
        "failure": "",
        "batch_size": BATCH,
        "init_temperature": 0.0,
        "seed": 0,
        "ended": "",
    }

    trained: list[float] = []

    def counted(spec: TrainSpec, command: str, say: Callable[[str], None]) -> object:
        before = finished(run_url(spec))
        summary = train_clip(spec, command, say)
        if before is None:
            trained.append(spec.lr)
        return summary

    monkeypatch.setattr(sweep_module, "train_clip", counted)
    said.clear()
    again = sweep_runs([*points, replace(base, lr=3e-3)], say=said.append)
    assert len(again.points) == 4
    assert again.points == sorted(again.points, key=lambda point: point.train_loss or 99.0)
    assert trained == [3e-3]
    # The one that diverged is not trained again; its folder says why, and what to do about it.
    record = storage.join(run_url(points[1]), "diverged.json")
    assert f"this point diverged: {last.failure}" in said
    assert last.failure.endswith(f"(remove {record} to try again)")
    # A sweep of other points has a file of its own, in whatever order they are named.
    assert again.results != result.results
    assert [row["lr"] for row in storage.read_json(result.results)["points"]] == ranked
    # Nothing but the ranking: what a launcher does with runs of its own.
    assert collect_sweep(points).points == result.points
    assert storage.read_json(result.results)["points"][0] == asdict(result.best)


def test_when_every_point_fails_the_sweep_fails(pool: str, tmp_path: Path) -> None:
    points = grid(base_spec(pool, tmp_path), lrs=[1e30])
    with pytest.raises(DatascalerError, match="no point of the sweep is complete; the first: not complete"):
        collect_sweep(points)
    for _ in range(2):
        with pytest.raises(
            DatascalerError, match=r"no point of the sweep is complete; the first: step \d: the loss is nan"
        ):
            sweep_runs(points)
    record = storage.read_json(sweep_results_url(points))["points"][0]
    assert (record["train_loss"], record["lr"]) == (None, 1e30)
    assert "the loss is nan" in record["failure"]


def test_points_whose_folder_or_data_cannot_be_used_cost_no_other_point(
    pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = grid(base_spec(pool, tmp_path), lrs=[1e-3, 2e-3, 3e-3, 4e-3, 1e30])
    storage.publish_bytes(f"{run_url(points[0])}/summary.json", b'{"run"')
    other = replace(points[1], train_num_samples=2 * BATCH)
    start_run(other, {}, "")
    shutil.move(run_url(other), run_url(points[1]))

    def trained(spec: TrainSpec, command: str, say: Callable[[str], None]) -> object:
        if spec.lr == 3e-3:
            raise BadInputError("too many samples are lost")
        return train_clip(spec, command, say)

    monkeypatch.setattr(sweep_module, "train_clip", trained)
    said: list[str] = []
    result = sweep_runs(points, say=said.append)
    assert result.best.lr == 4e-3
    assert result.unfinished == 3
    failures = {point.lr: point.failure for point in result.points}
    assert "summary.json: not valid JSON" in failures[1e-3]
    assert "holds another run: train_num_samples was 24 and is now 48" in failures[2e-3]
    assert failures[3e-3] == "too many samples are lost"
    assert failures[4e-3] == ""
    assert "the loss is nan" in failures[1e30]
    assert [point["failure"] for point in storage.read_json(result.results)["points"]] == [
        point.failure for point in result.points
    ]
    assert sum(line.startswith("this point failed, the others go on: ") for line in said) == 3

    # What is wrong for every point stops, and what is complete is still ranked.
    def no_store(spec: TrainSpec, command: str, say: Callable[[str], None]) -> object:  # noqa: ARG001
        raise StorageError("the store is gone")

    monkeypatch.setattr(sweep_module, "train_clip", no_store)
    with pytest.raises(StorageError, match="the store is gone") as caught:
        sweep_runs(points[3:])
    assert caught.value.finished.best.lr == 4e-3


def test_a_store_that_fails_stops_the_sweep(pool: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    said: list[str] = []
    with pytest.raises(StorageError):
        sweep_runs(grid(base_spec(pool, tmp_path / "out")), say=said.append)
    assert len(said) == 1


def test_a_wrong_input_stops_the_sweep_at_its_first_point(pool: str, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(ConfigError, match="unknown architecture"):
        sweep_runs(grid(replace(base_spec(pool, tmp_path), model_arch="ViT-B-23")), say=said.append)
    assert len(said) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_nodes_finish_a_sweep_together(pool: str, tmp_path: Path) -> None:
    """Each node runs the same command; one point after another meets at the same address."""
    base = base_spec(pool, tmp_path)
    flags = base.arguments(leave_out=AXES)
    common = {"PET_NNODES": "2", "PET_NPROC_PER_NODE": "1"}
    common |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": free_port()}
    nodes = [
        start_cli(
            "sweep", *flags, "--lrs=1e-3,1e30,4e-3", "--warmups=0", "--json", env={**common, "PET_NODE_RANK": str(rank)}
        )
        for rank in range(2)
    ]
    outputs = [node.communicate(timeout=800) for node in nodes]
    for node, (out, err) in zip(nodes, outputs, strict=True):
        assert node.returncode == 0, err
        assert out.startswith('{"best": {"lr":')
    points = grid(base, lrs=[1e-3, 1e30, 4e-3])
    assert [finished(run_url(point)) is None for point in points] == [False, True, False]
    assert all("this point diverged: step 2: the loss is nan" in err for _, err in outputs)
    assert "on 2 process(es), cpu" in outputs[0][1]
    assert [row["step"] for row in metrics_of(run_url(points[2]))] == [1, 2, 3, 4]
    # The ranking is the same wherever it was made.
    assert outputs[0][0] == outputs[1][0]

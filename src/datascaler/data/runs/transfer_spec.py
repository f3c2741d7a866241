"""The run at full width that the optimum of a sweep at a small one leads to."""

from dataclasses import replace

from datascaler.data.runs.run_folder import run_url
from datascaler.data.runs.sweep_results import SweepResult
from datascaler.errors import PartlyFailedError
from datascaler.spec.numbers import format_fraction
from datascaler.spec.sweep import SweepSpec
from datascaler.spec.train import TrainSpec


def transfer_spec(sweep: SweepSpec, result: SweepResult) -> TrainSpec:
    """The run at the width that the sweep transfers to, with the optimum that was found.

    Raises PartlyFailedError, which says why, where there is none to go on with.
    """
    assert sweep.transfer is not None
    doubts = result.doubts
    if result.unfinished:
        doubts = [f"{result.unfinished} of {len(result.points)} points are neither complete nor diverged", *doubts]
    if doubts:
        raise PartlyFailedError(f"nothing is trained at width {format_fraction(sweep.transfer)}: {doubts[0]}")
    best = next(point for point in sweep.points if run_url(point) == result.best.run)
    # Three digits are more than any fit knows, and they name the folder.
    lr = float(f"{result.optimum.lr:.3g}") if result.optimum else best.lr
    return replace(best, width_mult=sweep.transfer, lr=lr, seed=sweep.base.seed, loss_limits=())

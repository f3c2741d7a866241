"""`datascaler train`."""

import shlex
from dataclasses import asdict
from typing import Any

import click

from datascaler.cli.options import json_option
from datascaler.cli.output import begin_work, note, print_result, suggest
from datascaler.cli.train_options import point_options, train_options, train_spec


@click.command()
@train_options
@point_options
@json_option
def train(nproc_per_node: int, as_json: bool, **options: Any) -> None:
    """Train CLIP on a pool restricted to a subset.

    The pool is read where it is. The recipe is DataComp's for the scale; flags replace parts of it. Run the same
    command again to go on after an interruption, also with another number of processes.

    \b
    datascaler train --data-dir s3://pool --output-dir s3://runs --scale small \\
        --subset-file s3://out/subsets/clip-f0.3.npy --use-mup --width-mult 0.1875
    """
    spec = train_spec(options)
    begin_work(spec)

    from datascaler.train.launch_torchrun import needs_torchrun, own_arguments, take_place, train_under_torchrun

    launch = take_place(nproc_per_node)
    if launch.kind == "node" or launch.variables.get("RANK") == "0":
        note(f"this is {launch.summary}")
    if needs_torchrun(launch, nproc_per_node):
        summary = train_under_torchrun(spec, own_arguments(), nproc_per_node)
    else:
        from datascaler.models.freed_memory import keep_freed_memory_on_cpu
        from datascaler.train.train_clip import train_clip

        keep_freed_memory_on_cpu()
        summary = train_clip(spec, shlex.join(["datascaler", *own_arguments()]), note)
    if summary:
        print_result(asdict(summary), as_json=as_json)
        suggest(["eval", "--train-dir", summary.run, "--data-dir", "EVALSETS"], as_json=as_json)

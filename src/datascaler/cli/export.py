"""`datascaler export`."""

from dataclasses import asdict

import click

from datascaler.cli.options import INPUT, OUTPUT, json_option
from datascaler.cli.output import begin_work, note, print_result


@click.command()
@click.argument("run", type=INPUT, metavar="RUN")
@click.option("--output-dir", type=OUTPUT, help="Folder or URL for the model.  [default: RUN/export]")
@json_option
def export(run: str, output_dir: str | None, as_json: bool) -> None:
    """Export a run as an ordinary CLIP, for open_clip and for DataComp's evaluate.py.

    RUN is a run of `datascaler train`, of any width, with muP or without, or one of its checkpoints. The folder is what
    open_clip's `local-dir:` takes; on a local disk it also has the info.pkl and the checkpoint that DataComp's
    evaluate.py reads. What muP does to the attention is folded into the weights.

    \b
    datascaler export runs/small/none-f1.0/ViT-B-32-w0.1875-b0.1875-mup/lr0.0005-wd0.2-wu500-n12800000-s0
    datascaler export s3://bucket/runs/.../checkpoints/step_00003125.pt --output-dir exported
    """
    from datascaler.data.tables.inputs import require_place

    require_place("RUN", run)
    begin_work(None, output_dir)

    from datascaler.train.export_run import export_run

    print_result(asdict(export_run(run, output_dir, note)), as_json=as_json)

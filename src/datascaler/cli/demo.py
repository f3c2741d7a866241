"""`datascaler demo`."""

from dataclasses import asdict

import click

from datascaler.cli.options import OUTPUT, json_option
from datascaler.cli.output import begin_work, note, print_result, print_table


@click.command()
@click.option(
    "--output-dir", type=OUTPUT, default="demo-output", show_default=True, help="Folder or URL for everything it makes."
)
@json_option
def demo(output_dir: str, as_json: bool) -> None:
    """Watch datascaler choose better data, on this machine, in a few minutes.

    Draws a pool of captioned pictures of which 60% are wrong in known ways, trains a small filter, scores the pool,
    keeps the best 40%, trains one model on that and one on a random 40%, evaluates both, and makes a page of it all.

    \b
    datascaler demo --output-dir demo-output
    """
    begin_work(None, output_dir)

    from datascaler import storage
    from datascaler.demo.make_data import Recipe
    from datascaler.demo.make_demo import run_demo

    result = asdict(run_demo(output_dir, Recipe(), note))
    summary = storage.join(output_dir, "summary.json")
    storage.publish_json(summary, result)
    if as_json:
        print_result(result, as_json=True)
        return
    arms = (("best 40% by the filter", "subset"), ("random 40%", "random"))
    print_table(
        [
            {
                "trained on": name,
                "accuracy": result[f"accuracy_{arm}"],
                "by seed": result[f"accuracies_{arm}"],
                "samples seen": result["samples_seen"],
            }
            for name, arm in arms
        ],
        best=0,
    )
    click.echo()
    quality = {name: result[name] for name in ("filter_auc", "filter_precision", "bad_samples", "chance", "seconds")}
    made = {"summary": summary, "pictures": result["pictures"], "report": result["report"]}
    print_result(quality | made, as_json=False)

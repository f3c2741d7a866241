"""`datascaler eval download`."""

from functools import partial
from typing import Any

import click

from datascaler.cli.options import INPUT, OUTPUT, WORDS, json_option
from datascaler.cli.output import note, print_result, print_table, show_finished


@click.command()
@click.option("--output-dir", type=OUTPUT, required=True, help="Folder or URL of the evaluation sets.")
@click.option("--task-dir", type=INPUT, help="Folder with a tasklist.yml of DataComp's tasks.  [default: all 40]")
@click.option("--tasks", type=WORDS, help="Only these, by key or name, with *: imagenet*,vtab/*.")
@json_option
def download(output_dir: str, task_dir: str | None, tasks: tuple[str, ...] | None, as_json: bool) -> None:
    """Fetch DataComp's evaluation sets from the Hugging Face hub.

    Every file is compared with the hub's checksum. What is there already is skipped, and a file that broke off is
    continued. Some sets ask for their terms to be accepted: then set HF_TOKEN. HF_ENDPOINT names a mirror. A set that
    can't be had is listed with its reason and the others are fetched; the exit code is then 104.

    \b
    datascaler eval download --output-dir s3://bucket/evalsets
    datascaler eval download --output-dir evalsets --tasks 'imagenet*,vtab/*'
    """
    from datascaler.evaluate.hub.client import Hub
    from datascaler.evaluate.hub.download_sets import download_sets
    from datascaler.evaluate.hub.homes import home_of
    from datascaler.evaluate.tasks import folder_names, load_tasks, select_tasks

    chosen = select_tasks(load_tasks(task_dir), tasks or ())
    homes = [home_of(task.key, folder_names(task)[0]) for task in chosen]
    hub = Hub.of_environment()
    show_finished(partial(download_sets, output_dir, homes, hub, note), partial(_show, as_json=as_json))


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_result({"sets": rows}, as_json=True)
        return
    lines = [
        {
            "task": row["task"],
            "files": f"{row['files']} of {row['of']}",
            "fetched": row["fetched"],
            "GB": f"{row['size'] / 1e9:.2f}",
            "folder": row["folder"],
            "remark": row["failure"] and f"failed: {row['failure']}",
        }
        for row in rows
    ]
    print_table(lines)

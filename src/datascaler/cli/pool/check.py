"""`datascaler pool check`."""

from dataclasses import asdict
from typing import Any

import click

from datascaler.cli.options import COUNT, data_dir_option, json_option
from datascaler.cli.output import print_result, suggest
from datascaler.errors import BadInputError

_LONGEST_LIST = 10


class _Decode(click.ParamType[int | None]):
    """A number of images, or `all`."""

    name = "number or all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        return None if value == "all" else COUNT.convert(value, param, ctx)


@click.command()
@data_dir_option
@click.option(
    "--decode", type=_Decode(), default="16", show_default=True, help="Images to decode from each shard, or `all`."
)
@click.option("--shards", type=COUNT, help="Look at this many shards only, spread evenly over the pool.")
@click.option("--num-workers", type=COUNT, default=4, show_default=True, help="Shards read at a time.")
@json_option
def check(data_dir: str, decode: int | None, shards: int | None, num_workers: int, as_json: bool) -> None:
    """Check a pool before a run: damaged shards, bad samples, duplicates, gaps.

    Exits with 0 where every sample that was looked at can be used, and with 65 where shards or samples are bad; a run
    over such a pool leaves them out and counts them. Gaps in the numbers and duplicate uids are reported only.

    \b
    datascaler pool check --data-dir s3://bucket/pool
    datascaler pool check --data-dir s3://bucket/pool --shards 100 --decode all --json > report.json
    """
    from datascaler.data.pool.check import check_pool

    report = check_pool(data_dir, decode=decode, shards=shards, num_workers=num_workers)
    result = asdict(report)
    print_result(result if as_json else {name: _shortened(value) for name, value in result.items()}, as_json=as_json)
    if report.faults:
        raise BadInputError(f"{data_dir}: {'; '.join(report.faults)}")
    suggest(
        ["score", "--data-dir", data_dir, "--output-dir", "SCORED", "--method", "clip", "--arch", "b32"],
        as_json=as_json,
    )


def _shortened(value: Any) -> Any:
    """A list that people can read; --json has all of it."""
    if isinstance(value, dict) and len(value) > _LONGEST_LIST:
        return [*list(value)[:_LONGEST_LIST], f"and {len(value) - _LONGEST_LIST:,} more"]
    if not isinstance(value, tuple):
        return value
    lines = [
        f"{item['shard']} at byte {item['offset']:,} ({item['reason']})" if isinstance(item, dict) else item
        for item in value
    ]
    return lines[:_LONGEST_LIST] + [f"and {len(lines) - _LONGEST_LIST:,} more"] * (len(lines) > _LONGEST_LIST)

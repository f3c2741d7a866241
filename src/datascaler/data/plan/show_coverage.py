"""The plan by which `subset show` says what a pool has of a subset. Nothing is written, and no tar is read."""

import numpy as np
from numpy.typing import NDArray

from datascaler.data.plan.find import given_plan, known_plan
from datascaler.data.plan.plan import Plan
from datascaler.data.pool.shard_list import read_frozen_shards
from datascaler.data.pool.shards import find_shards
from datascaler.errors import ConfigError


def coverage_plan(
    subset_url: str,
    uids: NDArray[np.void],
    *,
    output_dir: str | None = None,
    data_dir: str | None = None,
    plan_url: str | None = None,
) -> Plan:
    """One of the three says which pool it is. Raises ConfigError where nothing is known about that pool's samples."""
    if plan_url:
        return given_plan(plan_url, subset_url, uids, shards=None)
    shards = read_frozen_shards(output_dir) if output_dir else find_shards(str(data_dir))
    plan = known_plan(subset_url, uids, shards, output_dir=output_dir)
    if plan is None:
        where = f"--data-dir {data_dir} --output-dir OUT" if data_dir else f"--output-dir {output_dir}"
        raise ConfigError(
            f"nothing is known yet of the samples in {data_dir or output_dir}: run `datascaler pool index` or "
            f"`datascaler score` ({where}) and give that --output-dir"
        )
    return plan

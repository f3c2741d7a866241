"""Subset files to convert and to combine, and the command that does it."""

from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from datascaler.cli.main import cli
from datascaler.data.pool.uids import uid_array
from datascaler.data.subset.subset import write_subset
from tests.data.made_tables import uids_of

UIDS = sorted(uids_of(40))
OFTEN = sorted([*UIDS, UIDS[1], UIDS[1], UIDS[30]])


def save(path: Path, uids: list[str], recipe: dict[str, Any] | None = None) -> str:
    if recipe is None:
        np.save(path, uid_array(uids))
    else:
        write_subset(str(path).removesuffix(".npy"), uid_array(uids), recipe, ["npy"])
    return str(path)


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["subset", *words])

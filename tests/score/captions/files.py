"""What the tests of caption rules share: a language model, and the command."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from click.testing import CliRunner, Result

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.pool.parquet import read_parquet

LANGUAGE_MODEL = str(Path(__file__).parent / "tiny_language.bin")
"""fastText 0.9.2 trained on 16 short sentences each of English, German, French and Spanish (dim 6, minn 1, maxn 3,
bucket 700, epoch 50, lr 1): a real model, and wrong often enough."""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def run_json(*arguments: str) -> dict[str, Any]:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    printed: dict[str, Any] = json.loads(result.stdout)
    return printed


def score_rows(*arguments: str) -> pa.Table:
    """Run `score`; the rows of all its tables, in the order of their names."""
    tables = run_json("score", *arguments)["tables"]
    return pa.concat_tables(
        read_parquet(info.url).replace_schema_metadata() for info in storage.list_files(tables, recursive=True)
    )

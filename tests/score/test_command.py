"""`datascaler score` as people and pods run it: output, exit codes, and being killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.errors import ConfigError, StorageError
from datascaler.score.score_pool import score_pool
from tests.data.tars import shard_of
from tests.s3_server import S3Server
from tests.score.pools import BAD, SHARDS, content_in, good, make_pool, only_folder, spec_of, tables_in


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["score", *arguments])


def test_the_command_scores_and_prints_json(tmp_path: Path, pool: str, local_dir: str) -> None:
    arguments = ["--data-dir", pool, "--output-dir", f"{tmp_path}/out", "--method", "CLIP", "--model", local_dir]
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert (printed["shards"], printed["rows"], printed["ok"], printed["unreadable"]) == (5, 21, 15, [])
    assert printed["bad"] == dict.fromkeys(BAD, 1)
    assert printed["tables"] == only_folder(tmp_path / "out")
    assert "scoring 5 shards as clip-tiny-" in result.stderr


@pytest.mark.parametrize("method", ["TMARSS", "unknown", "", "clip,dfn"])
def test_an_unknown_method_is_a_usage_error(method: str) -> None:
    result = invoke("--data-dir", "x", "--output-dir", "y", "--method", method)
    assert result.exit_code == 2
    assert "known: clip, dfn" in result.stderr


def test_the_index_comes_from_the_jobs_environment(tmp_path: Path, pool: str, local_dir: str) -> None:
    arguments = ["--data-dir", pool, "--output-dir", f"{tmp_path}/out", "--method", "clip", "--model", local_dir]
    environment = {"JOB_COMPLETION_INDEX": "1"}
    result = CliRunner().invoke(cli, ["score", *arguments, "--count", "2", "--json"], env=environment)
    assert result.exit_code == 0, result.output
    assert list(tables_in(only_folder(tmp_path / "out"))) == ["shards/00000001.parquet", "shards/00000003.parquet"]


def test_a_job_over_some_indexes_does_their_shards(tmp_path: Path, pool: str, local_dir: str) -> None:
    arguments = ["--data-dir", pool, "--output-dir", f"{tmp_path}/out", "--method", "clip", "--model", local_dir]
    environment = {"JOB_COMPLETION_INDEX": "1"}
    result = CliRunner().invoke(cli, ["score", *arguments, "--count=5", "--indexes=0,2-3"], env=environment)
    assert result.exit_code == 0, result.output
    assert list(tables_in(only_folder(tmp_path / "out"))) == ["shards/00000002.parquet"]


@contextmanager
def command(*arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "datascaler", "score", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def one_thread() -> Iterator[None]:
    """As in the subprocesses: sums must be added up in the same order to be equal to the last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("cut", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)])
def test_cut_in_the_middle_and_run_again_gives_the_same_tables(
    tmp_path: Path, local_dir: str, cut: signal.Signals, code: int
) -> None:
    shards = {f"{shard:08d}": shard_of(good(100 * shard + row) for row in range(100)) for shard in range(8)}
    pool, out = make_pool(f"{tmp_path}/pool", shards), f"{tmp_path}/out"
    arguments = ["--data-dir", pool, "--output-dir", out, "--method", "clip", "--model", local_dir]
    arguments += ["--batch-size", "3", "--num-workers", "2", "--json"]
    with command(*arguments) as process:
        while not storage.list_files(f"{out}/scores", ".parquet", recursive=True):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.002)
        process.send_signal(cut)
        assert process.wait(timeout=240) == code
    partly = tables_in(only_folder(tmp_path / "out"))
    assert 1 <= len(partly) < 8
    with command(*arguments) as process:
        printed, messages = process.communicate(timeout=240)
        assert process.returncode == 0, messages
    assert json.loads(printed)["skipped"] == len(partly)
    with one_thread():
        whole = score_pool(spec_of(pool, tmp_path / "whole", local_dir))
    tables = tables_in(only_folder(tmp_path / "out"))
    assert content_in(only_folder(tmp_path / "out")) == content_in(whole)
    assert len(tables) == 8
    assert partly.items() <= tables.items()
    left = [info.url for info in storage.list_files(out, recursive=True)]
    assert sum("parquet.tmp" in url for url in left) <= 1  # what the kill cut off; no listing takes it for a table


def test_a_wrong_bucket_and_wrong_credentials_are_one_line(s3_server: S3Server, s3_url: str, local_dir: str) -> None:
    make_pool(f"{s3_url}/pool", {"0": SHARDS["00000003"]})
    common = ["--method", "clip", "--model", local_dir]
    wrong_bucket = ["--data-dir", f"{s3_url}/pool", "--output-dir", "s3://no-such-bucket/out", *common]
    wrong_secret = ["--data-dir", f"{s3_url}/pool", "--output-dir", f"{s3_url}/out", *common]
    environment = s3_server.environment
    with (
        command(*wrong_bucket, **environment) as first,
        command(*wrong_secret, **{**environment, "AWS_SECRET_ACCESS_KEY": "not-the-secret"}) as second,
    ):
        for process, words, code in (
            (first, "no-such-bucket", ConfigError.exit_code),
            (second, "credentials", StorageError.exit_code),
        ):
            printed, messages = process.communicate(timeout=240)
            # No retry makes a bucket; a secret may be mended while a pod is tried again.
            assert process.returncode == code
            assert printed == ""
            assert messages.startswith("datascaler: error: ")
            assert messages.count("\n") == 1
            assert words in messages

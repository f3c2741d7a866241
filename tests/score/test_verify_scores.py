"""`score --verify`: sound tables pass, and a row that was changed is found and named."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from PIL import Image

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.pool.samples import BAD_IMAGE
from datascaler.data.tables.score_table import publish_table, read_table
from datascaler.errors import BadInputError, ConfigError
from datascaler.score.score_pool import score_pool
from datascaler.score.verify_scores import verify_scores
from datascaler.spec.score import ScoreSpec, TextOptions
from tests.data.tars import shard_of
from tests.score.pools import DAMAGED, SHARDS, good, make_pool, spec_of, tables_in
from tests.score.tmars.test_edit import written
from tests.tiny_clip import save_local_dir

COLUMNS = ["uid_high", "uid_low", "key", "offset", "length", "status", "score"]


def change(url: str, row: int, column: str, value: object) -> None:
    table, footer = read_table(url, COLUMNS)
    values = table[column].to_pylist()
    values[row] = value
    at = table.schema.get_field_index(column)
    publish_table(url, footer, table.set_column(at, column, pa.array(values, table.schema.types[at])), overwrite=True)


def test_sound_tables_agree_and_nothing_is_written(s3_url: str, local_dir: str) -> None:
    pool = make_pool(f"{s3_url}/pool")
    spec = spec_of(pool, f"{s3_url}/out", local_dir)
    summary = score_pool(spec)
    before = tables_in(summary)
    checked = verify_scores(spec, 1000)
    assert (checked.rows, checked.shards, checked.wrong) == (21, 4, [])
    assert checked.max_difference < 1e-5
    assert checked.mean_difference <= checked.max_difference
    assert tables_in(summary) == before


def test_a_sample_is_drawn_by_its_seed(tmp_path: Path, pool: str, local_dir: str) -> None:
    spec = spec_of(pool, tmp_path / "out", local_dir)
    score_pool(spec)
    assert verify_scores(spec, 5).rows == 5
    assert verify_scores(spec, 5, seed=3) == verify_scores(spec, 5, seed=3)


@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("score", 3, 0.75, r"shards/00000000\.tar row 3: -?0\.\d+, recorded as 0\.750000"),
        ("score", 3, float("nan"), r"00000000\.tar row 3: .*, recorded as nan"),
        ("status", 2, BAD_IMAGE, r"00000000\.tar row 2: 'ok', recorded as 'image does not decode'"),
        ("uid_low", 1, 7, r"00000000\.tar row 1: uid [0-9a-f]{32}, recorded with another"),
    ],
)
def test_a_changed_row_is_named(
    tmp_path: Path, pool: str, local_dir: str, column: str, row: int, value: object, message: str
) -> None:
    spec = spec_of(pool, tmp_path / "out", local_dir)
    change(f"{score_pool(spec).tables}/shards/00000000.parquet", row, column, value)
    with pytest.raises(BadInputError, match="1 of 21 rows of .* are not what scoring them again gives: .*" + message):
        verify_scores(spec, 1000)


def test_a_damaged_tar_is_compared_up_to_the_damage(tmp_path: Path, local_dir: str) -> None:
    pool = make_pool(f"{tmp_path}/pool", {"0": DAMAGED, "1": SHARDS["00000003"]})
    spec = spec_of(pool, tmp_path / "out", local_dir)
    rows = score_pool(spec).rows
    checked = verify_scores(spec, 100)
    assert (checked.rows, checked.not_comparable) == (rows - 1, 1)


def test_other_weights_are_other_work(tmp_path: Path, pool: str, local_dir: str) -> None:
    score_pool(spec_of(pool, tmp_path / "out", local_dir, score_name="mine"))
    other = save_local_dir(f"{tmp_path}/other", seed=1)
    with pytest.raises(ConfigError, match="holds other work: weights_hash is"):
        verify_scores(spec_of(pool, tmp_path / "out", other, score_name="mine"), 5)
    with pytest.raises(ConfigError, match=r"no tables of these shards in .*: run `datascaler score` without --verify"):
        verify_scores(spec_of(pool, tmp_path / "out", other), 5)


def with_text(number: int) -> dict[str, bytes]:
    file = io.BytesIO()
    Image.fromarray(written()).save(file, "PNG")
    return good(number) | {"png": file.getvalue()}


def test_text_is_found_and_masked_again(tmp_path: Path, local_dir: str) -> None:
    pool = make_pool(f"{tmp_path}/pool", {"0": shard_of([good(40), *map(with_text, range(41, 44))]), **SHARDS})

    def spec(method: str, **options: Any) -> ScoreSpec:
        text = TextOptions(**options)
        return spec_of(pool, tmp_path / "out", local_dir, method=method, score_name=method, text=text)

    for method in ("clip", "boxes", "tmars"):
        score_pool(spec(method))
    on_file = replace(spec("tmars", boxes="boxes", plain="clip"), score_name="on-file")
    score_pool(on_file)
    for each in (spec("boxes"), spec("tmars"), on_file):
        checked = verify_scores(each, 1000)
        assert checked.rows == 25
        assert checked.max_difference < 1e-5
    with pytest.raises(ConfigError, match=r"tmars/.* holds other work: max_masked_area is 0\.8, not 0\.25"):
        verify_scores(spec("tmars", max_masked_area=0.25), 5)
    change(f"{tmp_path}/out/scores/boxes/shards/0.parquet", 2, "score", 0.9)
    with pytest.raises(BadInputError, match=r"shards/0\.tar row 2: 0\.\d+, recorded as 0\.900000"):
        verify_scores(spec("boxes"), 1000)


def test_the_command(tmp_path: Path, pool: str, local_dir: str) -> None:
    spec = spec_of(pool, tmp_path / "out", local_dir)
    tables = score_pool(spec).tables
    arguments = [
        "score",
        "--data-dir",
        pool,
        "--output-dir",
        f"{tmp_path}/out",
        "--method",
        "clip",
        "--model",
        local_dir,
    ]
    result = CliRunner().invoke(cli, [*arguments, "--verify", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"] == 21
    result = CliRunner().invoke(cli, [*arguments, "--verify", "4", "--verify-seed", "1", "--json"])
    assert json.loads(result.stdout)["rows"] == 4
    storage.remove(f"{tables}/shards/00000000.parquet")
    assert json.loads(CliRunner().invoke(cli, [*arguments, "--verify", "--json"]).stdout)["rows"] == 14

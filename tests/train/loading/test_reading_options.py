"""How a run reads: the decoder is part of what it is, the client and the cache are not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datascaler.data.runs.run_folder import run_url
from datascaler.errors import BadInputError, ConfigError
from datascaler.train.train_clip import train_clip
from tests.data.planned_pools import identity_is_size, overwrite_unseen
from tests.train.runs import BATCH, differing_weights, end_fork_server, make_pool, metrics_of, tiny_spec


def test_the_fast_decoder_is_another_run_and_nearly_the_same(pool: str, tmp_path: Path) -> None:
    exact, fast = tiny_spec(pool, str(tmp_path / "exact")), tiny_spec(pool, str(tmp_path / "fast"), decode="fast")
    for spec in (exact, fast):
        train_clip(spec)
    ours, theirs = ([row["loss"] for row in metrics_of(run_url(spec))] for spec in (fast, exact))
    assert ours == pytest.approx(theirs, abs=0.02)
    assert list(differing_weights(run_url(exact), run_url(fast)))
    with pytest.raises(ConfigError, match="holds another run: decode was 'fast' and is now 'bicubic'"):
        train_clip(replace(fast, decode="bicubic"))


def test_a_cache_gives_the_same_run_without_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity_is_size(monkeypatch)
    pool = make_pool(str(tmp_path / "pool"), samples=24, samples_per_shard=12)
    plain, filling, filled = (tiny_spec(pool, str(tmp_path / name)) for name in ("plain", "filling", "filled"))
    cache: dict[str, Any] = {"cache_dir": str(tmp_path / "cache"), "cache_bytes": 10**8}
    train_clip(plain)
    train_clip(replace(filling, **cache))
    plan = str(next((tmp_path / "plain" / "plans").iterdir()))
    for shard in Path(pool).rglob("*.tar"):
        overwrite_unseen(shard, bytes(shard.stat().st_size))
    with pytest.raises(BadInputError, match="none of the 24 samples that could stand in for draw 0 can be read"):
        train_clip(replace(filled, plan_file=plan))
    train_clip(replace(filled, plan_file=plan, **cache))
    for cached in (filling, filled):
        assert list(differing_weights(run_url(plain), run_url(cached))) == []
    # Where samples are kept is not what the run is.
    assert train_clip(replace(filled, plan_file=plan)) is not None


@pytest.mark.slow
def test_obstore_gives_the_same_run(s3_url: str) -> None:
    end_fork_server()
    pool = make_pool(f"{s3_url}/pool", samples=48, samples_per_shard=12)
    ours, theirs = (
        tiny_spec(pool, f"{s3_url}/{client}", train_num_samples=2 * BATCH, num_workers=2, storage_client=client)
        for client in ("obstore", "fsspec")
    )
    for spec in (ours, theirs):
        train_clip(spec)
    assert list(differing_weights(run_url(ours), run_url(theirs))) == []

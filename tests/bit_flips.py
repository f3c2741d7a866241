"""Our own files with a single bit flipped anywhere: what their readers make of them."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datascaler import storage
from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.plan.plan_file import map_plan, write_plan
from datascaler.data.pool.samples import Sample
from datascaler.data.pool.shard_list import frozen_shards, read_frozen_shards
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.uids import uid_array
from datascaler.data.runs.run_folder import RunSummary, finish_run, finished, read_run, run_url, start_run
from datascaler.data.subset.subset import FORMATS, read_recipe, read_subset, write_subset
from datascaler.data.tables.array_file import encode_array, read_array
from datascaler.data.tables.score_table import Footer, read_footer, read_listed_footer, read_table, write_table
from datascaler.errors import DatascalerError
from datascaler.models.run_weights import (
    SavedCheckpoint,
    newest_checkpoint,
    publish_list,
    read_checkpoint,
    sound_checkpoints,
)
from tests.data.made_tables import uids_of
from tests.data.plan.test_plan import pool_of, sorted_uids, wanted_from
from tests.train.runs import tiny_spec

Case = tuple[Path, Callable[[], Any]]
"""A file, and what a reader of it says: with `==`, the same as before."""


def outcomes(case: Case, flips: int, seed: int) -> Counter[str]:
    """How many flips were refused, and how many made no difference. Anything else is an AssertionError."""
    path, read = case
    whole, expected = path.read_bytes(), read()
    found: Counter[str] = Counter()
    rng = random.Random(seed)
    for bit in (rng.randrange(8 * len(whole)) for _ in range(flips)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            same = read() == expected
        except DatascalerError:
            found["refused"] += 1
            continue
        assert same, f"bit {bit} of {path.name} gives another result in silence"
        found["same"] += 1
    path.write_bytes(whole)
    return found


def plan_case(folder: Path) -> Case:
    shards, content = pool_of(folder, seed=3, rows=[40, 0, 90])
    write_plan(f"{folder}/x.plan", build_plan(shards, str(folder), sorted_uids(wanted_from(content, seed=3)))[0])
    path = folder / "x.plan"

    def read() -> Any:
        plan = map_plan(path)
        arrays = {name: array.tobytes() for name, array in plan.arrays.items()}
        return plan.pool_digest, plan.subset_digest, plan.wanted, arrays, plan.shards

    return path, read


def table_case(folder: Path) -> Case:
    path = folder / "a.parquet"
    uids = [(int(uid[:16], 16), int(uid[16:], 16)) for uid in uids_of(40)]
    samples = [Sample(row, f"{row:012d}", 2560 * row, 1024, uid) for row, uid in enumerate(uids)]
    samples[7] = replace(samples[7], status="image does not decode")
    footer = Footer(shard="a.tar", size=9**6, etag="e", score_id="s", method="clip", settings={"t": 0.5})
    write_table(str(path), footer, samples, [row / 64 for row in range(40)])
    columns = ["uid_high", "uid_low", "key", "offset", "length", "status", "score"]

    def read() -> Any:
        table, footer = read_table(str(path), columns, ["status"])
        return table.to_pydict(), footer

    return path, read


def footer_case(folder: Path) -> Case:
    """What decides whether work is done, of a table's end alone."""
    path, _ = table_case(folder)
    return path, lambda: (read_footer(str(path)), read_listed_footer(storage.stat(str(path))))


def subset_case(suffix: str) -> Callable[[Path], Case]:
    def case(folder: Path) -> Case:
        (url,) = write_subset(f"{folder}/a", uid_array(sorted(uids_of(40))), {"method": "clip"}, [suffix])
        return Path(url), lambda: read_subset(url).tolist()

    return case


def recipe_case(folder: Path) -> Case:
    (url,) = write_subset(f"{folder}/a", uid_array(sorted(uids_of(40))), {"method": "clip", "top": 40}, ["npy"])
    return folder / "a.json", lambda: (
        {name: (read_recipe(url) or {}).get(name) for name in ("method", "top", "digest", "formats")},
        read_subset(url).tolist(),
    )


def shard_list_case(folder: Path) -> Case:
    shards = [Shard(f"pool/{number}.tar", f"{number}.tar", 5120 + number, f"{number:x}" * 8) for number in range(20)]
    frozen_shards(str(folder), "pool", lambda *_: shards)
    return folder / "shards.parquet", lambda: read_frozen_shards(str(folder))


def array_case(folder: Path) -> Case:
    """Cluster centres, and counts of entries."""
    path = folder / "total.npy"
    path.write_bytes(encode_array(np.arange(90, dtype=np.float32).reshape(9, 10)))
    return path, lambda: read_array(str(path)).tolist()


def run_case(folder: Path) -> Case:
    """A rerun compares it with its own spec and inputs, and other verbs take the spec from it."""
    spec = tiny_spec("pool", str(folder))
    inputs: dict[str, object] = {"pool_digest": "p", "subset_digest": "s"}
    start_run(spec, inputs, "datascaler train")

    def read() -> Any:
        start_run(spec, inputs, "datascaler train")
        return read_run(run_url(spec))

    return Path(run_url(spec), "run.json"), read


def summary_case(folder: Path) -> Case:
    spec = tiny_spec("pool", str(folder))
    summary = RunSummary(
        run=run_url(spec), checkpoint="c.pt", samples_seen=96, steps=8, substituted=0, train_loss=1.5, seconds=2.5
    )
    finish_run(spec, summary)
    return Path(run_url(spec), "summary.json"), lambda: finished(run_url(spec))


def checkpoint_case(folder: Path) -> Case:
    path = _saved(folder)
    return path, lambda: _plain(read_checkpoint(str(path)))


def lone_checkpoint_case(folder: Path) -> Case:
    """Moved away from the list that has its digest."""
    path = _saved(folder).rename(folder / "a.pt")
    return path, lambda: _plain(read_checkpoint(str(path)))


def pointer_case(folder: Path) -> Case:
    """Whatever becomes of it, the newest checkpoint is found, and by the one that goes on training as by others."""
    path = _saved(folder).with_name("latest.json")

    def read() -> Any:
        found = sound_checkpoints(str(folder))
        assert found is not None
        return newest_checkpoint(str(folder)), found[0][0].file, _plain(found[1])

    return path, read


def _saved(folder: Path) -> Path:
    """The newer of two small checkpoints, and the list of both."""
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir()
    saved = []
    for step in (2, 1):
        path = checkpoints / f"step_{step:08d}.pt"
        torch.save({"state_dict": {"a": torch.arange(9.0)}, "samples_seen": step, "spec": {"scale": "debug"}}, path)
        saved.append(SavedCheckpoint(path.name, path.stat().st_size, sha256(path.read_bytes()).hexdigest()))
    publish_list(str(checkpoints), saved, 2, 2)
    return checkpoints / saved[0].file


def _plain(value: Any) -> Any:
    """Tensors as what `==` compares."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), np.asarray(value).tobytes()
    return value


CASES: dict[str, Callable[[Path], Case]] = {
    "plan": plan_case,
    "table": table_case,
    "table's footer": footer_case,
    **{f"subset.{suffix}": subset_case(suffix) for suffix in FORMATS},
    "recipe": recipe_case,
    "shards.parquet": shard_list_case,
    "array": array_case,
    "run.json": run_case,
    "summary.json": summary_case,
    "checkpoint": checkpoint_case,
    "lone checkpoint": lone_checkpoint_case,
    "latest.json": pointer_case,
}

"""Every verb that reads a pool or what was made of it, as a function whose result can be compared."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from typing import Any

from datascaler import PlanDataset, storage
from datascaler.data.materialize.materialize_subset import materialize_subset
from datascaler.data.plan.known_plan import coverage_plan
from datascaler.data.pool.check import check_pool
from datascaler.data.pool.shards import find_shards
from datascaler.data.select.describe_subset import describe_plan, describe_subset
from datascaler.data.select.select_subset import select_subset
from datascaler.data.subset.subset import read_subset
from datascaler.data.tables.index_tables import index_part
from datascaler.data.tables.score_table import read_table
from datascaler.data.tables.scoring_progress import find_score_runs
from datascaler.errors import BadInputError
from datascaler.evaluate.evalset import open_evalset
from datascaler.score.score_pool import score_pool
from datascaler.train.loading.stream_source import Unplanned
from tests.data.tars import shard_of
from tests.evaluate.sets import labelled, write_set
from tests.score.pools import good, make_pool, spec_of, tables_in

SHARDS = {f"{number:08d}": shard_of(map(good, range(8 * number, 8 * number + 8))) for number in range(3)}
_COLUMNS = ("uid_high", "uid_low", "key", "offset", "length", "status")


@dataclass(frozen=True)
class Made:
    """What the verbs read, made without a fault."""

    model: str
    pool: str
    scored: str
    """Output folder of a scoring."""
    subset: str
    evalset: str


def make_all(url: str, model: str) -> Made:
    made = Made(model, f"{url}/pool", f"{url}/scored", f"{url}/scored/subsets/half.npy", f"{url}/set")
    make_pool(made.pool, SHARDS)
    score_pool(spec_of(made.pool, made.scored, model))
    select_subset(made.scored, fraction="1/2", method="clip", formats=("npy",), name="half")
    write_set(made.evalset, labelled(10))
    return made


Verb = Callable[[Made, str], Any]
"""Given what there is and a new folder to write to."""


def _tables(folder: str) -> Any:
    return {name: read_table(f"{folder}/{name}", _COLUMNS)[0].to_pydict() for name in tables_in(folder)}


def _score(made: Made, out: str) -> Any:
    summary = score_pool(spec_of(made.pool, out, made.model))
    columns = {name: read_table(f"{summary.tables}/{name}", ["score"])[0].to_pydict() for name in tables_in(summary)}
    return _tables(summary.tables), columns


def _index(made: Made, out: str) -> Any:
    return _tables(index_part(made.pool, out).tables)


def _check(made: Made, _: str) -> Any:
    report = check_pool(made.pool)
    if report.unreadable_shards:
        raise BadInputError(str(report.unreadable_shards))
    return report


def _subset(made: Made, out: str) -> Any:
    name = storage.basename(out)
    chosen = select_subset(made.scored, top=9, method="clip", formats=("npy",), name=name)
    return read_subset(chosen.files[0]).tolist()


def _show(made: Made, _: str) -> Any:
    report, uids = describe_subset(made.subset)
    return asdict(report), describe_plan(coverage_plan(made.subset, uids, output_dir=made.scored))


def _materialize(made: Made, out: str) -> Any:
    materialize_subset(made.subset, made.pool, out, samples_per_shard=5)
    return {storage.basename(info.url): storage.read_bytes(info.url) for info in storage.list_files(out, ".tar")}


def _dataset(made: Made, _: str) -> Any:
    plan = made.subset.replace(".npy", ".plan")
    dataset = PlanDataset(plan, made.pool, global_batch_size=4, rank=0, world_size=1)
    return [(sha256(images.numpy().tobytes()).hexdigest(), list(texts)) for images, texts in dataset]


def _no_plan(made: Made, _: str) -> Any:
    feed = Unplanned(shards=find_shards(made.pool), filter_folder=None).open(seed=3)
    return [(sample.key, sample.image) for _, part in feed.part(0, 24, 0, 1) for sample in islice(part, 1)]


def _evalset(made: Made, _: str) -> Any:
    found = open_evalset(made.evalset)
    return found.classnames, found.templates, list(found.samples())


def _runs(made: Made, _: str) -> Any:
    return find_score_runs(made.scored)


VERBS: dict[str, Verb] = {
    "score": _score,
    "pool index": _index,
    "pool check": _check,
    "subset": _subset,
    "subset show": _show,
    "subset materialize": _materialize,
    "train": _dataset,
    "train --no-plan": _no_plan,
    "eval": _evalset,
    "runs": _runs,
}

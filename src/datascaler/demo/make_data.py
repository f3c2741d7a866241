"""The demo's files: a pool, a small clean set, an evaluation set and its task list."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from datascaler import storage
from datascaler.data.make.write_evalset import write_classification_set
from datascaler.data.make.write_pool import write_pool
from datascaler.data.pool.pool_rows import PoolSample
from datascaler.data.pool.uids import uid_of
from datascaler.demo.captions import TEMPLATES
from datascaler.demo.draw import CLASS_NAMES
from datascaler.demo.pairs import DrawnPair, draw_clean, draw_evalset, draw_pool

TASK = "shapes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    pool_samples: int = 4000
    clean_samples: int = 2000
    eval_per_class: int = 20
    samples_per_shard: int = 1000
    fraction: Fraction = Fraction(2, 5)
    arch: str = "ViT-Micro-12-48"
    batch_size: int = 96
    filter_steps: int = 250
    train_steps: int = 200
    """Steps of each model; fewer than 200 leave the outcome to chance."""
    warmup_steps: int = 20
    lr: float = 3e-3
    weight_decay: float = 0.2
    seed: int = 0
    """The seed of the drawn images."""
    train_seeds: tuple[int, ...] = (0, 1)


@dataclass(frozen=True, slots=True)
class DemoData:
    pool: str
    clean: str
    evalsets: str
    tasks: str
    truth: dict[str, DrawnPair]
    """uid -> what the pool's pair really is. The filter never sees it."""


def make_data(output_dir: str, recipe: Recipe) -> DemoData:
    folders = [storage.join(output_dir, name) for name in ("pool", "clean", "evalsets", "tasks")]
    pool, clean, evalsets, tasks = folders
    pairs = list(draw_pool(recipe.pool_samples, recipe.seed))
    # Broken files are stored as they are, as in a pool whose downloader did not look inside.
    write_pool(pool, _samples("pool", pairs), recipe.samples_per_shard, check_images=False)
    write_pool(clean, _samples("clean", draw_clean(recipe.clean_samples, recipe.seed)), recipe.samples_per_shard)
    pictures = ((image, "jpg", label) for image, label in draw_evalset(recipe.eval_per_class, recipe.seed))
    evalset = storage.join(evalsets, f"wds_{TASK}_test")
    if not storage.exists(storage.join(evalset, "test", "nshards.txt")):
        write_classification_set(evalset, pictures, CLASS_NAMES, TEMPLATES)
    size = recipe.eval_per_class * len(CLASS_NAMES)
    fields = {"name": "Drawn shapes", "size": size, "main_metric": "acc1", "num_classes": len(CLASS_NAMES)}
    lines = "".join(f"  {name}: {value}\n" for name, value in fields.items())
    storage.publish_text(storage.join(tasks, "tasklist.yml"), f"{TASK}:\n{lines}")
    truth = {uid_of(pair.caption, _url("pool", number)): pair for number, pair in enumerate(pairs)}
    return DemoData(pool, clean, evalsets, tasks, truth)


def _samples(name: str, pairs: Iterable[DrawnPair]) -> Iterator[PoolSample]:
    for number, pair in enumerate(pairs):
        yield PoolSample(image=pair.image_bytes, suffix="jpg", caption=pair.caption, url=_url(name, number))


def _url(name: str, number: int) -> str:
    return f"drawn://{name}/{number}"

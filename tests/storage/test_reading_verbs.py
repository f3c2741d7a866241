"""Whatever a store does to single requests of a verb that reads, its result is the same, or an error says why not."""

import random
import uuid
from importlib import import_module
from typing import Any, get_args

import pytest
import s3fs

from datascaler import storage
from datascaler.errors import DatascalerError
from tests.s3_server import BUCKET, S3Server
from tests.storage.faulty_proxy import Fault, Faults
from tests.storage.reading_verbs import VERBS, Made, make_all
from tests.tiny_clip import save_local_dir

KINDS: tuple[Fault, ...] = ("short", "short range", "reset", "truncated", "internal error", "wrong checksum", "stall")
assert set(KINDS) < set(get_args(Fault))

Undisturbed = tuple[Made, dict[str, Any]]
"""What is there, and the result of each verb."""


@pytest.fixture(scope="module")
def undisturbed(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        url = f"s3://{BUCKET}/{uuid.uuid4().hex}"
        made = make_all(url, save_local_dir(str(tmp_path_factory.mktemp("weights") / "tiny")))
        return made, {name: verb(made, f"{url}/{name}") for name, verb in VERBS.items()}


@pytest.fixture(autouse=True)
def quick_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    publish = import_module("datascaler.storage.publish")  # storage has a function of that name
    monkeypatch.setattr(publish, "_SETTLE_SECONDS", 0.02)
    monkeypatch.setattr(publish, "_unconditional", set())


@pytest.mark.usefixtures("short_timeouts", "client")
def test_single_faults_change_nothing(undisturbed: Undisturbed, s3_url: str, faults: Faults) -> None:
    """About every fourth request of each verb is spoilt, each in a way of its own."""
    made, expected = undisturbed
    storage.assume_answers(s3_url)
    generator, hit = random.Random(12), set[Fault]()
    for name, verb in VERBS.items():
        first = 1 + generator.randrange(3)
        spoilt = {number: generator.choice(KINDS[:-1]) for number in range(first, 200, 4)}
        spoilt[first] = KINDS[len(hit) % len(KINDS)]
        faults.set_at(spoilt)
        assert verb(made, f"{s3_url}/{name}") == expected[name], name
        assert faults.requests >= first, name
        hit |= {kind for number, kind in spoilt.items() if number <= faults.requests}
    assert hit == set(KINDS)


@pytest.mark.slow
@pytest.mark.usefixtures("short_timeouts", "client")
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_any_requests_may_fail(undisturbed: Undisturbed, s3_url: str, faults: Faults, kind: Fault, seed: int) -> None:
    made, expected = undisturbed
    storage.assume_answers(s3_url)
    generator = random.Random(seed)
    for name, verb in VERBS.items():
        faults.set_at({number: kind for number in range(1, 300) if generator.random() < 0.2})
        assert verb(made, f"{s3_url}/{name}") == expected[name], name


def test_a_store_that_does_not_recover_is_an_error(
    undisturbed: Undisturbed, s3_url: str, faults: Faults, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Fault = "reset" if client == "fsspec" else "short"
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", "0.05")
    made, _ = undisturbed
    storage.assume_answers(s3_url)
    for number, (name, verb) in enumerate(VERBS.items()):
        # From the first request on, or from a later one.
        faults.set_at(dict.fromkeys(range(1 + 2 * (number % 3), 10_000), kind))
        with pytest.raises(DatascalerError, match="s3://"):
            verb(made, f"{s3_url}/{name}")
        assert faults.requests > 0, name


def test_a_store_without_conditional_writes_is_enough(undisturbed: Undisturbed, s3_url: str, faults: Faults) -> None:
    made, expected = undisturbed
    faults.set("no conditions", 10_000, "PUT")
    for name in ("score", "pool index"):
        assert VERBS[name](made, f"{s3_url}/{name}") == expected[name]

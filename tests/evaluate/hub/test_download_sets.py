"""Sets from a server in the form of the hub, which fails on purpose: the result is whole, or the set is named."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from datascaler import storage
from datascaler.cli.evaluate import evaluate
from datascaler.errors import BadInputError, PartlyFailedError, StorageError, TryAgainError
from datascaler.evaluate.evalset import open_evalset
from datascaler.evaluate.hub.client import Hub
from datascaler.evaluate.hub.download_sets import RECORD, download_sets
from datascaler.evaluate.hub.homes import SetHome, home_of
from datascaler.evaluate.tasks import folder_names, load_tasks
from tests.evaluate.hub.hub_server import FakeHub, fake_hub
from tests.evaluate.sets import labelled, write_set

TOKEN = "hf_secret"
HOMES = [
    SetHome("cifar10", "djghosh/wds_cifar10_test", "wds_cifar10_test"),
    SetHome("vtab/pets", "djghosh/wds_vtab-pets_test", "wds_vtab-pets_test"),
]
CARDS = {"README.md": b"---\n", ".gitattributes": b"*.tar lfs", "wds_cifar10_test.py": b"print()"}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Repository -> path -> content; the tars are large enough to be kept apart, as the hub's."""
    found = {}
    for seed, home in enumerate(HOMES):
        folder = tmp_path_factory.mktemp("home")
        write_set(str(folder), labelled(8, seed=seed), shards=2)
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        found[home.repository] = files
    return found


@pytest.fixture
def hub_of_sets(sets: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", "20")
    monkeypatch.setattr("datascaler.storage.retry._FIRST_PAUSE_SECONDS", 0.01)
    with fake_hub({name: {**files, **CARDS} for name, files in sets.items()}) as hub:
        yield hub


def _content(folder: str) -> dict[str, bytes]:
    infos = storage.list_files(folder, recursive=True)
    found = {storage.relative_to(info.url, folder): storage.read_bytes(info.url) for info in infos}
    return {name: content for name, content in found.items() if name != RECORD}


def _large(hub: FakeHub) -> list[tuple[str, int]]:
    """What was asked of the server of large files since the last look."""
    asked, hub.starts = hub.starts, []
    return asked


def test_sets_arrive_whole_and_are_skipped_the_next_time(
    hub_of_sets: FakeHub, sets: dict[str, dict[str, bytes]], tmp_path: Path, s3_url: str
) -> None:
    for place in (str(tmp_path), s3_url):
        rows = download_sets(place, HOMES, Hub(hub_of_sets.url))
        assert [(row["files"], row["of"], row["fetched"], row["failure"]) for row in rows] == [(5, 5, 5, "")] * 2
        for home in HOMES:
            assert _content(storage.join(place, home.folder)) == sets[home.repository]
        assert len(list(open_evalset(storage.join(place, "wds_cifar10_test")).samples())) == 8
        assert len(_large(hub_of_sets)) == 4
        rows = download_sets(place, HOMES, Hub(hub_of_sets.url))
        assert [(row["files"], row["fetched"]) for row in rows] == [(5, 0)] * 2
        assert _large(hub_of_sets) == []


def test_what_is_there_without_a_record_is_compared_with_its_checksum(
    hub_of_sets: FakeHub, sets: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """As DataComp's own download leaves it; one tar is damaged at its size, one is short."""
    home = HOMES[0]
    for name, content in sets[home.repository].items():
        target = tmp_path / home.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    damaged = tmp_path / home.folder / "test/0.tar"
    damaged.write_bytes(bytes([damaged.read_bytes()[0] ^ 1]) + damaged.read_bytes()[1:])
    (row,) = download_sets(str(tmp_path), [home], Hub(hub_of_sets.url))
    assert (row["files"], row["fetched"]) == (5, 1)
    (tmp_path / home.folder / "test/1.tar").write_bytes(b"short")
    (row,) = download_sets(str(tmp_path), [home], Hub(hub_of_sets.url))
    assert (row["files"], row["fetched"]) == (5, 1)
    assert _content(str(tmp_path / home.folder)) == sets[home.repository]


@pytest.mark.parametrize(
    "faults",
    [
        {"large test/0.tar": ["short", "short"], "large test/1.tar": ["reset"]},
        {"large test/0.tar": ["short", "whole"]},
        {"large test/0.tar": ["wrong"]},
        {"large test/0.tar": ["500", "403", "short", "503"]},
        {"test/nshards.txt": ["reset", "429 0"], "classnames.txt": ["503 1"]},
        {HOMES[0].repository: ["429 1", "reset", "502"]},
        {"test/1.tar": ["429 @1"]},
    ],
    ids=["cut", "no ranges", "changed once", "large files' server", "small files", "listing", "a moment to wait for"],
)
def test_failures_that_pass_are_waited_out(
    faults: dict[str, list[str]], hub_of_sets: FakeHub, sets: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    hub_of_sets.faults = {path: list(each) for path, each in faults.items()}
    (row,) = download_sets(str(tmp_path), HOMES[:1], Hub(hub_of_sets.url))
    assert (row["files"], row["fetched"]) == (5, 5)
    assert _content(str(tmp_path / HOMES[0].folder)) == sets[HOMES[0].repository]
    # What had come was not asked for again, unless the server can't send the rest alone.
    if "cut" in str(faults):
        assert {start > 0 for _, start in _large(hub_of_sets)} == {True, False}


def test_what_has_come_is_kept_between_starts(
    hub_of_sets: FakeHub,
    sets: dict[str, dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    s3_url: str,
) -> None:
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", "0")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for place in (str(tmp_path / "out"), s3_url):
        hub_of_sets.faults = {"large test/0.tar": ["short", "500", "500"]}
        with pytest.raises(BadInputError, match=r"1 of 1 sets could not be fetched: cifar10: .*test/0.tar"):
            download_sets(place, HOMES[:1], Hub(hub_of_sets.url))
        assert not storage.exists(storage.join(place, "wds_cifar10_test/test/nshards.txt"))
        first = _large(hub_of_sets)
        hub_of_sets.faults = {}
        (row,) = download_sets(place, HOMES[:1], Hub(hub_of_sets.url))
        half = len(sets[HOMES[0].repository]["test/0.tar"]) // 2
        assert first[0] == ("test/0.tar", 0)
        assert _large(hub_of_sets) == [("test/0.tar", half), ("test/1.tar", 0)]
        assert row["fetched"] == 3
        assert _content(storage.join(place, "wds_cifar10_test")) == sets[HOMES[0].repository]
    assert not list(tmp_path.rglob("*.part"))


def test_a_set_that_can_not_be_had_stops_no_other(
    hub_of_sets: FakeHub, sets: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    gone, closed = SetHome("mnist", "djghosh/wds_mnist_test", "m"), SetHome("cars", "djghosh/cars", "c")
    hub_of_sets.repositories["djghosh/cars"] = {}
    hub_of_sets.faults["djghosh/cars"] = ["403"]
    said: list[str] = []
    with pytest.raises(PartlyFailedError, match="2 of 3 sets could not be fetched") as caught:
        download_sets(str(tmp_path), [gone, closed, HOMES[0]], Hub(hub_of_sets.url), said.append)
    failures = [row["failure"] for row in caught.value.finished]
    assert "/datasets/djghosh/wds_mnist_test has not got it (404): get the set elsewhere" in failures[0]
    assert "/datasets/djghosh/cars may not be read (403): accept its terms on that page; set HF_TOKEN" in failures[1]
    assert failures[2] == ""
    assert _content(str(tmp_path / HOMES[0].folder)) == sets[HOMES[0].repository]
    assert [line.partition(" ")[0] for line in said] == ["mnist", "cars"]


def test_content_that_is_never_as_announced_is_an_error(hub_of_sets: FakeHub, tmp_path: Path) -> None:
    hub_of_sets.faults = {"large test/1.tar": ["wrong"] * 9}
    with pytest.raises(BadInputError, match=r"cifar10: .*test/1\.tar: its checksum is \w{16}, by the hub's listing"):
        download_sets(str(tmp_path), HOMES[:1], Hub(hub_of_sets.url))
    assert not (tmp_path / "wds_cifar10_test/test/1.tar").exists()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no test/nshards.txt"),
        ({"test/nshards.txt": b"3", "test/0.tar": b"x", "test/2.tar": b"x"}, "lacks some of its tars"),
    ],
)
def test_a_repository_that_is_no_whole_set_is_named(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with fake_hub({HOMES[0].repository: files}) as hub, pytest.raises(BadInputError, match=message):
        download_sets(str(tmp_path), HOMES[:1], Hub(hub.url))


def test_a_long_wait_is_left_to_the_user(hub_of_sets: FakeHub, tmp_path: Path) -> None:
    hub_of_sets.faults = {"large test/1.tar": [], HOMES[1].repository: ["429 3600"]}
    started = time.monotonic()
    with pytest.raises(TryAgainError, match="asks to wait 3,600 s: run the same command then") as caught:
        download_sets(str(tmp_path), HOMES, Hub(hub_of_sets.url))
    assert time.monotonic() - started < 10
    assert [row["files"] for row in caught.value.finished] == [5, 0]


def test_without_a_hub_it_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"http://127.0.0.1:9 can't be reached .*HTTPS_PROXY, or HF_ENDPOINT"):
        download_sets(str(tmp_path), HOMES, Hub("http://127.0.0.1:9"))
    assert list(tmp_path.iterdir()) == []


def test_the_token_goes_to_the_hub_alone(hub_of_sets: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{hub_of_sets.url}/")
    monkeypatch.setenv("HF_TOKEN", f" {TOKEN}\n")
    hub = Hub.of_environment()
    hub_of_sets.faults = {"test/0.tar": ["401"]}
    with pytest.raises(BadInputError, match=r"is HF_TOKEN right\?") as caught:
        download_sets(str(tmp_path), HOMES[:1], hub)
    download_sets(str(tmp_path), HOMES[:1], hub)
    sent = {name: {token for each, _, token in hub_of_sets.asked if each == name} for name in ("hub", "files")}
    assert sent == {"hub": {f"Bearer {TOKEN}"}, "files": {""}}
    assert TOKEN not in f"{caught.value} {caught.value.finished} {hub}"


def test_every_task_of_datacomp_has_a_home() -> None:
    homes = {task.key: home_of(task.key, folder_names(task)[0]) for task in load_tasks()}
    assert homes["imagenet1k"].repository == "djghosh/wds_imagenet1k_test"
    assert homes["vtab/caltech101"].repository == "djghosh/wds_vtab-caltech101_test"
    assert homes["wilds/fmow"].repository == "djghosh/wds_wilds-fmow_test"
    assert homes["fairness/dollar_street"].repository == "djghosh/wds_dollar_street_test"
    assert homes["misc/winogavil"].repository == "nlphuji/winogavil"
    assert [home.task for home in homes.values() if home.files] == [
        "retrieval/flickr_1k_test_image_text_retrieval",
        "retrieval/mscoco_2014_5k_test_image_text_retrieval",
        "misc/winogavil",
    ]
    assert len({home.folder for home in homes.values()}) == 40


def test_the_verb_prints_a_row_a_set(hub_of_sets: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub_of_sets.url)
    words: list[Any] = ["download", "--output-dir", str(tmp_path), "--tasks", "cifar10,vtab/pets"]
    shown = CliRunner().invoke(evaluate, words)
    assert shown.exit_code == 0, shown.output
    assert "5 of 5" in shown.stdout
    found = CliRunner().invoke(evaluate, [*words, "--json"])
    assert '"fetched": 0' in found.stdout

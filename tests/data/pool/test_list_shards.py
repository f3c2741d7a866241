"""What a data-dir means: braces as bash has them, globs as Python's glob has them; and what is passed over is named."""

import glob
import logging
import os
import random
import subprocess
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.pool import shards as shards_module
from datascaler.data.pool.list_shards import ABSENT, BEGINS_WITH_DOT, DEEPER, NO_TEXT, PACKED, find_tars
from datascaler.data.pool.shards import find_shards, list_pool, list_shards
from datascaler.errors import ConfigError, NotFoundError


def put(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(1024))
    return str(folder)


def names(data_dir: str) -> list[str]:
    return [shard.name for shard in list_pool(data_dir)[0]]


def passed_over(data_dir: str) -> dict[str, str]:
    return {storage.relative_to(url, data_dir): why for url, why in list_pool(data_dir)[1].items()}


def test_nested_folders_are_found_where_nothing_lies_above(tmp_path: Path) -> None:
    pool = put(
        tmp_path, "part1/0.tar", "part0/images/0.tar", "part0/0.TAR", "part0/0.json", ".cache/9.tar", "a/._0.tar"
    )
    assert names(pool) == ["part0/0.TAR", "part0/images/0.tar", "part1/0.tar"]
    assert passed_over(pool) == {".cache/9.tar": BEGINS_WITH_DOT, "a/._0.tar": BEGINS_WITH_DOT}


def test_what_lies_further_down_than_the_pool_is_named(tmp_path: Path) -> None:
    pool = put(tmp_path, "0.tar", "shards/1.tar", "evalset/test/0.tar", "shards/more/2.tar", "metadata/0.parquet")
    assert names(pool) == ["0.tar", "shards/1.tar"]
    assert passed_over(pool) == dict.fromkeys(["evalset/test/0.tar", "shards/more/2.tar"], DEEPER)
    assert sorted(names(f"{pool}/**")) == [
        *("0.tar", "evalset/test/0.tar", "shards/1.tar", "shards/more/2.tar"),
    ]


def test_compressed_and_hidden_shards_are_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shards_module._warn.cache_clear()
    pool = put(tmp_path, "0.tar", "._0.tar", "._1.tar", "1.tar.gz", "2.tgz", "3.tar.zst", "4.tar.json", "x.gz")
    assert passed_over(pool) == {
        **dict.fromkeys(["._0.tar", "._1.tar"], BEGINS_WITH_DOT),
        **dict.fromkeys(["1.tar.gz", "2.tgz", "3.tar.zst"], PACKED),
    }
    with caplog.at_level(logging.WARNING):
        assert [shard.name for shard in list_shards(pool)] == [shard.name for shard in find_shards(pool)] == ["0.tar"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"{pool}: passed over 5: 2 as ._0.tar ({BEGINS_WITH_DOT}); 3 as 1.tar.gz ({PACKED})"


def test_only_compressed_shards_are_no_pool_and_the_error_says_so(tmp_path: Path) -> None:
    pool = put(tmp_path, "0.tar.gz", "1.tar.gz")
    for source in (pool, f"{pool}/0.tar.gz", f"{pool}/*", f"{pool}/{{0,1}}.tar.gz"):
        with pytest.raises(
            ConfigError, match=r"no \.tar files in .*passed over [12]: [12] as 0\.tar\.gz \(compressed: unpack"
        ):
            find_shards(source)


def test_lists_of_folders_and_tars(tmp_path: Path) -> None:
    pool = put(tmp_path, "a/0.tar", "b/shards/0.tar", "c/0.tar", "d,e/0.tar", "a/1.tar", "{x}/0.tar")
    assert names(f"{pool}/{{a,b}}") == ["a/0.tar", "a/1.tar", "b/shards/0.tar"]
    assert names(f"{pool}/{{c,a}}/{{0..3}}.tar") == ["c/0.tar", "a/0.tar", "a/1.tar"]
    assert names(f"{pool}/{{a/{{0..1}},c/0}}.tar") == ["a/0.tar", "a/1.tar", "c/0.tar"]
    assert names(f"{pool}/{{a..c}}/0.tar") == ["a/0.tar", "c/0.tar"]
    assert names(f"{pool}/{{a,a}}/0.tar") == ["a/0.tar"]
    # What is no list and no range means itself.
    assert names(f"{pool}/d,e") == names(f"{pool}/{{x}}") == ["0.tar"]
    shards, absent = list_pool(f"{pool}/{{a,typo}}/0.tar")
    assert ([shard.name for shard in shards], absent) == (["a/0.tar"], {f"{pool}/typo/0.tar": ABSENT})
    with pytest.raises(NotFoundError):
        find_tars(f"{pool}/a/7.tar")
    with pytest.raises(ConfigError, match=r"\{a\.\.3\} is no range"):
        find_tars(f"{pool}/{{a..3}}/0.tar")
    with pytest.raises(ConfigError, match="more than 10,000,000 names"):
        find_tars(f"{pool}/{{0..999999999}}.tar")


def test_names_with_brackets_mean_themselves_first(tmp_path: Path) -> None:
    pool = put(tmp_path, "set[1]/0.tar", "set1/1.tar", "set1/shards/2.tar")
    assert names(f"{pool}/set[1]") == names(f"{pool}/set[1]/0.tar") == ["0.tar"]
    assert names(f"{pool}/set[12]") == ["set1/1.tar", "set1/shards/2.tar"]
    assert names(f"{pool}/*[12]/1.tar") == ["set1/1.tar"]


def test_globs_find_what_pythons_glob_finds(tmp_path: Path) -> None:
    generator = random.Random(5)
    folders = ["", "a/", "b/", "a/b/", "ab/c/"]
    files = sorted({f"{generator.choice(folders)}{generator.choice('xyz')}{number}.tar" for number in range(24)})
    pool = put(tmp_path, *files)
    parts = ["*", "a", "a*", "?", "[ab]", "[!a]*", "**"]
    for _ in range(60):
        folder = "/".join(generator.choices(parts, k=generator.randint(0, 2)))
        pattern = f"{folder}/" * bool(folder) + generator.choice(["*.tar", "x*.tar", "[yz]?.tar", "*1*.tar"])
        expected = sorted(set(glob.glob(pattern, root_dir=pool, recursive=True)))  # noqa: PTH207 - it is the oracle
        try:
            found, _ = list_pool(f"{pool}/{pattern}")
        except ConfigError:
            assert expected == [], pattern
        else:
            assert sorted(storage.relative_to(shard.url, pool) for shard in found) == expected, pattern


def test_braces_stand_for_what_they_stand_for_in_bash(tmp_path: Path) -> None:
    generator = random.Random(7)

    def piece(depth: int = 2) -> str:
        kind = generator.randrange(5 if depth else 2)
        if kind < 2:
            return generator.choice("abcxyz")
        if kind == 2:
            first, width = generator.randint(0, 9), generator.choice([1, 3])
            return f"{{{first:0{width}d}..{first + generator.randint(0, 4):0{width}d}}}"
        if kind == 3:
            return "{" + ",".join(piece(depth - 1) for _ in range(generator.randint(2, 3))) + "}"
        return "{a..d}" if generator.random() < 0.5 else "{0..8..3}"

    for _ in range(25):
        pattern = "".join(piece() for _ in range(generator.randint(1, 3)))
        printed = subprocess.run(
            ["bash", "-c", f"printf '%s\\n' {pattern}.tar"], capture_output=True, text=True, check=True
        )
        wanted = printed.stdout.split()
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        put(folder, *wanted)
        found = [storage.basename(info.url) for info in find_tars(f"{folder}/{pattern}.tar").tars]
        assert sorted(found) == sorted(set(wanted)), pattern


def test_names_of_a_glob_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "train_0.tar", "train_1.tar", "val_0.tar", "deep/train_2.tar")
    monkeypatch.chdir(tmp_path)
    assert names("train_*.tar") == names("train_*") == ["train_0.tar", "train_1.tar"]
    assert names("**/train_*.tar") == ["deep/train_2.tar", "train_0.tar", "train_1.tar"]


def test_a_folder_that_may_not_be_looked_into_matters_only_where_the_pool_may_be_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As lost+found is, at the root of a volume."""
    pool = put(tmp_path, "part0/0.tar")
    real = storage.list_files

    def refused(folder: str, *more: object, recursive: bool = False) -> list[storage.FileInfo]:
        if recursive:
            raise storage_error
        return real(folder, *more)  # type: ignore[arg-type]

    from datascaler.errors import StorageError

    storage_error = StorageError("lost+found: permission denied")
    monkeypatch.setattr(storage, "list_files", refused)
    with pytest.raises(StorageError, match="permission denied"):
        find_shards(pool)
    put(tmp_path, "1.tar", "shards/2.tar")
    assert names(pool) == ["1.tar", "shards/2.tar"]


def test_on_s3(s3_url: str) -> None:
    for name in ("a/0.tar", "a/._0.tar", "b/1.tar", "b/2.tar.gz", "c/0.json"):
        storage.publish_bytes(f"{s3_url}/{name}", bytes(1024))
    assert names(s3_url) == ["a/0.tar", "b/1.tar"]
    assert names(f"{s3_url}/*/?.tar") == names(f"{s3_url}/{{a,b}}") == names(f"{s3_url}/**") == ["a/0.tar", "b/1.tar"]
    assert passed_over(s3_url) == {"a/._0.tar": BEGINS_WITH_DOT, "b/2.tar.gz": PACKED}


def test_names_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    """A file system holds any bytes, and Python gives them as halves of characters, which no table can hold."""
    for name in (b"0.tar", b"\xff1.tar", b"d/\xed\xa0\x80.tar"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for source in (f"{tmp_path}", f"{tmp_path}/**"):
        found = find_tars(source)
        assert [storage.basename(info.url) for info in found.tars] == ["0.tar"]
        assert list(found.passed_over.values()).count(NO_TEXT) >= 1

"""Saved logs: their order, and what file names tell of indexes."""

from pathlib import Path

import pytest

from datascaler.cluster.watch.saved_logs import print_saved_logs
from datascaler.errors import ConfigError

FIRST, SECOND = "20261124T113939Z", "20261124T113940Z"


def save(folder: Path, *names: str) -> str:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(f"{name} begins\nand ends\n")
    return str(folder)


def printed(folder: str, **asked: int) -> list[str]:
    lines: list[str] = []
    print_saved_logs([folder], lines.append, **asked)
    return [line.split()[1] for line in lines if line.startswith("==>")]


def test_oldest_first_and_parts_in_their_order(tmp_path: Path) -> None:
    names = [
        f"run-9-abcde.{FIRST}.log",
        *(f"run-9-abcde.{FIRST}.{part}.log" for part in range(2, 12)),
        f"run-0-abcde.{SECOND}.log",
        f"run-1-abcde.{SECOND}.log",
        f"run-1-abcde.{SECOND}.2.log",
    ]
    folder = save(tmp_path / "run", *reversed(names))
    assert printed(folder) == names
    # Runs of a list that share a folder show it once.
    lines: list[str] = []
    assert print_saved_logs([folder, folder], lines.append) == len(names)
    assert len(lines) == 3 * len(names)


def test_files_of_other_names_are_shown_too(tmp_path: Path) -> None:
    assert printed(save(tmp_path / "run", f"host.{FIRST}.log", "train.log")) == ["train.log", f"host.{FIRST}.log"]


def test_the_tail_of_a_log_of_several_parts(tmp_path: Path) -> None:
    names = [f"run-0-abcde.{FIRST}{part}.log" for part in ("", ".2", ".10")]
    folder = save(tmp_path / "run", *names)
    second, third = (f"==> {name} <==" for name in names[1:])
    for tail, expected in (
        (0, [third]),
        (1, [third, "and ends"]),
        (3, [second, "and ends", third, f"{names[2]} begins", "and ends"]),
    ):
        lines: list[str] = []
        print_saved_logs([folder], lines.append, tail=tail)
        assert lines == expected


def test_carriage_returns_are_part_of_a_line(tmp_path: Path) -> None:
    (tmp_path / f"run-0-abcde.{FIRST}.log").write_bytes(b"1 %\r2 %\n\nend")
    lines: list[str] = []
    print_saved_logs([str(tmp_path)], lines.append)
    assert lines[1:] == ["1 %\r2 %", "", "end"]


@pytest.mark.parametrize(
    ("run", "pod", "index"),
    [
        ("run", "run-12-abcde", 12),
        ("run", "run-worker-3", 3),
        ("run-4", "run-4-7-abcde", 7),
        # Kubernetes has shortened the name of the Job.
        ("a-very-long-name", "a-very-long-7-abcde", 7),
        # A folder that was copied elsewhere.
        ("copy", "run-worker-3", 3),
    ],
)
def test_indexes_are_in_the_names(run: str, pod: str, index: int, tmp_path: Path) -> None:
    folder = save(tmp_path / run, f"{pod}.{FIRST}.log", f"{run}-worker-99.{FIRST}.log")
    assert printed(folder, index=index) == [f"{pod}.{FIRST}.log"]
    assert printed(folder, index=98) == []


@pytest.mark.parametrize(("run", "pod"), [("run", "run-abcde"), ("run-4", "run-4-abcde"), ("run", "my.host")])
def test_names_that_tell_no_index(run: str, pod: str, tmp_path: Path) -> None:
    folder = save(tmp_path / run, f"{pod}.{FIRST}.log")
    with pytest.raises(ConfigError, match="--index 4: the pods that left these logs have no index"):
        printed(folder, index=4)
    assert printed(save(tmp_path / "none"), index=4) == []

"""Threads follow the quota of a control group, of either version, and not only the cores that may be run on."""

import os
import random
from pathlib import Path

import pytest

from datascaler.tools.usable_cores import limit_threads, usable_cores

HERE = len(os.sched_getaffinity(0))


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, content in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/", {}, 64),
        ("0::/", {"sys/fs/cgroup/cpu.max": "max 100000"}, 64),
        ("0::/", {"sys/fs/cgroup/cpu.max": "250000 100000"}, 3),
        ("0::/", {"sys/fs/cgroup/cpu.max": "20000 100000"}, 1),
        ("0::/", {"sys/fs/cgroup/cpu.max": "nonsense"}, 64),
        # A quota of a group further up holds for those below it.
        ("0::/a/b", {"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "400000 100000"}, 4),
        # In a container the path is the host's, and the top is one's own.
        ("0::/kubepods/pod7", {"sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ("0::/../..", {"sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        (
            "4:cpu,cpuacct:/job\n1:name=systemd:/",
            {
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "600000",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
            6,
        ),
        (
            "4:cpuacct,cpu:/job",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "25000"},
            2,
        ),
        ("4:cpu:/", {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 64),
        ("4:cpuset:/", {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "1"}, 64),
    ],
)
def test_the_quota_counts(tmp_path: Path, groups: str, files: dict[str, str], cores: int) -> None:
    root = system(tmp_path, groups, files)
    assert usable_cores(root) == cores
    environment: dict[str, str] = {}
    limit_threads(environment, root)
    # Without a quota, libraries count for themselves.
    assert environment == ({"OMP_NUM_THREADS": str(cores)} if cores < 64 else {})
    chosen = {"OMP_NUM_THREADS": "5"}
    limit_threads(chosen, root)
    assert chosen == {"OMP_NUM_THREADS": "5"}


def test_random_quotas_are_rounded_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    for number in range(50):
        cores, period = rng.randrange(1, 100), rng.choice([10_000, 100_000])
        part = rng.randrange(1, period + 1)
        content = f"{(cores - 1) * period + part} {period}"
        root = system(tmp_path / str(number), "0::/", {"sys/fs/cgroup/cpu.max": content})
        assert usable_cores(root) == min(64, cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert usable_cores(root) == 1


def test_here_there_is_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(HERE)))
    assert 1 <= usable_cores() <= HERE

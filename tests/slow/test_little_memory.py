"""Scoring where memory runs out: nothing wrong is published, and the same command, started again, gives the table."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from datascaler.score.score_pool import score_pool
from tests.data.tars import members_of, picture, shard_of
from tests.score.pools import content_in, make_pool, spec_of
from tests.tiny_clip import save_local_dir

pytestmark = pytest.mark.slow

_SCORE = """
import resource, sys
from datascaler.score.score_pool import score_pool
from tests.score.pools import spec_of

pool, out, model, spare = sys.argv[1:]

def limit(_):
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (int(spare) << 20), -1))

# Called when the network is loaded and before the first picture is decoded.
score_pool(spec_of(pool, out, model), say=limit)
"""


@pytest.mark.parametrize("spare_mb", [30])
def test_pictures_that_want_for_memory_are_not_bad(tmp_path: Path, spare_mb: int) -> None:
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    model = save_local_dir(f"{tmp_path}/model")
    large = [members_of(number) | {"png": picture(number, size=(3000, 3000))} for number in range(6)]
    pool = make_pool(f"{tmp_path}/pool", {"00000000": shard_of(large[:3]), "00000001": shard_of(large[3:])})
    expected = content_in(score_pool(spec_of(pool, f"{tmp_path}/right", model)))
    command = [sys.executable, "-c", _SCORE, pool, f"{tmp_path}/out", model, str(spare_mb)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    (folder,) = [*Path(f"{tmp_path}/out/scores").glob("*")] or [Path("none")]
    published = content_in(str(folder)) if folder.is_dir() else {}
    assert done.returncode != 0 or published == expected, done.stderr
    assert published.items() <= expected.items()
    assert content_in(score_pool(spec_of(pool, f"{tmp_path}/out", model))) == expected

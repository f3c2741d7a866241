"""`make bench-select` at a size where only its sameness counts, so that it still runs on the day that it is needed."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_both_ways_write_the_same_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.select", "--tables", "9", "--rows", "400", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["equal"], result["rows"], result["kept"]) == (True, 3600, 1080), done.stderr
    assert 0 < result["peak_mb"] < 1024
    assert not list(tmp_path.iterdir())

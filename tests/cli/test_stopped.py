"""A command that is told to stop at any moment ends with the signal's code, and goes on when it is run again."""

from pathlib import Path

from tests.data.scored_folder import score_pool
from tests.stopping import Command, stops

MOMENTS = 3
"""`make test-slow` has a hundred, for every verb."""


def test_a_subset_that_is_stopped_is_made_by_the_next_run(tmp_path: Path) -> None:
    out = score_pool(str(tmp_path))

    def command(at: int) -> Command:
        return Command("subset", f"--output-dir={out}", "--method=clip", "--fraction=0.5", f"--subset-name=s{at}")

    found = stops(command, MOMENTS, seed=0)
    assert all(each.is_right for each in found), found
    with command(0) as again:
        assert again.wait() == 0, again.said()
    names = [
        {path.suffix: path.read_bytes() for path in (tmp_path / "out/subsets").glob(f"s{at}.npy")} for at in (0, -1)
    ]
    assert names[0] == names[1] != {}
    assert list(tmp_path.rglob("*.tmp-*")) == []

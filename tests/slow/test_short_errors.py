"""Many wrong commands of each verb; see `tests/cli/test_short_errors.py`."""

from pathlib import Path

import pytest

from tests.cli.test_short_errors import Run, require_short, run
from tests.cli.wrong_words import VERBS

__all__ = ["run"]


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_two_hundred_wrong_commands(verb: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_short(verb, 200, run, tmp_path, monkeypatch)

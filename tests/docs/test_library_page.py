"""The page about the library runs from top to bottom, as a notebook would."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.docs.pages import ROOT, blocks
from tests.library_folder import make_library_folder

PAGE = ROOT / "docs" / "library.md"


def test_every_block_runs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_library_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    names: dict[str, Any] = {}
    for block in blocks("python"):
        if block.page == PAGE:
            # A traceback names the page and the line.
            exec(compile("\n" * block.line + block.text, str(PAGE), "exec"), names)
    torch.set_num_threads(threads)
    assert names["summary"].ok == names["table"].num_rows == 24
    assert names["best"].recipe["kept_rows"] == 12
    assert 0 < len(names["both"]) < 12
    assert names["run"].steps == 4
    assert names["rows"][0]["tasks"] == 1
    assert capsys.readouterr().out.endswith("fraction must be above 0 and at most 1, got 1.5\n")

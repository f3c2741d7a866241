"""Run folders of DataComp's: what their info.pkl names, and what it may not."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from datascaler.data.runs.datacomp_info import DatacompRun, read_datacomp_run
from datascaler.errors import ConfigError


def leave(folder: Path, info: Any, *, protocol: int = 4) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "info.pkl").write_bytes(pickle.dumps(info, protocol))
    return str(folder)


def info_of(checkpoint: Any, model: Any = "ViT-B-32") -> dict[str, Any]:
    return {"scale": "small", "checkpoint": checkpoint, "scale_config": {"model": model}, "data_dir": Path("/pool")}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_the_checkpoint_that_is_named_else_the_one_beside(tmp_path: Path, protocol: int) -> None:
    there, gone = tmp_path / "there.pt", tmp_path / "gone" / "epoch_latest.pt"
    there.touch()
    folder = leave(tmp_path / "run", info_of(there), protocol=protocol)
    assert read_datacomp_run(folder) == DatacompRun("ViT-B-32", str(there))
    leave(tmp_path / "run", info_of(gone), protocol=protocol)
    with pytest.raises(
        ConfigError, match=rf"names the checkpoint {gone}, and neither that nor {folder}/checkpoints/ep"
    ):
        read_datacomp_run(folder)
    beside = tmp_path / "run/checkpoints/epoch_latest.pt"
    beside.parent.mkdir()
    beside.touch()
    assert read_datacomp_run(folder) == DatacompRun("ViT-B-32", str(beside))


def test_what_use_model_writes_is_a_tag_or_a_path_as_text(tmp_path: Path) -> None:
    bare = {"scale_config": {"model": "ViT-L-14"}, "checkpoint": "openai"}
    assert read_datacomp_run(leave(tmp_path / "a", bare)) == DatacompRun("ViT-L-14", "openai")
    (tmp_path / "w.pt").touch()
    named = bare | {"checkpoint": f"{tmp_path}/w.pt"}
    assert read_datacomp_run(leave(tmp_path / "a", named)) == DatacompRun("ViT-L-14", f"{tmp_path}/w.pt")


def test_no_other_folder_is_one_of_theirs(tmp_path: Path) -> None:
    assert read_datacomp_run(str(tmp_path)) is None
    folder = leave(tmp_path / "ours", info_of(Path("/x.pt")))
    (tmp_path / "ours/run.json").touch()
    assert read_datacomp_run(folder) is None


class _Runs:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/it-ran",)


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (
            info_of(_Runs()),
            r"refused: the pickle names posix\.system.*give --model, and the checkpoint as --pretrained",
        ),
        (info_of(Path("/x.pt"), model=7), "names no architecture"),
        (info_of(None), "names no architecture"),
        (["small"], "names no architecture"),
        ({"scale": "small"}, "names no architecture"),
        (info_of("x" * (1 << 20)), r"more than 1,048,576 bytes"),
    ],
    ids=range(6),
)
def test_what_is_no_info_of_a_run_is_refused_and_runs_nothing(tmp_path: Path, info: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){tmp_path}/run/info\.pkl.*{said}"):
        read_datacomp_run(leave(tmp_path / "run", info))
    assert not Path("/tmp/it-ran").exists()


def test_bytes_that_are_no_pickle(tmp_path: Path) -> None:
    (tmp_path / "info.pkl").write_bytes(b"\x80\x04 this was a pickle")
    with pytest.raises(ConfigError, match=r"info\.pkl: .*; give --model"):
        read_datacomp_run(str(tmp_path))

"""The three scripts of the first version: their flags, their errors, and what they run."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"
NAMES = ("generate_pools.sh", "train_with_grid_search.sh", "run_eval.sh")

POOLS = ("--data-dir=pool", "--output-dir=out", "--scale=medium")
TRAIN = ("--data-dir=pool", "--output-dir=out", "--scale=medium")
EVAL = ("--train-dir=runs", "--data-dir=sets")


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A copy of the scripts beside a `datascaler` that only writes down its arguments, one a line."""
    for name in (*NAMES, "flags.sh"):
        target = tmp_path / "scripts" / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((SCRIPTS / name).read_bytes())
    command = tmp_path / "bin" / "datascaler"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/calls\necho . >> {tmp_path}/calls\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def run(recorder: Path, name: str, *flags: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PATH": f"{recorder}/bin:{os.environ['PATH']}"}
    script = recorder / "scripts" / name
    # From another folder: the script finds its parts by itself.
    return subprocess.run(["bash", str(script), *flags], capture_output=True, text=True, check=False, env=env, cwd="/")


def calls(recorder: Path) -> list[list[str]]:
    """The commands that were run, one list each."""
    path = recorder / "calls"
    if not path.exists():
        return []
    return [call.splitlines() for call in path.read_text().removesuffix(".\n").split(".\n")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(name: str, flag: str, recorder: Path) -> None:
    done = run(recorder, name, flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{name} --")
    assert "--data-dir" in done.stdout


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--no-such=1"], "unknown flag --no-such; known: --"),
        (["pool"], "unexpected argument: pool"),
        (["--data-dir"], "--data-dir needs a value"),
        (["--data-dir", "--scale=medium"], "--data-dir needs a value"),
        ([], "is required"),
        (["--data-dir="], "is required"),
    ],
)
def test_wrong_flags_exit_with_2_and_one_line(name: str, flags: list[str], message: str, recorder: Path) -> None:
    done = run(recorder, name, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.startswith(f"{name}: ")
    assert done.stderr.count("\n") == 1
    assert calls(recorder) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--method=best", "--fraction=0.3"], "--method must be CLIP, DFN or TMARS, got best"),
        *(
            (["--method=CLIP", f"--fraction={fraction}"], f"--fraction must be above 0 and at most 1, got {fraction}")
            for fraction in ("0", "0.0", "1.1", "-0.3", "half", ".", "0.3.3", "0..3")
        ),
        (["--method=CLIP", "--fraction=1", "--scale=large"], "--scale must be small or medium, got large"),
    ],
)
def test_generate_pools_refuses_before_it_scores(flags: list[str], message: str, recorder: Path) -> None:
    done = run(recorder, "generate_pools.sh", *POOLS, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"generate_pools.sh: {message}\n"
    assert calls(recorder) == []


def test_generate_pools_scores_and_keeps(recorder: Path) -> None:
    done = run(recorder, "generate_pools.sh", *POOLS, "--method=CLIP", "--fraction=0.4", "--batch-size", "8")
    assert done.returncode == 0, done.stderr
    assert calls(recorder) == [
        ["score", "--data-dir=pool", "--output-dir=out", "--method=CLIP", "--batch-size=8"],
        ["subset", "--output-dir=out", "--method=CLIP", "--fraction=0.4", "--formats=pkl,npy"],
    ]


def test_generate_pools_masks_text(recorder: Path) -> None:
    flags = ["--method=TMARS", "--fraction=0.2", "--max-masked-area=0.5", "--boxes", "boxes-1"]
    done = run(recorder, "generate_pools.sh", *POOLS, *flags)
    assert done.returncode == 0, done.stderr
    score = [
        "score",
        "--data-dir=pool",
        "--output-dir=out",
        "--method=TMARS",
        "--max-masked-area=0.5",
        "--boxes=boxes-1",
    ]
    assert calls(recorder) == [
        score,
        ["subset", "--output-dir=out", "--method=TMARS", "--fraction=0.2", "--formats=pkl,npy"],
    ]


@pytest.mark.parametrize("fraction", ["1", "1.0", "1."])
def test_generate_pools_only_scores_for_the_whole_pool(fraction: str, recorder: Path) -> None:
    done = run(recorder, "generate_pools.sh", *POOLS, "--method=dfn", f"--fraction={fraction}")
    assert done.returncode == 0, done.stderr
    assert [call[0] for call in calls(recorder)] == ["score"]


def test_a_failed_scoring_ends_the_script(recorder: Path) -> None:
    command = recorder / "bin" / "datascaler"
    command.write_text(command.read_text() + "exit 65\n")
    done = run(recorder, "generate_pools.sh", *POOLS, "--method=clip", "--fraction=.4")
    assert done.returncode == 65
    assert [call[0] for call in calls(recorder)] == ["score"]


def test_train_passes_the_original_flags_on(recorder: Path) -> None:
    """As in the first version's own example, in both spellings; a path may hold spaces."""
    flags = ["--nproc-per-node=2", "--data-dir=my pool", "--output-dir", "out", "--width-mult=1.0"]
    flags += ["--min-width-mult=0.1875", "--scale=medium", "--train-num-samples=128_000_000", "--use-mup=true"]
    flags += ["--subset-file-path=best.pkl", "--method=clip", "--fraction=0.4", "--model-arch", "ViT-B-32"]
    done = run(recorder, "train_with_grid_search.sh", *flags)
    assert done.returncode == 0, done.stderr
    (call,) = calls(recorder)
    assert call[0] == "sweep"
    assert set(call[1:]) == {
        *("--nproc-per-node=2", "--data-dir=my pool", "--output-dir=out", "--width-mult=1.0", "--scale=medium"),
        *("--min-width-mult=0.1875", "--train-num-samples=128_000_000", "--use-mup=true", "--method=clip"),
        *("--subset-file-path=best.pkl", "--fraction=0.4", "--model-arch=ViT-B-32"),
    }


@pytest.mark.parametrize(
    ("flags", "passed"),
    [
        (["--use_mup=true"], ["--use-mup=true"]),
        (["--use-mup", "false"], ["--use-mup=false"]),
        (["--use-mup", "--width-mult=1.0"], ["--use-mup=true", "--width-mult=1.0"]),
        (["--use_mup"], ["--use-mup=true"]),
        (["--subset-file=None"], []),
        (["--subset-file-path", "None"], []),
        (["--subset-file=a.npy"], ["--subset-file=a.npy"]),
        (["--model-arch=ViT-B-16"], ["--model-arch=ViT-B-16"]),
        (["--lrs=1e-3,2e-3", "--seed=1"], ["--lrs=1e-3,2e-3", "--seed=1"]),
    ],
)
def test_train_spellings(flags: list[str], passed: list[str], recorder: Path) -> None:
    done = run(recorder, "train_with_grid_search.sh", *TRAIN, *flags)
    assert done.returncode == 0, done.stderr
    (call,) = calls(recorder)
    default = [] if any("model-arch" in flag for flag in flags) else ["--model-arch=ViT-B-32"]
    assert set(call) == {"sweep", *TRAIN, *passed, *default}


def test_eval_passes_the_original_flags_on(recorder: Path) -> None:
    flags = ["--train-dir=runs", "--task-dir=tasks", "--data-dir", "sets", "--width-mult=1.0"]
    flags += ["--min-width-mult=0.1875", "--use-mup=true", "--scale=medium", "--fraction=0.4", "--method=clip"]
    done = run(recorder, "run_eval.sh", *flags, "--model-arch", "ViT-B-32")
    assert done.returncode == 0, done.stderr
    (call,) = calls(recorder)
    assert call[0] == "eval"
    assert set(call[1:]) == {*flags[:2], "--data-dir=sets", *flags[4:], "--model-arch=ViT-B-32"}


def test_the_checkouts_own_environment_comes_first(recorder: Path) -> None:
    own = recorder / ".venv" / "bin" / "datascaler"
    own.parent.mkdir(parents=True)
    own.write_text(f"#!/bin/sh\necho own > {recorder}/own\n")
    own.chmod(0o755)
    assert run(recorder, "run_eval.sh", *EVAL).returncode == 0
    assert (recorder / "own").exists()
    assert calls(recorder) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--namespace", "a", "--values", "/missing/values.yaml"], "--values /missing/values.yaml can't be read"),
        (["--namespace=a", "--values=missing.yaml"], "/missing.yaml can't be read"),
        (["--values", "/dev/null"], "--namespace is required"),
        (["--namespace", "a", "--valeus", "b"], "unknown flag --valeus"),
        (["--namespace"], "--namespace is no flag, or has no value"),
    ],
)
def test_cluster_install_refuses_before_it_makes_anything(flags: list[str], message: str, tmp_path: Path) -> None:
    """Nothing but the flags is looked at: a kubectl that is called says so."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\necho called >> {tmp_path}/calls\n")
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["sh", str(SCRIPTS / "cluster_install.sh"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "calls").exists()

"""The locked install takes torch's CPU build on a machine without a GPU, where an index has one."""

import base64
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]


def wheel(folder: Path, name: str, version: str) -> str:
    """An empty package. Returns the sha256 of its file."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        record = ""
        for file, text in files.items():
            archive.writestr(file, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            record += f"{file},sha256={digest},{len(text)}\n"
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("has_cpu_build", "has_gpu"), [(True, False), (False, False), (False, True)])
def test_which_torch_is_installed(tmp_path: Path, has_cpu_build: bool, has_gpu: bool) -> None:
    index = tmp_path / "index"
    index.mkdir()
    packages = {"torch": "2.15.0", "torchvision": "0.30.0", "nvidia_cublas": "13.4", "click": "8.5.1"}
    hashes = {name: wheel(index, name, version) for name, version in packages.items()}
    if has_cpu_build:
        for name in ("torch", "torchvision"):
            wheel(index, name, f"{packages[name]}+cpu")
    root = tmp_path / "checkout"
    (root / "scripts").mkdir(parents=True)
    (root / "scripts" / "install_locked").write_bytes((ROOT / "scripts" / "install_locked").read_bytes())
    lines = [
        f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{hashes[name]}\n    # via x\n"
        for name, version in packages.items()
    ]
    (root / "requirements.lock").write_text("".join(lines))
    programs = tmp_path / "bin"
    programs.mkdir()
    if has_gpu:
        (programs / "nvidia-smi").symlink_to("/bin/true")
    venv.create(tmp_path / "venv", with_pip=False)
    done = subprocess.run(
        ["/bin/sh", root / "scripts" / "install_locked", tmp_path / "venv" / "bin" / "python"],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_", "TORCH_"))},
            "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "UV_NO_INDEX": "1",
            "UV_FIND_LINKS": str(index),
            "UV_CACHE_DIR": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    site = next((tmp_path / "venv" / "lib").glob("python3*/site-packages"))
    found = {path.name.removesuffix(".dist-info") for path in site.glob("*.dist-info")}
    by_cpu = has_cpu_build and not has_gpu
    suffix = "+cpu" if by_cpu else ""
    expected = {f"torch-2.15.0{suffix}", f"torchvision-0.30.0{suffix}", "click-8.5.1"}
    assert found == expected | (set() if by_cpu else {"nvidia_cublas-13.4"})
    assert ("with CUDA only" in done.stderr) is (not has_gpu and not has_cpu_build)

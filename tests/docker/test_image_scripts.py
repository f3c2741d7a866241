"""What the image scripts share: when an image counts as changed, and what a build is told of the package index."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def shell(command: str, **environment: str) -> str:
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", f". scripts/images.sh\n{command}"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_digest_follows_contents_names_and_words_but_not_bytecode(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("one")
    first = shell(f"digest_of {tmp_path} word")
    assert len(first) == 16
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "code.pyc").write_text("bytes")
    assert shell(f"digest_of {tmp_path} word") == first
    assert shell(f"digest_of {tmp_path} another") != first
    (tmp_path / "code.py").write_text("two")
    second = shell(f"digest_of {tmp_path} word")
    assert second != first
    (tmp_path / "code.py").rename(tmp_path / "renamed.py")
    assert shell(f"digest_of {tmp_path} word") not in (first, second)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.pem"
    path.write_text("certificates\n")
    return path


def test_a_build_gets_the_index_and_the_certificates_of_this_machine(tmp_path: Path, bundle: Path) -> None:
    shell(
        f"write_pip_secrets {tmp_path}",
        PIP_CERT=str(bundle),
        PIP_INDEX_URL="https://index.example/simple",
        PIP_EXTRA_INDEX_URL="https://one.example\nhttps://two.example",
        PIP_FIND_LINKS="/a/folder/of/this/machine",
    )
    assert (tmp_path / "ca_bundle").read_text() == "certificates\n"
    lines = (tmp_path / "pip_conf").read_text().splitlines()
    assert lines[0] == "[global]"
    assert "index-url = https://index.example/simple" in lines
    assert "extra-index-url = https://one.example https://two.example" in lines
    # Where the build finds them, not where they are here; and no folder that it does not have.
    assert "cert = /run/secrets/ca_bundle" in lines
    assert str(tmp_path) not in "\n".join(lines)
    assert "/a/folder" not in "\n".join(lines)


def test_an_index_that_only_uv_knows_is_used_too(tmp_path: Path, bundle: Path) -> None:
    index = {"UV_DEFAULT_INDEX": "https://uv.example/simple"}
    shell(f"write_pip_secrets {tmp_path}", PIP_CERT=str(bundle), PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL="", **index)
    assert "index-url = https://uv.example/simple" in (tmp_path / "pip_conf").read_text()


def test_an_unknown_image_is_refused_before_anything_is_built() -> None:
    done = subprocess.run([ROOT / "scripts" / "build_images", "launchr"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "build_images: no image is called launchr; there are launcher and worker\n"

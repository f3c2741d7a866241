"""A TCP relay before a server that counts what comes back."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_CHUNK_BYTES = 1 << 20


@dataclass
class Received:
    """Bytes from the server to its clients: bodies, HTTP headers and all."""

    total: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        with self.lock:
            self.total += count


@contextmanager
def counting_relay(host: str, port: int) -> Iterator[tuple[int, Received]]:
    """The relay's own port on loopback, and the count so far."""
    received = Received()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        threading.Thread(target=_accept, args=(listener, (host, port), received), daemon=True).start()
        try:
            yield int(listener.getsockname()[1]), received
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, server: tuple[str, int], received: Received) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # the relay is closed
        upstream = socket.create_connection(server)
        threading.Thread(target=_copy, args=(client, upstream, None), daemon=True).start()
        threading.Thread(target=_copy, args=(upstream, client, received), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket, received: Received | None) -> None:
    """Until the source says that it is done, or either end hangs up."""
    try:
        while chunk := source.recv(_CHUNK_BYTES):
            if received:
                received.add(len(chunk))
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()

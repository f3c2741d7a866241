"""A TCP relay before a server that counts what comes back."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    """The relay's own port on loopback, and the count so far. Clients must have hung up at the end."""
    received = Received()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        accepting = threading.Thread(target=_accept, args=(listener, (host, port), received))
        accepting.start()
        try:
            yield int(listener.getsockname()[1]), received
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listener: socket.socket, server: tuple[str, int], received: Received) -> None:
    connections = []
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # the relay is closed
            break
        connections.append(threading.Thread(target=_connect, args=(client, server, received)))
        connections[-1].start()
    for connection in connections:
        connection.join()


def _connect(client: socket.socket, server: tuple[str, int], received: Received) -> None:
    with client, socket.create_connection(server) as upstream:
        asking = threading.Thread(target=_copy, args=(client, upstream, None))
        asking.start()
        _copy(upstream, client, received)
        asking.join()


def _copy(source: socket.socket, target: socket.socket, received: Received | None) -> None:
    """Until the source says that it is done, or either end hangs up."""
    with suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            if received:
                received.add(len(chunk))
            target.sendall(chunk)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RD if end is source else socket.SHUT_WR)

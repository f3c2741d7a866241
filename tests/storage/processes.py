"""Run as a program by test_client.py: reads by obstore in processes that are started in several ways."""

import multiprocessing
import sys
from multiprocessing.connection import Connection
from typing import Any

import click

from datascaler import storage


def read_by_obstore(url: str, answers: Connection) -> None:
    storage.use_client("obstore")
    content = storage.read_ranges(url, [(number, number + 2) for number in range(0, 30, 2)])
    answers.send((b"".join(content), "obstore" in sys.modules))


def main(method: str, url: str) -> None:
    """Reads here, then in a child; prints both answers. A child that hangs is the caller's to time out."""
    if method == "fork":
        storage.use_client("obstore")
    click.echo(storage.read_bytes(url, 0, 30))
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=read_by_obstore, args=(url, sender))
    child.start()
    content, loaded = receiver.recv()
    child.join()
    click.echo(f"{content.decode()} {loaded} {child.exitcode}")


if __name__ == "__main__":
    main(*sys.argv[1:])

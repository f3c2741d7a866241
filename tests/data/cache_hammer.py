"""Run as a program by test_block_cache.py: puts and gets at random for some seconds, and checks what it gets."""

import random
import sys
import time
from pathlib import Path

import click

from datascaler.data.read.cache import BlockCache


def content_of(key: str) -> bytes:
    """What the key stands for: a few kB that no other key has."""
    generator = random.Random(key)
    return generator.randbytes(generator.randrange(1, 8_000))


def main(folder: str, max_bytes: int, seconds: float, seed: int) -> None:
    """Prints the numbers of hits and of wrong answers."""
    cache = BlockCache(Path(folder), max_bytes)
    generator = random.Random(seed)
    hits = wrong = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        key = f"block-{generator.randrange(400)}"
        found = cache.get(key)
        if found is None:
            cache.put(key, content_of(key))
        else:
            hits += 1
            wrong += found != content_of(key)
    click.echo(f"{hits} {wrong}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))

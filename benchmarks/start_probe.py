"""A `datascaler` command in this process, which ends where the first shard is opened, or says what it has loaded.

python -m benchmarks.start_probe first-read|to-the-end VERB ...
"""

import atexit
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

FIRST_READ, TO_THE_END = "first-read", "to-the-end"


def argv_of(until: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "benchmarks.start_probe", until, *arguments]


def main() -> NoReturn:
    until, *arguments = sys.argv[1:]
    if until == FIRST_READ:
        sys.addaudithook(_end_at_a_shard)
        atexit.register(os._exit, 3)  # no shard was opened
    else:
        atexit.register(lambda: print(json.dumps(sorted(sys.modules))))  # noqa: T201
    sys.argv = ["datascaler", *arguments]
    from datascaler.__main__ import main as command

    command()


def _end_at_a_shard(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and str(arguments[0]).endswith(".tar"):
        os._exit(0)


if __name__ == "__main__":
    main()

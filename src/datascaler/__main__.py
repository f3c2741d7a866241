"""The `datascaler` command as a process: it can be stopped from its first import on, and ends with its exit code."""

import os
import sys
from typing import NoReturn

from datascaler import stop
from datascaler.output_streams import guard_output, write_error


def main() -> NoReturn:
    exit_code = 0
    try:
        try:
            guard_output()
            stop.listen()
            _run()
        finally:
            stop.only_remember()
    except SystemExit as error:
        exit_code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        exit_code = 1
        # What comes of a request is no fault.
        if not stop.stop_requested():
            sys.excepthook(*sys.exc_info())
    _leave(exit_code)


def _run() -> None:
    # Processes that are started by whatever library look for modules where this one does: not in the working folder.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    # As numpy is loaded, its OpenBLAS starts a thread for every core, and each would wait for work by spinning for 2^26
    # cycles; now it is 2^4, and then they sleep. Calls that use them take as long as before.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    if "DATASCALER_PARENT_PID" in os.environ:
        from datascaler.tools.child_processes import end_with_parent

        end_with_parent()
    from datascaler.cli.main import main as run

    run()


def _leave(exit_code: int) -> NoReturn:
    """The interpreter's own way out waits for threads that may wait for a store, and pulls others out of libraries'
    code that cannot bear it: the process would abort, and whoever started it see a signal in place of the code.
    """
    import atexit

    stop.only_remember()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # a result that nobody has: a full disk, or a reader that is gone
            exit_code = exit_code or 1
    request = stop.the_request()
    if request and exit_code != request.exit_code:
        write_error(f"datascaler: error: {request}\n")
    os._exit(request.exit_code if request else exit_code)


if __name__ == "__main__":
    main()

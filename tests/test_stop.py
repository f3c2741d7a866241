"""SIGTERM and Ctrl-C: a command ends with 143 or 130, whatever becomes of the exception that is raised in it."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from datascaler.output_streams import guard_output

COMMAND = """
import atexit, os, signal, sys, threading, time, types, weakref
from datascaler import stop
from datascaler.errors import ConfigError

def send(number=signal.{name}):
    os.kill(os.getpid(), number)

def work():
{body}

module = types.ModuleType("datascaler.cli.main")
module.main = work
sys.modules["datascaler.cli.main"] = module
from datascaler.__main__ import main
main()
"""
"""The command's own way in and out around a piece of work that is told to stop."""

TAKEN = {
    "by a bare except": """
try:
    send()
except:
    pass
time.sleep(60)
""",
    "again and again": """
send_once = iter([send])
while True:
    try:
        next(send_once, lambda: time.sleep(60))()
    except:
        pass
""",
    "by a finalizer": """
class Held:
    def __del__(self):
        send()
Held()
time.sleep(60)
""",
    "by the callback of a weak reference": """
class Held: pass
held = Held()
reference = weakref.ref(held, lambda _: send())
del held
time.sleep(60)
""",
    "by an import that carries on without": """
sys.path.insert(0, sys.argv[1])
import optional
time.sleep(60)
""",
    "and made another error": """
try:
    send()
except BaseException as error:
    raise ConfigError("cannot load the model") from None
""",
    "and made a bug": """
try:
    send()
except BaseException:
    raise AttributeError("half of a module")
""",
    "until the work was done": """
try:
    send()
except:
    pass
sys.exit(0)
""",
    "by whoever exits": """
atexit.register(send)
""",
    "by nobody": """
send()
""",
}


def run(
    body: str,
    name: str = "SIGTERM",
    *arguments: str,
    stderr: int | None = subprocess.PIPE,
    before: Callable[[], object] | None = None,
) -> "subprocess.CompletedProcess[str]":
    script = COMMAND.format(name=name, body="".join(f"    {line}\n" for line in body.strip().splitlines()))
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=50, check=False, preexec_fn=before
    )


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("taken", TAKEN)
def test_a_request_that_is_taken_still_ends_the_command(taken: str, name: str, tmp_path: Path) -> None:
    module = f"import os, signal\ntry:\n    os.kill(os.getpid(), signal.{name})\nexcept:\n    pass\n"
    (tmp_path / "optional.py").write_text(module)
    done = run(TAKEN[taken], name, str(tmp_path))
    assert done.returncode == {"SIGTERM": 143, "SIGINT": 130}[name]
    assert (done.stdout, done.stderr) == ("", "datascaler: error: stopped on request; the same command goes on\n")


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_what_a_job_manager_or_a_lost_terminal_sends(name: str) -> None:
    # The tests themselves may be run by nohup.
    done = run(TAKEN["by nobody"], name, before=partial(signal.signal, getattr(signal, name), signal.SIG_DFL))
    assert (done.returncode, done.stderr) == (143, "datascaler: error: stopped on request; the same command goes on\n")


def test_nohup_keeps_what_it_promises() -> None:
    done = run("send()\nprint('went on')", "SIGHUP", before=partial(signal.signal, signal.SIGHUP, signal.SIG_IGN))
    assert (done.returncode, done.stdout) == (0, "went on\n")


SAYING = """
for number in range(3):
    print("progress", number, file=sys.stderr, flush=True)
with open(sys.argv[1], "w") as file:
    file.write("a table")
    print("more progress", file=sys.stderr, flush=True)
send()
"""


@pytest.mark.parametrize("name", ["full", "closed", "gone"])
def test_a_display_that_fails_does_not_end_the_work(name: str, tmp_path: Path) -> None:
    """Nor is what it was to show written into a file that was opened in its place."""
    made = tmp_path / "made"
    reader, writer = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("w") as full:
        errors = {"full": full.fileno(), "closed": None, "gone": writer}[name]
        before = partial(os.close, 2) if name == "closed" else None
        done = run(SAYING, "SIGTERM", str(made), stderr=errors, before=before)
    os.close(writer)
    assert (done.returncode, made.read_text()) == (143, "a table")


def test_what_a_display_could_not_show_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    class Disk(io.StringIO):
        is_full = True

        def write(self, text: str) -> int:
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(text)

    disk = Disk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", disk)
        guard_output()
        sys.stderr.write("lost\n")
        disk.is_full = False
        sys.stderr.write("shown\n")
    assert disk.getvalue() == "datascaler: warning: up to 5 letters could not be shown here\nshown\n"
    assert capsys.readouterr().err == ""


def test_cleaning_up_is_not_cut_short() -> None:
    body = """
try:
    send()
finally:
    try:
        raise ValueError
    except ValueError:
        time.sleep(2.5)
    print("cleaned up")
"""
    done = run(body)
    assert (done.returncode, done.stdout) == (143, "cleaned up\n")


def test_a_step_in_hand_is_finished() -> None:
    body = """
with stop.deferred():
    for step in range(9):
        send()
        time.sleep(0.4)
        print("step", step)
        if step == 3 and stop.stop_requested():
            raise stop.stopped("stopped at step 3")
"""
    done = run(body)
    assert (done.returncode, done.stdout.count("step")) == (143, 4)


def test_a_request_in_the_last_step_is_heard_after_it() -> None:
    body = """
with stop.deferred():
    send()
    print("last step")
print("and more")
"""
    done = run(body)
    assert (done.returncode, done.stdout) == (143, "last step\n")


def test_a_second_ctrl_c_ends_at_once_and_one_that_comes_twice_does_not() -> None:
    body = """
with stop.deferred():
    send()
    send()
    print("still there", flush=True)
    time.sleep(1.2)
    send()
    time.sleep(60)
"""
    started = time.monotonic()
    done = run(body, "SIGINT")
    assert time.monotonic() - started < 40
    assert (done.returncode, done.stdout) == (130, "still there\n")
    assert done.stderr == "datascaler: error: ended at once; the same command goes on\n"


def test_a_loop_in_a_program_that_is_not_our_command_gives_the_signals_back() -> None:
    from datascaler import stop
    from datascaler.errors import StoppedByUserError

    before = [signal.getsignal(number) for number in stop.SIGNALS]
    with pytest.raises(StoppedByUserError), stop.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.stop_requested()
    assert [signal.getsignal(number) for number in stop.SIGNALS] == before
    assert not stop.stop_requested()


def test_threads_that_wait_and_exit_codes_that_are_told() -> None:
    """The interpreter waits for such a thread, or aborts where one is inside a library."""
    body = """
threading.Thread(target=time.sleep, args=(60,)).start()
print("done")
sys.exit(65)
"""
    started = time.monotonic()
    done = run(body)
    assert time.monotonic() - started < 40
    assert (done.returncode, done.stdout) == (65, "done\n")


def test_a_bug_keeps_its_traceback() -> None:
    done = run('raise AttributeError("a bug")')
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("AttributeError: a bug\n")


def test_a_result_that_cannot_be_written_is_no_success() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "datascaler", "--version"], stdout=full, check=False)
    assert done.returncode == 1

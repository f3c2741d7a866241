"""All errors that a user can meet, as one tree. The exit code sits on the class.

    DatascalerError             1   something the user can mend; printed as one line
    ├── ConfigError            78   a wrong spec or input file: no retry will help (a pod fails its job)
    │   ├── NoWeightsError     78   a file that was given as weights is something else
    │   ├── DamagedError       78   a file is not as it was written: bits have changed, or a part is missing
    │   └── OtherResultError   78   a task has a result already, of another definition or of other data
    ├── BadInputError          65   some shards, evaluation sets or tables can't be used; the others are finished
    │   ├── TarDamageError     65   an archive can't be followed beyond some byte
    │   ├── NotAsPlannedError  65   a pool's samples are not those that its plan was made from
    │   └── UnusableLogError   65   the log beside a shard can't stand for its tar
    ├── ImageDecodeError        1   some bytes are not an image that can be read whole
    ├── StorageError            1   a URL could not be read or written
    │   └── NotFoundError       1   the URL does not exist
    ├── DivergedError          79   a training run's loss is not finite: the same command would meet it again
    │   └── GivenUpError       79   its loss was above a limit that it had been given
    ├── TryAgainError          75   a passing failure: the same command, started again, goes on
    ├── ChildError              *   a training process failed: the exit code is that process's
    ├── ClusterError            1   Kubernetes or helm refused something, or could not be reached
    │   ├── RefusedError        1   the API server said no
    │   ├── OtherRunError       1   there is a run of that name, made from other values
    │   └── StepRefusedError   78   a step of a pipeline can't be created: no retry will help
    ├── RunFailedError        100   a run in the cluster failed
    ├── NotFinishedError      101   a run in the cluster has not finished (in time)
    ├── RunNotFoundError      102   there is no such run in the cluster
    ├── RunCancelledError     103   a run in the cluster was deleted before it ended
    └── PartlyFailedError     104   some indexes, or some runs of a list, failed; the others are done

    StoppedError              143   SIGTERM arrived and work stopped cleanly; no Exception, so that nobody who handles
    │                               those takes it for a failure of what was being done
    └── StoppedByUserError    130   the same for Ctrl-C

Usage errors (unknown flag, missing argument, a value that can't be) are click's and exit with 2. What is none of these
is told in two lines (`foreign_errors`), and exits with 1 unless its kind is known; `--debug` shows every traceback.

One bad item of many ends nothing: it becomes a line with its reason, the others are done, published and printed, and
then the verb exits with 65 (items of data) or 104 (runs). What is wrong for all items stops at once.
"""

from typing import Any, Literal, Self

from datascaler.safe_text import safe_message

EarlyEnd = Literal["diverged", "given up"]
"""How a training run ends that starting again would not bring further."""


class DatascalerError(Exception):
    """Base of everything that is printed as one line instead of a traceback.

    Its classes, and the exit codes that commands make of them, are in `datascaler.errors`.

    Example:
        >>> try:
        ...     open_pool("no-such-folder")
        ... except DatascalerError as error:
        ...     print(type(error).__name__, error.exit_code, "no .tar files" in str(error))
        ConfigError 78 True
    """

    exit_code = 1
    finished: Any = None
    """The result of the other items, where only some failed; the verb prints it before this error."""

    def __init__(self, *lines: str) -> None:
        """One line, or several that are printed below one another; each is made safe to be shown."""
        super().__init__(*map(safe_message, lines))

    def __str__(self) -> str:
        return "\n  ".join(self.args)

    def after(self, finished: Any) -> Self:
        """The same error, with what was finished all the same."""
        self.finished = finished
        return self


class ConfigError(DatascalerError):
    exit_code = 78


class NoWeightsError(ConfigError):
    """The text says what the file is, and what to do."""


class DamagedError(ConfigError):
    pass


class BadInputError(DatascalerError):
    exit_code = 65


class OtherResultError(ConfigError):
    pass


class TarDamageError(BadInputError):
    """The archive can't be followed beyond `offset` (bytes from its start)."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset


class NotAsPlannedError(BadInputError):
    pass


class UnusableLogError(BadInputError):
    """The text says which log, and why."""


class ImageDecodeError(DatascalerError):
    pass


class StorageError(DatascalerError):
    exit_code = 1


class NotFoundError(StorageError):
    pass


class DivergedError(DatascalerError):
    exit_code = 79
    state: EarlyEnd = "diverged"
    happened = "diverged"
    """What to say of a run: it ..."""


class GivenUpError(DivergedError):
    state = "given up"
    happened = "was given up"


class TryAgainError(DatascalerError):
    exit_code = 75


class ChildError(DatascalerError):
    """The process's own message is on stderr."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ClusterError(DatascalerError):
    exit_code = 1


class RefusedError(ClusterError):
    """`status` is the HTTP code of the API server's answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
        self.may_pass = False
        """Whether the server has allowed this a moment ago, or is not ready to tell."""


class OtherRunError(ClusterError):
    pass


class StepRefusedError(ClusterError):
    exit_code = 78


class RunFailedError(DatascalerError):
    exit_code = 100


class NotFinishedError(DatascalerError):
    exit_code = 101


class RunNotFoundError(DatascalerError):
    exit_code = 102


class RunCancelledError(DatascalerError):
    exit_code = 103


class PartlyFailedError(DatascalerError):
    exit_code = 104


class StoppedError(BaseException):
    exit_code = 143


class StoppedByUserError(StoppedError):
    exit_code = 130


def first_line(error: BaseException) -> str:
    """What a foreign error says, short enough to stand inside one of ours; the reason may be what follows a colon."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    said = lines[0]
    for line in lines[1:]:
        if not said.endswith(":"):
            break
        said = f"{said} {line}"
    return safe_message(said)

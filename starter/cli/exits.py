"""Exit codes, and which one an error ends with."""

import sys
from enum import IntEnum

from workflows.contract import Snapshot, TaskRecord
from workflows.wire.errors import UNKNOWN_SCHEDULE, ErrorType, SessionError


class ExitCode(IntEnum):
    """What a script learns without reading the output."""

    DONE = 0
    TASK_NOT_COMPLETED = 1
    USAGE = 2
    NO_SERVER = 3
    NO_WORKER = 4
    REFUSED = 5
    NOT_FOUND = 6
    SESSION_CLOSED = 7
    STILL_WAITING = 8
    WORKER_FAILS = 9
    BUG = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.TASK_NOT_COMPLETED: "the task failed, was cancelled, timed out or expired",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.NO_SERVER: "no Temporal server, or it would not serve",
    ExitCode.NO_WORKER: "no worker answers; what was sent stays in the session",
    ExitCode.REFUSED: "refused: InvalidRequest, QueueFull, Busy, TaskIdConflict and the like",
    ExitCode.NOT_FOUND: "no such session, task, schedule or file",
    ExitCode.SESSION_CLOSED: "the session is closed or closing",
    ExitCode.STILL_WAITING: "the time to wait is over; the task goes on",
    ExitCode.WORKER_FAILS: "a worker runs, but its code fails over the session, which waits for other code",
    ExitCode.BUG: "a bug; with PYTHONDEVMODE=1 it shows where",
    ExitCode.INTERRUPTED: "Ctrl-C, or no to a question; what was sent goes on",
}

_BY_NAME = {
    ErrorType.SESSION_NOT_FOUND: ExitCode.NOT_FOUND,
    ErrorType.UNKNOWN_TASK: ExitCode.NOT_FOUND,
    UNKNOWN_SCHEDULE: ExitCode.NOT_FOUND,
    ErrorType.FILE_NOT_FOUND: ExitCode.NOT_FOUND,
    ErrorType.SESSION_CLOSED: ExitCode.SESSION_CLOSED,
}


class CommandError(Exception):
    """The end of a command: one line for a person, a code for a script."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def not_completed(record: TaskRecord) -> CommandError:
    """How to end when a task did not complete: refused ones by the refusal's name, others as not completed."""
    error = record.error
    why = f": {error.type}: {error.message}" if error else ""
    code = _code(error.type) if error and record.status == "rejected" else ExitCode.TASK_NOT_COMPLETED
    return CommandError(code, f"task {record.task_id} {record.status.replace('_', ' ')}{why}")


def refusal(message: str, task_id: str | None, before: Snapshot, after: Snapshot) -> SessionError | None:
    """Why a message about that task was refused, if it was between two looks at the session."""
    entries = [entry for entry in after.rejected if (entry.message, entry.task_id) == (message, task_id)]
    error = entries[-1].error if entries and entries[-1] not in before.rejected else None
    return SessionError(error.type, error.message) if error else None


def command_error(error: Exception) -> CommandError:
    """How to end on `error`."""
    from temporalio.client import WorkflowFailureError  # noqa: PLC0415 (takes 0.2 s; usage errors do without)
    from temporalio.service import RPCError, RPCStatusCode  # noqa: PLC0415 (the same)

    from starter.client.calls import NoWorkerError, WorkerFailsError  # noqa: PLC0415 (the same)
    from starter.client.connection import NoServerError  # noqa: PLC0415 (the same)
    from starter.client.erasure import NotErasedError  # noqa: PLC0415 (the same)

    code, message = ExitCode.BUG, f"unexpected {type(error).__name__}: {error}"
    match error:
        case CommandError():
            return error
        case SessionError():
            hint = " (`list` shows the sessions, `open` opens one)" if error.type == ErrorType.SESSION_NOT_FOUND else ""
            code, message = _code(error.type), f"{error}{hint}"
        case NoServerError() | NotErasedError() | TimeoutError():  # the last of a server that lets a schedule lie
            code, message = ExitCode.NO_SERVER, str(error)
        case WorkerFailsError():
            code, message = ExitCode.WORKER_FAILS, str(error)
        case NoWorkerError():
            code, message = ExitCode.NO_WORKER, str(error)
        case WorkflowFailureError():
            code, message = ExitCode.SESSION_CLOSED, f"the session did not end by itself: {error.cause}"
        case RPCError() if error.status == RPCStatusCode.INVALID_ARGUMENT:
            code, message = ExitCode.REFUSED, f"the Temporal server refused the request: {error}"
        case RPCError():
            code, message = ExitCode.NO_SERVER, f"the Temporal server does not serve: {error}"
        case _ if sys.flags.dev_mode:
            raise error
    return CommandError(code, message)


def _code(name: str) -> ExitCode:
    return {str(known): code for known, code in _BY_NAME.items()}.get(name, ExitCode.REFUSED)

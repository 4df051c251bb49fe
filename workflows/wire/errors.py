"""The error names of the contract, and the one exception that carries them.

Every name answers one question for the caller: what became of my message or my task?

    refused requests   SessionClosed, SessionNotFound, InvalidRequest, QueueFull, Busy, TaskIdConflict,
                       UnknownTask, NotWaiting, InputTooLarge, ContextTooLarge, ContextConflict, UnknownVersion
    ends of a task     UnknownKind, ChildRefused, OutputTooLarge, InvalidOutput, PatchNotAllowed, ContextConflict,
                       ContextTooLarge, TaskFailed, TaskTimedOut, TaskCancelled, TaskExpired, TaskTerminated
    what is encrypted  KeyMissing: whoever raises it lacks the key; nothing is lost, and with the key it goes on
    stored files       FileTooLarge, FileNotFound, FilesUnavailable: of the client, and as ends of a task

A name travels as the `type` of an `ApplicationError`, as `error.type` of a task record or of a rejected entry,
and at the start of a query's error message. None of them is worth a retry of the same message.
A query or an update may also fail as `NotReady`, when a worker has just started or a run has just ended: ask again.
"""

from enum import StrEnum

NOT_READY = "NotReady"
"""How a query fails that its worker cannot answer yet, and an update whose run is over: both are worth asking again."""

UNKNOWN_SCHEDULE, SCHEDULE_CONFLICT = "UnknownSchedule", "ScheduleConflict"
"""What a client says of schedules, which no session knows of: there is none of that name, or one with another body."""


_KEY_ID_CHARS = 64
"""Of a key's id that an error shows: ours are no longer, and what others write there is not ours to repeat."""


class ErrorType(StrEnum):
    """Error names as they appear on the wire."""

    SESSION_CLOSED = "SessionClosed"
    SESSION_NOT_FOUND = "SessionNotFound"
    INVALID_REQUEST = "InvalidRequest"
    QUEUE_FULL = "QueueFull"
    BUSY = "Busy"
    TASK_ID_CONFLICT = "TaskIdConflict"
    UNKNOWN_TASK = "UnknownTask"
    UNKNOWN_KIND = "UnknownKind"
    NOT_WAITING = "NotWaiting"
    INPUT_TOO_LARGE = "InputTooLarge"
    OUTPUT_TOO_LARGE = "OutputTooLarge"
    CONTEXT_TOO_LARGE = "ContextTooLarge"
    INVALID_OUTPUT = "InvalidOutput"
    PATCH_NOT_ALLOWED = "PatchNotAllowed"
    CONTEXT_CONFLICT = "ContextConflict"
    UNKNOWN_VERSION = "UnknownVersion"
    TASK_FAILED = "TaskFailed"
    TASK_TIMED_OUT = "TaskTimedOut"
    TASK_CANCELLED = "TaskCancelled"
    TASK_EXPIRED = "TaskExpired"
    TASK_TERMINATED = "TaskTerminated"
    CHILD_REFUSED = "ChildRefused"
    BUDGET_SPENT = "BudgetSpent"
    KEY_MISSING = "KeyMissing"
    FILE_TOO_LARGE = "FileTooLarge"
    FILE_NOT_FOUND = "FileNotFound"
    FILES_UNAVAILABLE = "FilesUnavailable"


class SessionError(Exception):
    """A refusal or a failure under its contract name.

    `type` is the name (an `ErrorType`, or the failure's own type where a task's error keeps it), `message` the text
    for a person. The pure state raises it, the session turns it into an `ApplicationError`, the client raises it.
    """

    def __init__(self, type: str, message: str) -> None:  # noqa: A002 (the wire name)
        super().__init__(f"{type}: {message}")
        self.type = str(type)
        self.message = message


class KeyMissingError(SessionError):
    """KeyMissing: something is encrypted with a key that this program has not, or has another one by the same name."""

    def __init__(self, key_id: str, *, other: bool = False) -> None:
        self.key_id = key_id
        why = "here is another key by that name" if other else "it is not here"
        message = f"this is encrypted with the key {key_id[:_KEY_ID_CHARS]!r}: {why} (SESSIONS_ENCRYPTION_KEYS)"
        super().__init__(ErrorType.KEY_MISSING, message)


def refusal_in(message: str) -> SessionError | None:
    """The refusal that the error message of a query begins with; none in that of code which fails in some other way."""
    name, _, text = message.partition(": ")
    return SessionError(name, text) if name in {NOT_READY, *ErrorType} else None

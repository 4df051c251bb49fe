"""The wire types, version 1. Optional fields are null when empty; lists may be read as null, never written so."""

from typing import Any, Literal

from pydantic import Field

from workflows import fields as f
from workflows import limits
from workflows.fields import Carried, Request

CONTRACT_VERSION = 1
SESSION_TYPE = "Session"  # the workflow type; refused as a task's kind


def task_workflow_id(session_id: str, task_id: str) -> str:
    """The workflow id of a task: the only place that builds it."""
    return f"{session_id}/{task_id}"


class Config(Request):
    """How a session behaves. Durations in seconds; `idle_timeout` null means never."""

    owner: f.Name | None = None
    title: f.Name | None = None
    labels: f.Labels = Field(default_factory=dict)
    default_kind: f.Kind = "Answer"
    task_timeout: f.Seconds = 3600.0
    cancel_grace: f.Grace = 30.0
    max_pending: f.PendingCap = limits.PENDING_TASKS
    idle_timeout: f.Seconds | None = None
    on_failure: Literal["continue", "pause"] = "continue"
    read: f.Read = "all"
    transcript: f.Turns = 20


class ConfigureRequest(Config):
    """The settings to change; what is not named stays."""

    request_id: f.Name | None = None


class ContextPolicy(Request):
    """What of the session's context a task sees, and whether it may change it. Null takes the session's default."""

    read: f.Read | None = None
    transcript: f.Turns | None = None
    write: bool | None = None


ISOLATED = ContextPolicy(read="none", transcript=0, write=False)  # sees nothing, leaves nothing


class TaskRequest(Request):
    """One task. `task_id` is the sender's idempotency key; null options take the session's default."""

    task_id: f.Id
    input: Any
    kind: f.Kind | None = None
    context: ContextPolicy | None = None
    on_busy: f.OnBusy | None = None
    not_before: f.Timestamp | None = None
    expires_at: f.Timestamp | None = None
    timeout: f.Seconds | None = None
    task_queue: f.TaskQueue | None = None
    labels: f.Labels = Field(default_factory=dict)


class CancelRequest(Request):
    """Cancel one task, waiting or running."""

    task_id: f.Id
    reason: f.Reason | None = None


class Question(Carried):
    """What a task asks a person: an answer is one of `choices`, where there are any, and comes before `expires_at`."""

    id: f.Name
    text: f.QuestionText
    choices: f.Choices | None = None
    expires_at: f.Timestamp | None = None


class WaitingNotice(Request):
    """From a task to its session: what it waits for a person to answer, or null when it waits no more."""

    task_id: f.Id
    question: Question | None


class Answer(Carried):
    """From a session to its task."""

    question_id: str
    value: Any


class RespondRequest(Request):
    """An answer for a task that waits for a person."""

    task_id: f.Id
    question_id: f.Name | None = None
    value: Any


class CloseRequest(Request):
    """End the session: finish the list, finish the running task only, or cancel that too."""

    mode: f.CloseMode = "drain"
    reason: f.Reason | None = None


class ContextPatch(Request):
    """A change of context values, applied in the order unset, set, append."""

    set: f.Values = Field(default_factory=dict)
    unset: f.Keys = Field(default_factory=list)
    append: f.Appends = Field(default_factory=dict)


class PatchRequest(Request):
    """A context change from outside; refused when the context is not at `expected_version`."""

    patch: ContextPatch
    expected_version: int | None = None
    request_id: f.Name | None = None


class RollbackRequest(Request):
    """Make a new version with the values and the transcript as of an old one."""

    version: int
    request_id: f.Name | None = None


class ForkSource(Request):
    """The session, open or closed, and the version whose context a new session begins with."""

    session_id: f.Id
    version: int | None = None


class StartRequest(Request):
    """Start input of a session. `state` is what an earlier run of it hands over; never sent from outside."""

    config: Config = Field(default_factory=Config)
    context: f.Values = Field(default_factory=dict)
    fork_of: ForkSource | None = None
    state: dict[str, Any] | None = None


class Turn(Carried):
    """One finished task in the transcript; `version` is the context version it made."""

    task_id: str
    version: int
    input: Any = None
    output: Any = None
    finished_at: f.Timestamp
    truncated: bool = False


class InjectedContext(Carried):
    """All that a task sees of its session, as of `version`. With `write` false it must return no patch."""

    version: int
    write: bool
    values: dict[str, Any]
    transcript: list[Turn]


class TaskInput(Carried):
    """The argument of every kind's `run`."""

    contract: int = CONTRACT_VERSION
    session_id: str
    task_id: str
    input: Any
    context: InjectedContext


class TaskOutput(Carried):
    """The result of every kind's `run`."""

    output: Any
    patch: ContextPatch | None = None
    usage: f.Usage | None = None


class ErrorInfo(Carried):
    """A named error."""

    type: str
    message: str


class ContextVersions(Carried):
    """The version a task saw and the one it left; `after` is null unless it completed."""

    before: int | None = None
    after: int | None = None


class TaskRecord(Carried):
    """What is known of one task: `position` counts those ahead (0 = next); too old a one keeps only id and status."""

    task_id: str
    kind: str
    status: f.TaskStatus
    position: int | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    submitted_at: f.Timestamp | None
    started_at: f.Timestamp | None = None
    finished_at: f.Timestamp | None = None
    input_preview: str
    output: Any = None
    error: ErrorInfo | None = None
    context_version: ContextVersions = Field(default_factory=ContextVersions)
    usage: dict[str, int | float] | None = None
    waiting_for: Question | None = None
    run_id: str | None = None
    truncated: bool = False


class RejectedEntry(Carried):
    """One refused message: its name, what it was refused for, how it began."""

    at: f.Timestamp
    message: str
    task_id: str | None = None
    kind: str | None = None
    error: ErrorInfo
    preview: str


class PendingEntry(Carried):
    """One waiting task in the snapshot."""

    task_id: str
    kind: str
    not_before: f.Timestamp | None = None
    input_preview: str


class Counters(Carried):
    """Totals over the session's life. `submitted` counts accepted tasks, `rejected` refused messages."""

    submitted: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    timed_out: int = 0
    expired: int = 0
    rejected: int = 0


class Snapshot(Carried):
    """The session at a glance; the result of a closed one. `recent`: finished tasks, oldest first, without outputs."""

    contract: int = CONTRACT_VERSION
    session_id: str
    status: f.SessionStatus
    config: Config
    started_at: f.Timestamp
    running: TaskRecord | None
    pending: list[PendingEntry]
    recent: list[TaskRecord]
    context_version: int
    counters: Counters
    rejected: list[RejectedEntry]


class LogEntry(Carried):
    """One context version: who made it and which keys it changed."""

    version: int
    by: str
    at: f.Timestamp
    changed: list[str]
    truncated: bool = False


class ContextView(Carried):
    """The context as of `version`, and the log of versions."""

    version: int
    values: dict[str, Any]
    transcript: list[Turn]
    log: list[LogEntry]
    truncated: bool = False


class SubmitResult(Carried):
    """Answer of `submit_task`."""

    task_id: str
    status: f.TaskStatus
    position: int | None

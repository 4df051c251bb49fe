"""What a session answers. Optional fields are null when empty; lists may be read as null, never written so."""

from typing import Any

from pydantic import Field

from workflows.wire import fields as f
from workflows.wire.fields import Carried
from workflows.wire.ids import CONTRACT_VERSION
from workflows.wire.requests import Config
from workflows.wire.tasks import ErrorInfo, Question, Turn


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
    finish_reason: f.FinishReason = None
    waiting_for: Question | None = None
    run_id: str | None = None
    truncated: bool = False


class TaskEvent(Carried):
    """What a task does: `status`, `text`, `progress`, `question`, `restarted`, `truncated`, `ended`, or its kind's own.

    `cursor`: the place after it, `<attempt>.<position>`, where reading goes on. `restarted`: what was shown of an
    earlier attempt is void. `record`: the task as it stood then, as it ended where it has.
    """

    type: str
    cursor: str
    text: str | None = None
    data: Any = None
    record: TaskRecord | None = None


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
    """The session at a glance; the result of a closed one. `recent`: finished tasks, oldest first, without outputs.

    `usage`: what all tasks that ended have used. `paused_by`: why it starts no task, while it is paused.
    Where a client tells `status` to be an unclean end, the rest is how the session stood then.
    """

    contract: int = CONTRACT_VERSION
    session_id: str
    status: f.SessionStatus | f.UncleanEnd
    config: Config
    started_at: f.Timestamp
    running: TaskRecord | None
    pending: list[PendingEntry]
    recent: list[TaskRecord]
    context_version: int
    counters: Counters
    rejected: list[RejectedEntry]
    usage: dict[str, int | float] = Field(default_factory=dict)
    paused_by: f.PausedBy | None = None


class LogEntry(Carried):
    """One context version: who made it and which keys it changed."""

    version: int
    by: str
    at: f.Timestamp
    changed: list[str]
    truncated: bool = False


class ContextView(Carried):
    """The context as of `version`, and the log of versions.

    `fork_of`: the session whose context is to be read yet, and all that it will bring; null once that is done.
    """

    version: int
    values: dict[str, Any]
    transcript: list[Turn]
    log: list[LogEntry]
    truncated: bool = False
    fork_of: str | None = None


class SubmitResult(Carried):
    """Answer of `submit_task`."""

    task_id: str
    status: f.TaskStatus
    position: int | None

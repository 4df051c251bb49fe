"""What callers send to a session. Unknown fields are refused; null options take the session's default."""

from typing import Any, Literal

from pydantic import Field

from workflows.wire import fields as f
from workflows.wire import limits
from workflows.wire.fields import Request
from workflows.wire.tasks import ContextPatch


class Compact(Request):
    """When the session has a task of `kind` put its oldest turns into values: beyond so many, or so many bytes."""

    kind: f.Kind
    turns: f.CompactTurns = limits.COMPACT_TURNS
    bytes: f.CompactBytes = limits.COMPACT_BYTES


class Notify(Request):
    """Where to tell of what happens: `url` is sent the events that `on` names, signed; see `docs/callbacks.md`."""

    url: f.NotifyUrl
    on: f.NotifyEvents


class Config(Request):
    """How a session behaves. Durations in seconds; `idle_timeout` null means never.

    `queues`: the task queue of another worker for each kind that it hosts; a task's own `task_queue` comes first.
    `stream`: whether its tasks tell what they do while they do it, where their requests do not say.
    `budget`: what its tasks may use by the names of their `usage`; once a sum is reached, no further one starts.
    `compact`: how its oldest turns leave the transcript; null leaves that to the transcript's own bounds.
    `notify`: who is told when a task ends, or asks, the budget is reached, the session closes.
    """

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
    queues: f.Queues = Field(default_factory=dict)
    stream: bool = False
    compact: Compact | None = None
    budget: f.Budget | None = None
    notify: Notify | None = None


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
    """One task. `task_id` is the sender's idempotency key; null options take the session's default.

    `notify`: who is told of its end and its questions, instead of whom the session tells.
    `priority`: from 1, which goes first, to 5 among the tasks of all sessions that wait for the same workers; null is
    that of its session's start, 3. In its session it keeps its place.
    """

    task_id: f.Id
    input: Any
    kind: f.Kind | None = None
    context: ContextPolicy | None = None
    on_busy: f.OnBusy | None = None
    not_before: f.Timestamp | None = None
    expires_at: f.Timestamp | None = None
    timeout: f.Seconds | None = None
    task_queue: f.TaskQueue | None = None
    stream: bool | None = None
    notify: Notify | None = None
    priority: f.Priority | None = None
    labels: f.Labels = Field(default_factory=dict)


class CancelRequest(Request):
    """Cancel one task, waiting or running."""

    task_id: f.Id
    reason: f.Reason | None = None


class RespondRequest(Request):
    """An answer for a task that waits for a person."""

    task_id: f.Id
    question_id: f.Name | None = None
    value: Any


class CloseRequest(Request):
    """End the session: finish the list, finish the running task only, or cancel that too."""

    mode: f.CloseMode = "drain"
    reason: f.Reason | None = None


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


class ScheduledTaskStart(Request):
    """Start input of a ScheduledTask: what it submits to which session, for the nominal time that it is started for.

    `schedule`: the schedule's name, `request`: a TaskRequest without its `task_id`, `open`: the session to open where
    there is none yet.
    """

    session_id: f.Id
    schedule: f.ScheduleName
    request: dict[str, Any]
    open: Config | None = None

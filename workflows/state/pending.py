"""The pending list: accepted tasks that have not started, in the order their submission earned. Pure state."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, PrivateAttr

from workflows.contract import Config, ContextPolicy, Notify, PendingEntry, TaskRecord, TaskRequest
from workflows.wire import fields as f
from workflows.wire import limits
from workflows.wire.encoding import model_bytes, preview
from workflows.wire.fields import Carried
from workflows.wire.validation import check_input, known_fields_of


class PendingTask(Carried):
    """One accepted request with every default filled in. `timeout` in seconds; `stream` is true or null.

    `compacts`: of the session's own task, the version up to which turns are to leave the transcript; else null.
    """

    task_id: str
    input: Any = None
    kind: str
    read: f.Read
    transcript: int
    write: bool
    timeout: float
    not_before: f.Timestamp | None = None
    expires_at: f.Timestamp | None = None
    task_queue: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    on_busy: f.OnBusy = "enqueue"
    stream: bool | None = None
    priority: int | None = None
    compacts: int | None = None
    notify: Annotated[Notify | None, known_fields_of(Notify)] = None
    submitted_at: f.Timestamp

    @classmethod
    def accepted(cls, request: TaskRequest, config: Config, now: datetime) -> "PendingTask":
        """The task that `request` asks for under `config`. Raises SessionError: InvalidRequest, InputTooLarge."""
        check_input(request.input)
        policy = request.context or ContextPolicy()
        kind = request.kind or config.default_kind
        return cls(
            task_id=request.task_id,
            input=request.input,
            kind=kind,
            read=config.read if policy.read is None else policy.read,
            transcript=config.transcript if policy.transcript is None else policy.transcript,
            write=policy.write is not False,
            timeout=request.timeout or config.task_timeout,
            not_before=request.not_before,
            expires_at=request.expires_at,
            task_queue=request.task_queue or config.queues.get(kind),
            labels=request.labels,
            on_busy=request.on_busy or "enqueue",
            notify=request.notify,
            priority=request.priority,
            stream=(config.stream if request.stream is None else request.stream) or None,
            submitted_at=now,
        )

    @property
    def input_preview(self) -> str:
        """What was asked, in one line."""
        return preview(self.input, limits.PREVIEW_BYTES)

    def due(self, now: datetime) -> bool:
        """Whether nothing but its place in the list holds the task up."""
        return self.not_before is None or self.not_before <= now

    def record(self, position: int) -> TaskRecord:
        """The task as it stands, with `position` tasks ahead of it."""
        return TaskRecord(
            task_id=self.task_id,
            kind=self.kind,
            status="pending",
            position=position,
            labels=self.labels,
            submitted_at=self.submitted_at,
            input_preview=self.input_preview,
        )

    def entry(self) -> PendingEntry:
        """The task as the snapshot lists it."""
        return PendingEntry(
            task_id=self.task_id, kind=self.kind, not_before=self.not_before, input_preview=self.input_preview
        )


class PendingList(BaseModel):
    """What waits. A delayed task keeps the place of its submission but holds up nobody until it is due.

    Thousands of messages may come in one workflow task, which has two seconds: what each of them asks is indexed.
    """

    tasks: list[PendingTask] = Field(default_factory=list)
    _by_id: dict[str, PendingTask] = PrivateAttr(default_factory=dict)
    _timed: dict[str, PendingTask] = PrivateAttr(default_factory=dict)  # what time alone will change, in list order
    _bytes: dict[str, int] = PrivateAttr(default_factory=dict)

    def model_post_init(self, _context: Any, /) -> None:
        """Index what an earlier run handed over."""
        for task in self.tasks:
            self._index(task)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def bytes(self) -> int:
        """Weight of the list as it is carried."""
        return sum(self._bytes.values())

    def fits(self, task: PendingTask, max_tasks: int, max_bytes: int) -> bool:
        """Whether `task` may join without breaking either cap."""
        return len(self.tasks) < max_tasks and self.bytes + model_bytes(task) <= max_bytes

    def add(self, task: PendingTask, *, front: bool = False) -> None:
        """Append `task`, or put it before everything that waits."""
        self.tasks.insert(0 if front else len(self.tasks), task)
        self._index(task, front=front)

    def get(self, task_id: str) -> PendingTask | None:
        """The waiting task of that id."""
        return self._by_id.get(task_id)

    def position(self, task_id: str, now: datetime) -> int:
        """How many tasks run before this one, as things stand: earlier ones that are due no later than it is."""
        own = self._by_id[task_id]
        start = max(now, own.not_before) if own.not_before else now
        return sum(task.not_before is None or task.not_before <= start for task in self.tasks[: self._place(own)])

    def next_due(self, now: datetime) -> PendingTask | None:
        """The task that runs next, left in the list."""
        return next((task for task in self.tasks if task.due(now)), None)

    def remove(self, task: PendingTask) -> None:
        """Take `task` off the list."""
        del self.tasks[self._place(self._by_id.pop(task.task_id))], self._bytes[task.task_id]
        self._timed.pop(task.task_id, None)

    def expired(self, now: datetime) -> list[PendingTask]:
        """Tasks whose `expires_at` has passed while they waited."""
        return [task for task in self._timed.values() if task.expires_at is not None and task.expires_at <= now]

    def next_change(self, now: datetime) -> datetime | None:
        """When the passing of time alone will next make a task due or expire it."""
        times = [
            time
            for task in self._timed.values()
            for time in (task.not_before, task.expires_at)
            if time is not None and time > now
        ]
        return min(times, default=None)

    def _place(self, task: PendingTask) -> int:
        """Where the very object is in the list; `index` would compare whole models, field by field."""
        return next(place for place, other in enumerate(self.tasks) if other is task)

    def _index(self, task: PendingTask, *, front: bool = False) -> None:
        self._by_id[task.task_id] = task
        self._bytes[task.task_id] = model_bytes(task)
        if task.not_before or task.expires_at:
            timed = {task.task_id: task}
            self._timed = timed | self._timed if front else self._timed | timed

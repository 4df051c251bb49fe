"""A session's whole durable state and every decision about it; what continue-as-new carries. Pure.

Long: one class, of which every method changes the same state.
"""

from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Annotated, Any

from pydantic import BaseModel, Field, PrivateAttr

from workflows.contract import (
    CancelRequest,
    CloseRequest,
    Config,
    ConfigureRequest,
    ContextPatch,
    ErrorInfo,
    ForkSource,
    Notify,
    PatchRequest,
    RefusalNotice,
    RespondRequest,
    RollbackRequest,
    Snapshot,
    TaskInput,
    TaskOutput,
    TaskRecord,
    TaskRequest,
    WaitingNotice,
)
from workflows.state import budget, compaction
from workflows.state.answered import AnsweredRequests
from workflows.state.context import SessionContext
from workflows.state.ledger import Ledger, error_info, final_record, rejected_entry
from workflows.state.notices import Outbox, budget_reached, question_asked, session_closed, task_ended
from workflows.state.pending import PendingList, PendingTask
from workflows.state.running_task import RunningTask
from workflows.wire import limits
from workflows.wire.encoding import model_bytes
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import NotifyEvent, PausedBy, SessionStatus, TaskStatus, Timestamp
from workflows.wire.validation import check_output, check_question, known_fields_of

_CLOSE_ORDER = ("drain", "discard", "now")


class SessionState(BaseModel):
    """Everything a session knows. Methods that refuse raise SessionError and change nothing.

    `usage`: what its tasks have used, summed up by name.
    `compacted`: the version of the context at which it last submitted a compaction.
    `told`: how many notifications there were; null where there was none.
    """

    session_id: str
    config: Annotated[Config, known_fields_of(Config)]
    started_at: Timestamp
    context: SessionContext = Field(default_factory=SessionContext)
    pending: PendingList = Field(default_factory=PendingList)
    ledger: Ledger = Field(default_factory=Ledger)
    running: RunningTask | None = None
    closing: Annotated[CloseRequest | None, known_fields_of(CloseRequest)] = None
    paused: bool = False
    paused_by: PausedBy | None = None
    usage: dict[str, int | float] = Field(default_factory=dict)
    fork_of: Annotated[ForkSource | None, known_fields_of(ForkSource)] = None
    active_at: Timestamp | None = None
    refused: dict[str, ErrorInfo] = Field(default_factory=dict)
    answered: AnsweredRequests = Field(default_factory=AnsweredRequests)
    compacted: int | None = None
    told: int | None = None
    _outbox: Outbox = PrivateAttr(default_factory=Outbox)

    @property
    def outbox(self) -> Outbox:
        """What others are to be told of. Not carried: a run takes all of it out before it hands over, or ends."""
        return self._outbox

    def tell_close(self) -> None:
        """Note that others are to be told of the session's end."""
        if self.closing:
            self._tell("close", self.config.notify, session_closed(self.closing, self.ledger.counters))

    def submit(self, request: TaskRequest, now: datetime) -> TaskRecord:
        """Accept a task, or recognise one that is known, and say how it stands. Raises what `accept` raises."""
        self.accept(request, now)
        return self._known(request.task_id, now)

    def accept(self, request: TaskRequest, now: datetime) -> None:
        """Accept a task; one that is known already stays as it is.

        Raises SessionError: InvalidRequest, InputTooLarge, TaskIdConflict, SessionClosed, Busy, QueueFull.
        """
        task = self.check_submit(request, now)
        if self.ledger.seen.status(task.task_id) is not None:
            return
        if task.on_busy == "replace_pending":
            self._drop_pending(f"replaced by {task.task_id}", now)
        self._take(task, now)

    def check_submit(self, request: TaskRequest, now: datetime) -> PendingTask:
        """Raise what `submit` would raise, changing nothing; returns the task with every default filled in."""
        task = PendingTask.accepted(request, self.config, now)
        if self.ledger.seen.status(task.task_id) is not None:
            if not self.ledger.seen.same(task):
                raise SessionError(ErrorType.TASK_ID_CONFLICT, f"{task.task_id} is the id of another task")
            return task
        if self.closing:
            raise SessionError(ErrorType.SESSION_CLOSED, "the session is closing and takes no new tasks")
        if task.on_busy == "reject" and self._busy(now):
            raise SessionError(ErrorType.BUSY, "another task runs or waits")
        room = PendingList() if task.on_busy == "replace_pending" else self.pending
        if not room.fits(task, self.config.max_pending, limits.PENDING_BYTES):
            raise SessionError(
                ErrorType.QUEUE_FULL, f"{len(self.pending)} tasks wait ({self.pending.bytes} bytes); no more fit"
            )
        return task

    def cancel(self, request: CancelRequest, now: datetime) -> None:
        """End a waiting task, or note that the running one is to end. Raises SessionError (UnknownTask)."""
        reason = request.reason or "cancelled on request"
        if waiting := self.pending.get(request.task_id):
            self._end_waiting(waiting, "cancelled", SessionError(ErrorType.TASK_CANCELLED, reason), now)
        elif running := self._running(request.task_id):
            running.cancel(reason, now)
        else:
            raise SessionError(ErrorType.UNKNOWN_TASK, f"no task {request.task_id} waits or runs")

    def wait(self, notice: WaitingNotice) -> None:
        """Note what the running task asks a person, or that it asks no more.

        Raises SessionError and changes nothing: UnknownTask, InputTooLarge and InvalidRequest for the question's data.
        """
        if notice.question:
            check_question(notice.question)
        running = self._running(notice.task_id)
        if running and running.may_be(notice.run_id):
            if notice.question and notice.question != running.waiting_for:
                self._tell_of(running.task, "question", question_asked(running.task.task_id, notice.question))
            running.waiting_for = notice.question
            self.ledger.make_room(model_bytes(notice.question) if notice.question else 0)
        elif notice.question:
            raise SessionError(ErrorType.UNKNOWN_TASK, f"no task {notice.task_id} runs")

    def refuse_task(self, notice: RefusalNotice, now: datetime) -> None:
        """End a task that the server does not let start, or go on; the run ends its child.

        Such a notice is older than the task in the eyes of a run that accepts the task in the same workflow task as it
        would start it: an update is told after the signals that came while that workflow task failed.
        """
        error = error_info(SessionError(notice.error.type, notice.error.message), limits.REJECTED_MESSAGE_BYTES)
        if waiting := self.pending.get(notice.task_id):
            self._refuse_start(waiting, error, now)
        elif running := self._running(notice.task_id):
            if notice.run_id is not None and running.may_be(notice.run_id):
                running.refused = error
        elif self.ledger.seen.status(notice.task_id) is None:
            self.refused[notice.task_id] = error
            while len(self.refused) > limits.REFUSED_STARTS:
                del self.refused[next(iter(self.refused))]

    def respond(self, request: RespondRequest, now: datetime) -> None:
        """Accept an answer for the running task. Raises SessionError: UnknownTask, and as RunningTask.answer does."""
        record, running = self._known(request.task_id, now), self._running(request.task_id)
        if running is None:
            raise SessionError(ErrorType.NOT_WAITING, f"{request.task_id} is {record.status} and waits for no answer")
        running.answer(request, now)

    def configure(self, request: ConfigureRequest, now: datetime) -> Config:
        """Change the settings that `request` names; tasks accepted before keep what they were accepted with."""
        if request.request_id not in self.answered:
            named = request.model_fields_set - {"request_id"}
            self.config = self.config.model_copy(update={name: getattr(request, name) for name in named})
            self.active_at = now
            self._keep_to_budget()
            self.answered.once(request.request_id, lambda: self.context.version)
        return self.config

    def pause(self, by: PausedBy) -> None:
        """Start no further task. What it was paused by first stays the reason, but for a budget, which comes first."""
        if not self.paused or by == "budget":
            self.paused, self.paused_by = True, by

    def resume(self) -> None:
        """Start tasks again. Raises SessionError (BudgetSpent) until the budget is higher than what has been used."""
        if spent := budget.spent(self.usage, self.config.budget):
            raise SessionError(ErrorType.BUDGET_SPENT, f"{spent} used; configure a higher budget first")
        self.paused, self.paused_by = False, None

    def patch_context(self, request: PatchRequest, now: datetime) -> int:
        """Change the context from outside; the version it is at then. Raises what `SessionContext.patch` raises."""
        change = partial(self.context.patch, request.patch, request.expected_version, now)
        return self.answered.once(request.request_id, change)

    def rollback_context(self, request: RollbackRequest, now: datetime) -> int:
        """Bring back an old version as a new one; its number. Raises SessionError (UnknownVersion)."""
        return self.answered.once(request.request_id, lambda: self.context.rollback(request.version, now))

    def check_patch(self, request: PatchRequest) -> None:
        """Raise what `patch_context` would raise, changing nothing."""
        if request.request_id not in self.answered:
            self.context.check(request.patch, request.expected_version)

    def check_rollback(self, request: RollbackRequest) -> None:
        """Raise what `rollback_context` would raise, changing nothing."""
        if request.request_id not in self.answered:
            self.context.as_of(request.version)

    def close(self, request: CloseRequest, now: datetime) -> None:
        """End the session as `request` says; a close may be escalated, never weakened."""
        if self.closing and _CLOSE_ORDER.index(request.mode) <= _CLOSE_ORDER.index(self.closing.mode):
            return
        self.closing = request
        reason = request.reason or "the session was closed"
        if request.mode != "drain":
            self._drop_pending(reason, now)
        if request.mode == "now":
            self._cancel_running(reason, now)

    def refuse(self, message: str, body: Any, error: SessionError, now: datetime) -> None:
        """Keep a message that could not be taken, with what of it can be shown."""
        self.ledger.refuse(rejected_entry(message, body, error, self.config.default_kind, now))

    def next_change(self, now: datetime) -> datetime | None:
        """When the passing of time alone will next change something."""
        times = [time for time in (self.pending.next_change(now), self._idle_until()) if time is not None]
        return min(times, default=None)

    def pass_time(self, now: datetime) -> None:
        """End what has waited beyond its `expires_at`; close a session that has been idle for its `idle_timeout`.

        Submit a compaction where one is due.
        """
        idle_until = self._idle_until()
        if idle_until is not None and idle_until <= now:
            self.close(CloseRequest(reason="idle for its idle_timeout"), now)
        for task in self.pending.expired(now):
            error = SessionError(ErrorType.TASK_EXPIRED, f"still waiting at {task.expires_at}")
            self._end_waiting(task, "expired", error, now)
        self._compact(now)

    def idle_since(self, now: datetime) -> datetime | None:
        """Since when nothing runs and nothing waits that may; none while that is not so, and of a closing session."""
        if self.closing or self.fork_of or self.running or self.next_task(now):
            return None
        return self.active_at or self.started_at

    def next_task(self, now: datetime) -> PendingTask | None:
        """The task to run now, if any may."""
        if self.running or (self.paused and not self.closing):
            return None
        return self.pending.next_due(now)

    def start(self, task: PendingTask, now: datetime) -> TaskInput:
        """Take `task` off the list and give it what it may see of the context."""
        self.pending.remove(task)
        self.running = RunningTask(task=task, started_at=now, version=self.context.version)
        return TaskInput(
            session_id=self.session_id,
            task_id=task.task_id,
            input=task.input,
            context=self.context.inject(task),
            stream=task.stream is True,
            budget=budget.left(self.usage, self.config.budget),
        )

    def running_task(self) -> RunningTask:
        """The task under way. Raises SessionError (UnknownTask) where there is none."""
        if self.running is None:
            raise SessionError(ErrorType.UNKNOWN_TASK, "no task is running")
        return self.running

    def complete(self, output: TaskOutput, now: datetime) -> None:
        """End the running task with its result; what the contract forbids of a result ends it as failed."""
        running = self.running_task()
        known: dict[str, Any] = {}
        try:
            check_output(output)
            known = {"output": output.output, "usage": output.usage, "finish_reason": output.finish_reason}
            after = None if running.cancel_reason is not None else self._absorb(running, output, now)
        except SessionError as error:
            self.end("failed", error, now, **known)
        else:
            self.end("completed", None, now, after=after, **known)

    def end(
        self,
        status: TaskStatus,
        error: SessionError | None,
        now: datetime,
        *,
        after: int | None = None,
        **known: Any,
    ) -> None:
        """End the running task without touching the context; one that was asked to end is `cancelled` all the same."""
        running = self.running_task()
        if running.cancel_reason is not None:
            status, error = "cancelled", SessionError(ErrorType.TASK_CANCELLED, running.cancel_reason)
        elif running.refused is not None and error is not None and error.type == ErrorType.TASK_TERMINATED:
            error = SessionError(running.refused.type, running.refused.message)
        error = self._ended_badly(running.task, status, error, now)
        record = running.final_record(status, now, error, after=after, **known)
        self.ledger.finish(record)
        self._tell_of(running.task, "task", task_ended(record))
        self.running = None
        self.active_at = now
        self.usage = budget.added(self.usage, known.get("usage"), self.config.budget)
        self._keep_to_budget()

    @property
    def over(self) -> bool:
        """Whether a closing session has nothing left to do."""
        return self.closing is not None and self.running is None and not self.pending.tasks

    @property
    def status(self) -> SessionStatus:
        """The first that applies."""
        if self.closing:
            return "closed" if self.over else "draining"
        if self.paused:
            return "paused"
        if self.running is None:
            return "idle"
        return "waiting" if self.running.waiting_for else "running"

    def record(self, task_id: str, now: datetime) -> TaskRecord | None:
        """What is known of a task, or null if it was never heard of."""
        if running := self._running(task_id):
            return running.record()
        if waiting := self.pending.get(task_id):
            return waiting.record(self.pending.position(task_id, now))
        return self.ledger.record(task_id)

    def snapshot(self) -> Snapshot:
        """The session at a glance."""
        return Snapshot(
            session_id=self.session_id,
            status=self.status,
            config=self.config,
            started_at=self.started_at,
            running=self.running.record() if self.running else None,
            pending=[task.entry() for task in self.pending.tasks],
            recent=[record.model_copy(update={"output": None}) for record in self.ledger.records.values()],
            context_version=self.context.version,
            counters=self.ledger.counters,
            rejected=self.ledger.rejected,
            usage=self.usage,
            paused_by=self.paused_by,
        )

    def _idle_until(self) -> datetime | None:
        idle = not (self.closing or self.running or self.pending.tasks)
        if not idle or self.config.idle_timeout is None:
            return None
        return (self.active_at or self.started_at) + timedelta(seconds=self.config.idle_timeout)

    def _running(self, task_id: str) -> RunningTask | None:
        return self.running if self.running and self.running.task.task_id == task_id else None

    def _known(self, task_id: str, now: datetime) -> TaskRecord:
        record = self.record(task_id, now)
        if record is None:
            raise SessionError(ErrorType.UNKNOWN_TASK, f"{task_id} is not known")
        return record

    def _absorb(self, running: RunningTask, output: TaskOutput, now: datetime) -> int:
        """Bring a successful result into the context and return the version it leaves."""
        task, patch = running.task, output.patch or ContextPatch()
        if task.compacts is not None:
            return self.context.compacted(patch, task, running.version, self.config.compact, now)
        if task.write:
            return self.context.complete(patch, task, output.output, now, output.finish_reason, seen=running.version)
        if output.patch is not None:
            raise SessionError(ErrorType.PATCH_NOT_ALLOWED, "a task without write access returned a patch")
        return running.version  # others may have changed the context meanwhile

    def _busy(self, now: datetime) -> bool:
        """Whether a task runs, or waits that may run. A compaction, which nobody asked for, makes nobody busy."""
        running = [self.running.task] if self.running else []
        others = (task for task in self.pending.tasks if task.due(now))
        return any(task.compacts is None for task in chain(running, others))

    def _keep_to_budget(self) -> None:
        reached = budget.reached(self.usage, self.config.budget)
        if reached and self.paused_by != "budget":
            self._tell("budget", self.config.notify, budget_reached(reached))
        if reached:
            self.pause("budget")

    def _tell_of(self, task: PendingTask, event: NotifyEvent, data: dict[str, Any]) -> None:
        """Have others told of a task; of a compaction, which nobody asked for, nobody is."""
        if task.compacts is None:
            self._tell(event, task.notify or self.config.notify, data)

    def _tell(self, event: NotifyEvent, notify: Notify | None, data: dict[str, Any]) -> None:
        if notify is not None and event in notify.on:
            self.told = (self.told or 0) + 1
            self._outbox.add(self.told, event, notify.url, data)

    def _compact(self, now: datetime) -> None:
        """Submit a task that takes the oldest turns out of the transcript, before all that waits, where that is due.

        Once for each newest turn: what came of the last one, were it nothing, is no reason to try it again at once.
        """
        bound, turns = self.config.compact, self.context.transcript
        held = self.running or self.fork_of or (self.paused and not self.closing)
        if bound is None or held or not turns or turns[-1].version <= (self.compacted or 0):
            return
        waits, closing = self.pending.next_due(now) is not None, self.closing is not None
        count = compaction.due(self.context.turn_sizes, bound, waits=waits, closing=closing)
        if not count:
            return
        self.compacted = self.context.version
        task = compaction.task_of(bound, turns[count - 1].version, self.compacted, self.config, now)
        if self.ledger.seen.status(task.task_id) is not None:
            error = SessionError(ErrorType.TASK_ID_CONFLICT, f"{task.task_id} is the id of another task")
            self.refuse("compact", {"task_id": task.task_id, "kind": task.kind, "input": task.input}, error, now)
            return
        self._take(task, now)

    def _take(self, task: PendingTask, now: datetime) -> None:
        """Put an accepted task among what waits."""
        self.pending.add(task, front=task.on_busy == "interrupt" or task.compacts is not None)
        self.ledger.accept(task)
        self.active_at = now
        if task.on_busy == "interrupt":
            self._cancel_running(f"interrupted by {task.task_id}", now)
        if error := self.refused.pop(task.task_id, None):
            self._refuse_start(task, error, now)

    def _ended_badly(
        self, task: PendingTask, status: TaskStatus, error: SessionError | None, now: datetime
    ) -> SessionError | None:
        """What follows for the session where a task fails or runs out of time; the error that its record has.

        A compaction never pauses the session. Where it fails the oldest turns leave without it; where others changed
        meanwhile what it had read, it is tried again after the next turn.
        """
        if status not in {"failed", "timed_out"} or error is None:
            return error
        if task.compacts is None:
            if self.config.on_failure == "pause":
                self.pause("failure")
            return error
        bound = self.config.compact
        count = compaction.leaving(self.context.turn_sizes, bound) if bound else 0
        if error.type == ErrorType.CONTEXT_CONFLICT or not count:
            return error
        self.context.drop(count, task.task_id, now)
        return SessionError(error.type, f"{count} turns left without a summary: {error.message}")

    def _refuse_start(self, task: PendingTask, refused: ErrorInfo, now: datetime) -> None:
        error = SessionError(refused.type, refused.message)
        self._end_waiting(task, "failed", self._ended_badly(task, "failed", error, now) or error, now)

    def _cancel_running(self, reason: str, now: datetime) -> None:
        if self.running:
            self.running.cancel(reason, now)

    def _drop_pending(self, reason: str, now: datetime) -> None:
        for task in list(self.pending.tasks):
            self._end_waiting(task, "cancelled", SessionError(ErrorType.TASK_CANCELLED, reason), now)

    def _end_waiting(self, task: PendingTask, status: TaskStatus, error: SessionError, now: datetime) -> None:
        self.pending.remove(task)
        self.active_at = now
        record = final_record(task, status, now, error)
        self.ledger.finish(record)
        self._tell_of(task, "task", task_ended(record))

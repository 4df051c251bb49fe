"""A whole session on random walks, against a model that only knows the contract."""

from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.samples import NOW, UnderLimits, at, carried, error_of, handed_over, known, refused, request, session
from workflows.contract import CancelRequest, CloseRequest, ContextPatch, PatchRequest, TaskOutput
from workflows.wire.errors import SessionError

TASKS = st.sampled_from([f"t{number}" for number in range(12)])
MOMENTS = st.none() | st.integers(0, 9)
ENDS = ["completed", "failed", "cancelled", "timed_out", "expired"]
CLOSES: list[Any] = ["drain", "discard", "now"]
PATCHES = st.builds(ContextPatch, append=st.dictionaries(st.sampled_from("ab"), st.lists(st.none(), max_size=1)))


class SessionMachine(UnderLimits):
    """Messages, time, starts and ends of tasks, and hand-overs in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0
        self.asked: dict[str, dict[str, Any]] = {}
        self.waiting: list[str] = []
        self.running: str | None = None
        self.cancelling = False
        self.ended: dict[str, str] = {}
        self.closing = -1
        self.refusals = 0
        self.versions = 0

    @initialize(on_failure=st.sampled_from(["pause", "continue"]))
    def open(self, on_failure: str) -> None:
        self.state = session(on_failure=on_failure, max_pending=4)

    def due(self, task_id: str) -> bool:
        return (self.asked[task_id]["not_before"] or 0) <= self.seconds

    def end(self, *task_ids: str, status: str = "cancelled") -> None:
        self.ended |= dict.fromkeys(task_ids, status)
        self.waiting = [task_id for task_id in self.waiting if task_id not in task_ids]

    def end_running(self, status: str) -> bool:
        """The status that the contract gives the running task's end; whether its patch counts."""
        assert self.running
        status = "cancelled" if self.cancelling else status
        self.end(self.running, status=status)
        self.running, self.cancelling = None, False
        if status in {"failed", "timed_out"} and self.state.config.on_failure == "pause":
            assert self.state.paused
        return status == "completed"

    def expected_refusal(self, task_id: str, options: dict[str, Any]) -> str | None:
        if task_id in self.asked:
            return None if self.asked[task_id] == options else "TaskIdConflict"
        if self.closing >= 0:
            return "SessionClosed"
        if options["on_busy"] == "reject" and (self.running or any(map(self.due, self.waiting))):
            return "Busy"
        return "QueueFull" if len(self.waiting) >= 4 and options["on_busy"] != "replace_pending" else None

    @rule(
        task_id=TASKS,
        on_busy=st.sampled_from(["enqueue", "enqueue", "enqueue", "reject", "interrupt", "replace_pending"]),
        not_before=MOMENTS,
        expires_at=MOMENTS,
    )
    def submit(self, task_id: str, on_busy: str, not_before: int | None, expires_at: int | None) -> None:
        options = {"on_busy": on_busy, "not_before": not_before, "expires_at": expires_at}
        times = [None if moment is None else at(moment) for moment in (not_before, expires_at)]
        asked = request(task_id, on_busy=on_busy, not_before=times[0], expires_at=times[1])
        error = self.expected_refusal(task_id, options)
        if error:
            with refused(error) as caught:
                self.state.submit(asked, at(self.seconds))
            self.state.refuse("submit", asked.model_dump(), caught.value, at(self.seconds))
            self.refusals += 1
            assert task_id in self.asked or error_of(known(self.state, task_id)) == error
            return
        answer = self.state.submit(asked, at(self.seconds))
        if task_id not in self.asked:
            self.asked[task_id] = options
            if on_busy == "replace_pending":
                self.end(*self.waiting)
            self.waiting.insert(0 if on_busy == "interrupt" else len(self.waiting), task_id)
            self.cancelling |= on_busy == "interrupt" and self.running is not None
        assert answer.status == self.status_of(task_id)

    @rule(task_id=TASKS)
    def resubmit(self, task_id: str) -> None:
        if task_id in self.asked:
            self.submit(task_id, **self.asked[task_id])

    @rule(task_id=TASKS)
    def cancel(self, task_id: str) -> None:
        if task_id == self.running:
            self.cancelling = True
        elif task_id not in self.waiting:
            with refused("UnknownTask"):
                self.state.cancel(CancelRequest(task_id=task_id), at(self.seconds))
            return
        self.state.cancel(CancelRequest(task_id=task_id), at(self.seconds))
        if task_id in self.waiting:
            self.end(task_id)

    @precondition(lambda self: self.closing < 2 and self.seconds > 4)
    @rule(mode=st.sampled_from(CLOSES))
    def close(self, mode: Any) -> None:
        self.state.close(CloseRequest(mode=mode), at(self.seconds))
        if CLOSES.index(mode) > self.closing:
            self.closing = CLOSES.index(mode)
            self.end(*(self.waiting if mode != "drain" else []))
            self.cancelling |= mode == "now" and self.running is not None
        assert self.state.closing == CloseRequest(mode=CLOSES[self.closing])

    @rule()
    def pause_or_resume(self) -> None:
        self.state.paused = not self.state.paused

    @rule(patch=PATCHES)
    def patch(self, patch: ContextPatch) -> None:
        self.state.patch_context(PatchRequest(patch=patch), at(self.seconds))
        self.versions += 1

    @rule(by=st.integers(1, 3))
    def wait(self, by: int) -> None:
        """Time passes, but never past a moment at which it changes something."""
        change = self.state.next_change(at(self.seconds))
        self.seconds = min(self.seconds + by, int((change - NOW).total_seconds()) if change else 99)
        self.state.pass_time(at(self.seconds))

    @rule()
    def start(self) -> None:
        self.expire()
        eligible = [task_id for task_id in self.waiting if self.due(task_id)]
        if self.running or (self.state.paused and self.closing < 0) or not eligible:
            assert self.state.next_task(at(self.seconds)) is None
            return
        task = self.state.next_task(at(self.seconds))
        assert task is not None
        assert eligible[0] == task.task_id
        given = self.state.start(task, at(self.seconds))
        assert (self.versions, eligible[0], eligible[0]) == (given.context.version, given.task_id, given.input)
        self.running = task.task_id
        self.waiting.remove(task.task_id)

    @precondition(lambda self: self.running)
    @rule(patch=PATCHES)
    def complete(self, patch: ContextPatch) -> None:
        log = self.state.context.view().log
        before = known(self.state, str(self.running)).context_version.before
        assert before is not None
        conflict = set(patch.append) & {key for entry in log if entry.version > before for key in entry.changed}
        self.state.complete(TaskOutput(output=[self.running], patch=patch), at(self.seconds))
        self.versions += self.end_running("failed" if conflict else "completed")

    @precondition(lambda self: self.running)
    @rule(status=st.sampled_from(["failed", "timed_out", "cancelled"]))
    def fail(self, status: Any) -> None:
        self.state.end(status, SessionError("KeyError", "'tea'"), at(self.seconds))
        self.end_running(status)

    @rule()
    def hand_over(self) -> None:
        before, snapshot = carried(self.state), self.state.snapshot()
        self.state = handed_over(self.state)
        assert (before, snapshot) == (carried(self.state), self.state.snapshot())

    def expire(self) -> None:
        moments = {task_id: self.asked[task_id]["expires_at"] for task_id in self.waiting}
        expired = [task_id for task_id, moment in moments.items() if moment is not None and moment <= self.seconds]
        self.state.pass_time(at(self.seconds))
        self.end(*expired, status="expired")

    def status_of(self, task_id: str) -> str:
        if task_id in self.ended:
            return self.ended[task_id]
        return "running" if task_id == self.running else "pending"

    @invariant()
    def every_task_is_where_the_model_has_it(self) -> None:
        self.expire()
        assert self.waiting == [task.task_id for task in self.state.pending.tasks]
        for task_id in self.asked:
            assert self.status_of(task_id) == known(self.state, task_id).status
        assert self.versions == self.state.context.version

    @invariant()
    def the_counters_add_up(self) -> None:
        counters = self.state.ledger.counters
        present = len(self.waiting) + (self.running is not None)
        assert len(self.asked) == counters.submitted == sum(getattr(counters, end) for end in ENDS) + present
        assert Counter(self.ended.values()) == Counter({end: getattr(counters, end) for end in ENDS})
        assert self.refusals == counters.rejected

    @invariant()
    def the_session_is_over_when_it_closes_and_nothing_is_left(self) -> None:
        over = self.closing >= 0 and not self.running and not self.waiting
        assert over == self.state.over == (self.state.status == "closed")


class TightSessionMachine(SessionMachine):
    """The same with so little room that records and outputs leave at once."""

    limits = {"RECORDS": 2, "REJECTED": 1, "RECORD_OUTPUT_BYTES": 10, "LOG_ENTRIES": 40}  # noqa: RUF012


TestSession = SessionMachine.TestCase
TestTightSession = TightSessionMachine.TestCase

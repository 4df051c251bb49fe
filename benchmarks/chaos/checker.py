"""Whether what sessions, server and activities tell afterwards fits what was planned and acknowledged.

Pure: plans and facts in, a verdict out. What each task must have been given, answered and left is computed anew by
`model.py`; only the order in which tasks ran and which of them were cancelled by another is taken from the facts, and
judged by itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from benchmarks.chaos.facts import Child, Ending, Facts, Found
from benchmarks.chaos.log import ACKNOWLEDGED, ACTED, BEGAN, CUT_OFF, DONE, KILLED, RESTARTED, Effect, Event
from benchmarks.chaos.model import OVERREACHES, RAISES, Life, lived, returned
from benchmarks.chaos.plans import DONE_KEY, Plan, may_end

LOST, DOUBLED, REORDERED, OVERLAPPING, UNEXPECTED = "lost", "doubled", "reordered", "overlapping", "unexpected"
MISINJECTED, MISANSWERED, MISVERSIONED, MISAPPLIED = "misinjected", "misanswered", "misversioned", "misapplied"
UNPERFORMED, REPEATED, STRAY = "unperformed", "repeated", "stray"
STALLED, UNREPLAYABLE = "stalled", "unreplayable"
FAULTS = {
    LOST: "a task that was acknowledged has no final record, or is not counted",
    DOUBLED: "a task ran, ended or was counted more than once",
    REORDERED: "a task ran before one that goes before it",
    OVERLAPPING: "two tasks of a session ran at once",
    UNEXPECTED: "a task ended as none of its act may, or a message was refused that may not be",
    MISINJECTED: "a task was given another input or context than its plan and the tasks before it make",
    MISANSWERED: "a task, its record or its turn has another output than its plan makes",
    MISVERSIONED: "a record or the log has other context versions than the tasks that completed make",
    MISAPPLIED: "values or transcript are not what the tasks that completed leave",
    UNPERFORMED: "a task came to an end that it cannot have without its effect, and left none",
    REPEATED: "an effect was begun more often than once, and once more for each kill meanwhile",
    STRAY: "an effect of nobody: of another run, with another's amount, or outside its task's life",
    STALLED: "a session had something to do and did nothing for too long",
    UNREPLAYABLE: "a history does not replay with the present code",
}
"""Every fault that is looked for."""

STALL_SECONDS = 60.0
"""The longest that an eligible task may wait after the last restart."""

STRAY_SECONDS = 5.0
"""How far an activity's own clock reading may lie outside its task's life: a loaded machine starts it late."""

SHORT_CHARS = 300
"""Of a value in a finding: one screen has some findings."""

_LATE = {"NotWaiting", "UnknownTask"}
"""Refusals that a second answer or a late cancel brings about."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as promised: a name of FAULTS, and whose it is in words of its own."""

    fault: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """What was counted, and all that is not as promised. `retried`: effects begun again, as a kill may make them."""

    kills: int
    cut_off: int
    acknowledged: int
    performed: int
    retried: int
    longest_stall: float
    replayed: int
    findings: Sequence[Finding] = field(default_factory=list)

    def of(self, fault: str) -> list[str]:
        """The findings of that name."""
        return [finding.text for finding in self.findings if finding.fault == fault]

    @property
    def faults(self) -> list[str]:
        """All findings, each behind its name."""
        return [f"{finding.fault}: {finding.text}" for finding in self.findings]


def check(planned: Mapping[str, Sequence[Plan]], facts: Facts) -> Verdict:
    """Judge what is known of the sessions that were `planned`."""
    whats = Counter(event.what for event in facts.events)
    last_restart = max((event.at for event in facts.events if event.what == RESTARTED), default=0.0)
    told = {session.session: session for session in facts.sessions}
    cases = [_case(planned[name], found, facts) for name, found in told.items() if name in planned]
    findings = [Finding(fault, text) for case in cases for judge in _JUDGES for fault, text in judge(case)]
    asked = {name: _asked(name, facts.events) for name in planned}
    findings += [
        Finding(LOST, f"{name}/{task_id} has no final record, and its session does not answer")
        for name in planned.keys() - told.keys()
        for task_id in asked[name]
    ]
    findings += [
        Finding(STRAY, f"{effect.session}/{effect.task_id} left an effect, and nobody opened its session")
        for effect in facts.effects
        if effect.session not in planned
    ]
    findings += [Finding(UNREPLAYABLE, text) for text in facts.unreplayable]
    stalls = {case.found.session: max(_stalls(case, last_restart, facts.at), default=0.0) for case in cases}
    findings += [
        Finding(STALLED, f"{name} stood still for {stall:.0f} s after the last restart")
        for name, stall in stalls.items()
        if stall > STALL_SECONDS
    ]
    return Verdict(
        kills=whats[KILLED],
        cut_off=whats[CUT_OFF],
        acknowledged=sum(map(len, asked.values())),
        performed=len({(effect.session, effect.task_id) for effect in facts.effects if effect.what == DONE}),
        retried=sum(effect.what == BEGAN and effect.attempt > 1 for effect in facts.effects),
        longest_stall=max(stalls.values(), default=0.0),
        replayed=facts.replayed,
        findings=findings,
    )


@dataclass(frozen=True)
class _Case:
    """One session: what was planned, what its caller noted, what it and the server tell of it, what is outside.

    `asked`: when each task was first acknowledged, in that order; `acted`: cancels and answers; `killed`: whoever.
    """

    found: Found
    plans: Mapping[str, Plan]
    asked: Mapping[str, float]
    acted: Sequence[float]
    killed: Sequence[float]
    effects: Sequence[Effect]

    @cached_property
    def endings(self) -> dict[str, Ending]:
        """Its final records by task."""
        return {ending.task_id: ending for ending in self.found.endings}

    @cached_property
    def children(self) -> dict[str, Child]:
        """The first run of each task that was planned, in the order of their starts."""
        runs = sorted(self.found.children, key=lambda child: child.started)
        first = {child.task_id: child for child in reversed(runs) if child.task_id in self.plans}
        return dict(sorted(first.items(), key=lambda item: item[1].started))

    @cached_property
    def life(self) -> Life:
        """What it must have come to, as its tasks ran."""
        return lived(self.plans, ((task_id, self.completed(task_id)) for task_id in self.children))

    def completed(self, task_id: str) -> bool:
        """Whether the task's record says so."""
        return task_id in self.endings and self.endings[task_id].status == "completed"

    def of(self, task_id: str) -> str:
        """The task, as findings name it."""
        return f"{self.found.session}/{task_id}"


def _case(plans: Sequence[Plan], found: Found, facts: Facts) -> _Case:
    return _Case(
        found=found,
        plans={plan.task_id: plan for plan in plans},
        asked=_asked(found.session, facts.events),
        acted=[event.at for event in facts.events if event.session == found.session and event.what == ACTED],
        killed=[event.at for event in facts.events if event.what == KILLED],
        effects=[effect for effect in facts.effects if effect.session == found.session],
    )


def _asked(session: str, events: Iterable[Event]) -> dict[str, float]:
    """When each task was acknowledged. A repetition is acknowledged as well; the first one counts."""
    asked: dict[str, float] = {}
    for event in sorted(events, key=lambda event: event.at):
        if event.session == session and event.what == ACKNOWLEDGED:
            asked.setdefault(event.task_id, event.at)
    return asked


_Told = Iterator[tuple[str, str]]
"""Findings of one judge: names of FAULTS, and what was found."""


def _every_task_ended_once(case: _Case) -> _Told:
    """By records, counts, versions, turns and runs, each of which a second end would show in."""
    for task_id in case.asked.keys() - case.endings.keys():
        yield LOST, f"{case.of(task_id)} has no final record"
    ended = Counter(ending.status for ending in case.found.endings)
    for status, counted in case.found.counts.items():
        known = len(case.asked) if status == "submitted" else ended[status]
        if counted != known:
            fault = DOUBLED if counted > known else LOST
            yield fault, f"{case.found.session} counts {counted} tasks as {status}, and {known} are known"
    times = {
        "final records": (ending.task_id for ending in case.found.endings),
        "versions": (change.by for change in case.found.changes),
        "turns": (turn.task_id for turn in case.found.memory.turns),
        "runs": (child.task_id for child in case.found.children),
    }
    for what, task_ids in times.items():
        for task_id, number in Counter(task_ids).items():
            if number > 1:
                yield DOUBLED, f"{case.of(task_id)} has {number} {what}"


def _every_task_in_its_turn(case: _Case) -> _Told:
    """Tasks run one at a time, as they were acknowledged, but for interrupting ones, which run before all that waits.

    The order of the others is the server's word. Whether an interrupting one ran next is judged by the session's own
    times: a start that it decided before the interruption reached it may be carried out after the acknowledgement.
    """
    runs = sorted(case.found.children, key=lambda child: child.started)
    for earlier, later in pairwise(runs):
        if earlier.closed is None or later.started < earlier.closed:
            yield OVERLAPPING, f"{case.of(later.task_id)} began while {earlier.task_id} ran"
    plain = [t for t in case.asked if t in case.children and case.plans[t].act != "interrupt"]
    for before, after in pairwise(plain):
        if case.children[after].started < case.children[before].started:
            yield REORDERED, f"{case.of(after)} ran before {before}"
    started = {ending.task_id: ending.started for ending in case.found.endings if ending.started is not None}
    for front in case.found.endings:
        if front.started is not None and front.task_id in case.asked and case.plans[front.task_id].act == "interrupt":
            for task_id in plain:
                if front.submitted < started.get(task_id, 0.0) < front.started:
                    yield REORDERED, f"{case.of(task_id)} ran before the front, {front.task_id}"


def _every_end_is_one_of_its_act(case: _Case) -> _Told:
    last_interruption = max((at for t, at in case.asked.items() if case.plans[t].act == "interrupt"), default=0.0)
    for task_id, ending in case.endings.items():
        if task_id not in case.asked:
            yield UNEXPECTED, f"{case.of(task_id)} was never asked for"
            continue
        interrupted = case.asked[task_id] <= last_interruption
        if not may_end(case.plans[task_id].act, ending.status, ending.error, interrupted=interrupted):
            yield UNEXPECTED, f"{case.of(task_id)} ended as {ending.status}, {ending.error}"
        child = case.children.get(task_id)
        if ending.run_id != (child.run_id if child else None):
            yield UNEXPECTED, f"{case.of(task_id)} has the record of another run"
        if child and not _fits(ending, child, case.plans[task_id]):
            yield UNEXPECTED, f"{case.of(task_id)} is {ending.status}, and its workflow {child.status}"
        if child is None and ending.status != "cancelled":
            yield UNEXPECTED, f"{case.of(task_id)} is {ending.status}, and never ran"
    for error in case.found.refusals:
        if error not in _LATE:
            yield UNEXPECTED, f"{case.found.session} refused a message: {error}"


def _fits(ending: Ending, child: Child, plan: Plan) -> bool:
    """Whether a record may say that of a workflow that ended so; one that was asked to end may end in any way."""
    if ending.status == "completed":
        return child.status == "completed"
    if ending.status == "failed":
        return child.status == ("completed" if plan.act == OVERREACHES else "failed")
    return child.status != "running"


def _every_task_is_given_its_own(case: _Case) -> _Told:
    for task_id, child in case.children.items():
        plan, seen = case.plans[task_id], case.life.seen[task_id]
        if child.named != (case.found.session, task_id):
            yield MISINJECTED, f"{case.of(task_id)} was given the name {'/'.join(child.named)}"
        if child.input != plan.input:
            yield MISINJECTED, f"{case.of(task_id)} was given the input {_short(child.input)}"
        if child.memory.version != seen.version:
            yield MISINJECTED, f"{case.of(task_id)} was given version {child.memory.version} in place of {seen.version}"
        if child.memory.values != seen.values:
            yield MISINJECTED, f"{case.of(task_id)} was given {_short(child.memory.values)} of {_short(seen.values)}"
        if list(child.memory.turns) != list(seen.turns):
            turns = [turn.task_id for turn in child.memory.turns]
            yield MISINJECTED, f"{case.of(task_id)} was given another transcript: turns of {turns}"


def _every_answer_is_its_own(case: _Case) -> _Told:
    for task_id, child in case.children.items():
        if child.result and child.result != returned(case.plans[task_id], case.life.seen[task_id]):
            yield MISANSWERED, f"{case.of(task_id)} returned {_short(child.result)}"
    for task_id, ending in case.endings.items():
        came = task_id in case.children and case.children[task_id].status == "completed"
        right = returned(case.plans[task_id], case.life.seen[task_id]) if came else None
        if ending.output != (right.output if right else None):
            yield MISANSWERED, f"{case.of(task_id)} has the output {_short(ending.output)} in its record"


def _every_version_is_one_tasks(case: _Case) -> _Told:
    for task_id, ending in case.endings.items():
        seen = case.life.seen.get(task_id)
        before = seen.version if seen else None
        after = seen.version + 1 if seen and case.completed(task_id) else None
        if (ending.before, ending.after) != (before, after):
            told = f"{ending.before} before and {ending.after} after, in place of {before} and {after}"
            yield MISVERSIONED, f"{case.of(task_id)} has version {told}"
    version = case.life.memory.version
    if case.found.memory.version != version:
        yield MISVERSIONED, f"{case.found.session} is at version {case.found.memory.version} in place of {version}"
    if list(case.found.changes) != case.life.changes:
        changes = [(change.version, change.by) for change in case.found.changes]
        yield MISVERSIONED, f"{case.found.session} has another log: {_short(changes)}"


def _every_patch_is_applied_once(case: _Case) -> _Told:
    session, (right, found) = case.found.session, (case.life.memory, case.found.memory)
    done, due = found.values.get(DONE_KEY, []), right.values[DONE_KEY]
    for task_id, times in Counter(done).items():
        if times > 1:
            yield MISAPPLIED, f"{case.of(task_id)} left its patch {times} times"
        if task_id not in due:
            yield MISAPPLIED, f"{case.of(task_id)} left a patch without completing"
    for task_id in due:
        if task_id not in done:
            yield MISAPPLIED, f"{case.of(task_id)} completed without its patch"
    if found.values != right.values:
        yield MISAPPLIED, f"{session} was left with {_short(found.values)} in place of {_short(right.values)}"
    if list(found.turns) != list(right.turns):
        yield MISAPPLIED, f"{session} was left with another transcript: turns of {[t.task_id for t in found.turns]}"


def _every_effect_has_its_reason(case: _Case) -> _Told:
    """An activity runs at least once where its task went on after it, and once more at most for each kill meanwhile."""
    for task_id, child in case.children.items():
        marks = [effect for effect in case.effects if effect.task_id == task_id]
        began = [mark for mark in marks if mark.what == BEGAN]
        past_its_work = child.status == "completed" or (child.status == "failed" and case.plans[task_id].act == RAISES)
        if past_its_work and not any(mark.what == DONE for mark in marks):
            yield UNPERFORMED, f"{case.of(task_id)} went on without its effect"
        last = max((mark.at for mark in began), default=child.started)
        kills = sum(child.started - STRAY_SECONDS < at < last + STRAY_SECONDS for at in case.killed)
        attempts = max([len(began), *(mark.attempt for mark in marks)], default=0)
        if attempts > 1 + kills:
            yield REPEATED, f"{case.of(task_id)} began its effect {attempts} times, with {kills} kills meanwhile"
        for (what, attempt), times in Counter((mark.what, mark.attempt) for mark in marks).items():
            if times > 1:
                yield REPEATED, f"{case.of(task_id)} {what} its effect {times} times in attempt {attempt}"
    for mark in case.effects:
        problem = _stray(mark, case)
        if problem:
            yield STRAY, f"{case.of(mark.task_id)} left an effect {problem}"


def _stray(mark: Effect, case: _Case) -> str | None:
    """What is wrong with an effect by itself."""
    child = case.children.get(mark.task_id)
    if child is None:
        return "and never ran"
    if mark.run_id != child.run_id:
        return "in another run"
    if mark.amount != case.plans[mark.task_id].amount:
        return f"of {mark.amount} in place of {case.plans[mark.task_id].amount}"
    over = child.closed is not None and mark.what == BEGAN and mark.at > child.closed + STRAY_SECONDS
    return "outside its life" if over or mark.at < child.started - STRAY_SECONDS else None


_JUDGES: Sequence[Callable[[_Case], _Told]] = (
    _every_task_ended_once,
    _every_task_in_its_turn,
    _every_end_is_one_of_its_act,
    _every_task_is_given_its_own,
    _every_answer_is_its_own,
    _every_version_is_one_tasks,
    _every_patch_is_applied_once,
    _every_effect_has_its_reason,
)


def _stalls(case: _Case, last_restart: float, now: float) -> Iterator[float]:
    """The silences after the last restart, in seconds, during which the session had something to do."""
    closed = {child.task_id: child.closed for child in case.found.children}
    moments = [last_restart, now, *case.acted, *case.asked.values()]
    moments += [time for child in case.found.children for time in (child.started, child.closed) if time is not None]
    for before, after in pairwise(sorted(time for time in moments if time >= last_restart)):
        # What was cancelled while it waited has no child: its end is among what the callers did.
        unfinished = any(
            at <= before and (task_id not in case.endings or (closed.get(task_id) or 0.0) > before)
            for task_id, at in case.asked.items()
        )
        if unfinished:
            yield after - before


def _short(value: Any) -> str:
    """A value in a finding: the whole is in the database that is kept."""
    text = repr(value)
    return text if len(text) <= SHORT_CHARS else f"{text[:SHORT_CHARS]}…"

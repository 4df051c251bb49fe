"""Whether what sessions and server say afterwards fits what was acknowledged. Pure: findings in, a verdict out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from benchmarks.chaos.log import ACKNOWLEDGED, ACTED, CUT_OFF, KILLED, RESTARTED, Event
from benchmarks.chaos.plans import DONE_KEY, may_end

STALL_SECONDS = 60.0
"""The longest that an eligible task may wait after the last restart."""


@dataclass(frozen=True)
class Child:
    """One run of a task's workflow, as the server lists it. Times in seconds since the epoch."""

    task_id: str
    started: float
    closed: float | None


@dataclass(frozen=True)
class Ending:
    """One final record. Times in seconds since the epoch, as the session counts them: by its workflow tasks."""

    task_id: str
    status: str
    submitted: float
    started: float | None


@dataclass(frozen=True)
class Found:
    """One session afterwards. `accepted`: how many tasks, by its own count."""

    session: str
    endings: Sequence[Ending]
    accepted: int
    values: dict[str, Any]
    children: Sequence[Child]


@dataclass
class Verdict:
    """What was counted, and each thing that is not as promised in words of its own."""

    kills: int = 0
    cut_off: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    overlapping: list[str] = field(default_factory=list)
    misapplied: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    longest_stall: float = 0.0
    replayed: int = 0
    unreplayable: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Everything that is not as promised."""
        named = ("lost", "doubled", "reordered", "overlapping", "misapplied", "unexpected", "unreplayable")
        faults = [f"{name}: {fault}" for name in named for fault in getattr(self, name)]
        if self.longest_stall > STALL_SECONDS:
            faults.append(f"a session stood still for {self.longest_stall:.0f} s after the last restart")
        return faults


def check(events: Sequence[Event], sessions: Sequence[Found], initial: dict[str, Any], now: float) -> Verdict:
    """Judge. `initial`: the context that each session began with; `now`: when they were asked."""
    whats = Counter(event.what for event in events)
    verdict = Verdict(kills=whats[KILLED], cut_off=whats[CUT_OFF])
    last_restart = max((event.at for event in events if event.what == RESTARTED), default=0.0)
    found = {session.session: session for session in sessions}
    for name in dict.fromkeys(event.session for event in events if event.session):
        noted = [event for event in events if event.session == name]
        # A repetition is acknowledged as well; the first one counts.
        asked = {event.task_id: event for event in reversed(noted) if event.what == ACKNOWLEDGED}
        asked = dict(sorted(asked.items(), key=lambda item: item[1].at))
        verdict.acknowledged += len(asked)
        session = found.get(name, Found(name, [], 0, {}, []))
        verdict.lost += _lost(asked, session)
        verdict.doubled += _doubled(asked, session)
        verdict.reordered += _reordered(asked, session)
        verdict.overlapping += _overlapping(session)
        verdict.misapplied += _misapplied(session, initial)
        verdict.unexpected += _unexpected(asked, session)
        acted = [event.at for event in noted if event.what == ACTED]
        stalls = _stalls(asked, acted, session, last_restart, now)
        verdict.longest_stall = max([verdict.longest_stall, *stalls])
    return verdict


def _lost(asked: dict[str, Event], session: Found) -> list[str]:
    ended = {ending.task_id for ending in session.endings}
    return [f"{session.session}/{task_id} has no final record" for task_id in asked if task_id not in ended]


def _doubled(asked: dict[str, Event], session: Found) -> list[str]:
    records = Counter(ending.task_id for ending in session.endings)
    runs = Counter(child.task_id for child in session.children)
    doubled = [f"{session.session}/{task_id} has {n} final records" for task_id, n in records.items() if n > 1]
    doubled += [f"{session.session}/{task_id} was run {n} times" for task_id, n in runs.items() if n > 1]
    if session.accepted > len(asked):
        doubled.append(f"{session.session} accepted {session.accepted} tasks of {len(asked)}")
    return doubled


def _reordered(asked: dict[str, Event], session: Found) -> list[str]:
    """Tasks run as they were acknowledged, but for interrupting ones, which run before all that waits.

    The order of the others is the server's word. Whether an interrupting one ran next is judged by the session's own
    times: a start that it decided before the interruption reached it may be carried out after the acknowledgement.
    """
    ran = {child.task_id: child.started for child in sorted(session.children, key=lambda child: -child.started)}
    plain = [event.task_id for event in asked.values() if event.task_id in ran and event.act != "interrupt"]
    reordered = [
        f"{session.session}/{later} ran before {earlier}"
        for earlier, later in pairwise(plain)
        if ran[later] < ran[earlier]
    ]
    started = {ending.task_id: ending.started for ending in session.endings if ending.started is not None}
    for front in session.endings:
        if front.started is not None and front.task_id in asked and asked[front.task_id].act == "interrupt":
            between = [t for t in plain if front.submitted < started.get(t, 0.0) < front.started]
            reordered += [f"{session.session}/{task_id} ran before the front, {front.task_id}" for task_id in between]
    return reordered


def _overlapping(session: Found) -> list[str]:
    runs = sorted(session.children, key=lambda child: child.started)
    return [
        f"{session.session}/{later.task_id} began while {earlier.task_id} ran"
        for earlier, later in pairwise(runs)
        if earlier.closed is None or later.started < earlier.closed
    ]


def _misapplied(session: Found, initial: dict[str, Any]) -> list[str]:
    done = session.values.get(DONE_KEY, [])
    completed = [ending.task_id for ending in session.endings if ending.status == "completed"]
    faults = [f"{session.session}/{task_id} left its patch {n} times" for task_id, n in Counter(done).items() if n > 1]
    faults += [f"{session.session}/{t} completed without its patch" for t in completed if t not in done]
    faults += [f"{session.session}/{t} left a patch without completing" for t in done if t not in completed]
    if initial != session.values | {DONE_KEY: initial.get(DONE_KEY)}:
        faults.append(f"{session.session} was left with {session.values}")
    return faults


def _unexpected(asked: dict[str, Event], session: Found) -> list[str]:
    status = {ending.task_id: ending.status for ending in session.endings}
    last_interruption = max((event.at for event in asked.values() if event.act == "interrupt"), default=0.0)
    return [
        f"{session.session}/{task_id} ended as {status[task_id]}"
        for task_id, event in asked.items()
        if task_id in status and not may_end(event.act, status[task_id], interrupted=event.at <= last_interruption)
    ]


def _stalls(
    asked: dict[str, Event], acted: Sequence[float], session: Found, last_restart: float, now: float
) -> Iterator[float]:
    """The silences after the last restart, in seconds, during which the session had something to do."""
    closed = {child.task_id: child.closed for child in session.children}
    moments = [last_restart, now, *acted, *(event.at for event in asked.values())]
    moments += [time for child in session.children for time in (child.started, child.closed) if time is not None]
    ended = {ending.task_id for ending in session.endings}
    for before, after in pairwise(sorted(time for time in moments if time >= last_restart)):
        # What was cancelled while it waited has no child: its end is among what the callers did.
        unfinished = any(
            event.at <= before and (task_id not in ended or (closed.get(task_id) or 0.0) > before)
            for task_id, event in asked.items()
        )
        if unfinished:
            yield after - before

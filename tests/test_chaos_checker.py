"""The judge of a chaos run, judged itself: each thing done wrong is told by its name, and what went well is not.

The session here is written out by hand: what `benchmarks/chaos/model.py` computes has to be just that.
"""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.chaos.checker import FAULTS, Verdict, check
from benchmarks.chaos.facts import Change, Child, Ending, Facts, Found, Memory, Result, Turn
from benchmarks.chaos.log import ACKNOWLEDGED, BEGAN, CUT_OFF, DONE, KILLED, RESTARTED, Effect, Event
from benchmarks.chaos.plans import Plan
from tests.chaos_mutants import MUTANTS, Mutate

PLANS = [
    Plan("0", "quick", 0, 0, amount=3, word="amber"),
    Plan("1", "raise", 0, 0, amount=10, word="birch"),
    Plan("2", "slow", 0, 2, amount=20, word="cobalt"),
    Plan("3", "hang", 0, 0, amount=30, word="dune"),
    Plan("4", "quick", 0, 0, amount=5, word="ember"),
    Plan("5", "interrupt", 0, 0, amount=7, word="fjord"),
    Plan("6", "ask", 0, 0, amount=40, word="grove"),
    Plan("7", "linger", 0, 0, amount=50, word="harbor"),
    Plan("8", "overreach", 0, 0, amount=60, word="indigo"),
    Plan("9", "hang", 0, 0, amount=70, word="juniper"),
    Plan("10", "quick", 0, 0, amount=80, word="kelp"),
]
"""Acknowledged at 0, 1, 2, ... s."""

STARTS = {"0": 0.2, "1": 1.2, "2": 2.2, "3": 3.2, "5": 5.2, "4": 11, "6": 12, "7": 13, "8": 14, "10": 15}
ORDER = [*STARTS]
"""Each runs for 0.9 s, 3 until task 5 interrupts it, which goes before 4; 9 is cancelled while it waits."""


def output(task_id: str, word: str, total: int, after: int, heard: list[str] | None, **more: Any) -> dict[str, Any]:
    return {
        "task": task_id,
        "word": word,
        "sum": total,
        "after": after,
        "heard": heard,
        "answer": None,
        "late": False,
        **more,
    }


def patch(task_id: str, total: int, note: str | None = None, **more: list[str]) -> dict[str, Any]:
    return {
        "set": {"sum": total} | ({"note": note} if note else {}),
        "unset": [] if note else ["note"],
        "append": {"done": [task_id], **more},
    }


RESULTS = {
    "0": Result(output("0", "amber", 3, 0, None), patch("0", 3, "amber")),
    "2": Result(output("2", "cobalt", 23, 1, ["0", "amber"]), patch("2", 23)),
    "5": Result(output("5", "fjord", 30, 2, ["2", "cobalt"]), patch("5", 30, "fjord")),
    "4": Result(output("4", "ember", 35, 3, ["5", "fjord"]), patch("4", 35, "ember")),
    "6": Result(output("6", "grove", 75, 4, ["4", "ember"], answer="grove"), patch("6", 75)),
    "7": Result(output("7", "harbor", 125, 5, ["6", "grove"], late=True), patch("7", 125)),
    "8": Result(output("8", "indigo", 135, 5, ["6", "grove"]), patch("8", 135, text=["x"])),
    "10": Result(output("10", "kelp", 155, 5, ["6", "grove"]), patch("10", 155)),
}
"""What came back: of 7 after its cancel, of 8 with a patch that does not fit; neither leaves anything."""

VALUES: list[dict[str, Any]] = [
    {"text": "as it was", "done": [], "sum": 0},
    {"text": "as it was", "done": ["0"], "sum": 3, "note": "amber"},
    {"text": "as it was", "done": ["0", "2"], "sum": 23},
    {"text": "as it was", "done": ["0", "2", "5"], "sum": 30, "note": "fjord"},
    {"text": "as it was", "done": ["0", "2", "5", "4"], "sum": 35, "note": "ember"},
    {"text": "as it was", "done": ["0", "2", "5", "4", "6"], "sum": 75},
    {"text": "as it was", "done": ["0", "2", "5", "4", "6", "10"], "sum": 155},
]
"""The values as of versions 0 to 6."""

BEFORE = {"0": 0, "1": 1, "2": 1, "3": 2, "5": 2, "4": 3, "6": 4, "7": 5, "8": 5, "10": 5}
COMPLETED = ["0", "2", "5", "4", "6", "10"]
ENDS = {
    "1": ("failed", "OutOfTea", "failed"),
    "3": ("cancelled", "TaskCancelled", "cancelled"),
    "7": ("cancelled", "TaskCancelled", "completed"),
    "8": ("failed", "InvalidOutput", "completed"),
}
"""Record, its error and workflow of those that did not complete."""

KEYS = [{"done", "sum", "note"}] * 5 + [{"done", "sum"}]
"""What the versions changed. Task 10 removes a note that is not there."""


def plan_of(task_id: str) -> Plan:
    return next(plan for plan in PLANS if plan.task_id == task_id)


TURNS = [
    Turn(task_id, number + 1, plan_of(task_id).input, RESULTS[task_id].output)
    for number, task_id in enumerate(COMPLETED)
]


def memory(version: int) -> Memory:
    return Memory(version, VALUES[version], TURNS[:version])


def child(task_id: str) -> Child:
    return Child(
        task_id=task_id,
        run_id=f"run-{task_id}",
        started=STARTS[task_id],
        closed=5.1 if task_id == "3" else STARTS[task_id] + 0.9,
        status="completed" if task_id in COMPLETED else ENDS[task_id][2],
        named=("s", task_id),
        input=plan_of(task_id).input,
        memory=memory(BEFORE[task_id]),
        result=RESULTS.get(task_id),
    )


def ending(task_id: str) -> Ending:
    status, error, _ = ENDS.get(task_id, ("completed", None, ""))
    return Ending(
        task_id=task_id,
        status=status,
        error=error,
        submitted=float(task_id),
        started=STARTS[task_id],
        run_id=f"run-{task_id}",
        before=BEFORE[task_id],
        after=BEFORE[task_id] + 1 if task_id in COMPLETED else None,
        output=RESULTS[task_id].output if task_id in RESULTS else None,
    )


def marks(task_id: str, at: float, attempt: int = 1) -> list[Effect]:
    amount = plan_of(task_id).amount
    return [
        Effect(at + n, what, "s", task_id, f"run-{task_id}", attempt, amount) for n, what in ((0, BEGAN), (0.5, DONE))
    ]


NEVER_RAN = Ending("9", "cancelled", "TaskCancelled", 9, None, None, None, None, None)
FOUND = Found(
    session="s",
    endings=[*map(ending, ORDER[:-1]), NEVER_RAN, ending("10")],
    counts={"submitted": 11, "completed": 6, "failed": 2, "cancelled": 3, "timed_out": 0, "expired": 0},
    memory=memory(6),
    changes=[Change(n + 1, task_id, frozenset(KEYS[n])) for n, task_id in enumerate(COMPLETED)],
    refusals=["NotWaiting", "UnknownTask"],
    children=[*map(child, ORDER)],
)
EVENTS = [Event(float(plan.task_id), ACKNOWLEDGED, "s", plan.task_id) for plan in PLANS]
FACTS = Facts(
    events=[
        *EVENTS,
        Event(5.5, ACKNOWLEDGED, "s", "2"),
        Event(2.3, KILLED),
        Event(2.4, RESTARTED),
        Event(12.4, CUT_OFF, "s", "9"),
    ],
    # The worker of task 2 was killed in it, that of 3 before it came to anything.
    effects=[
        *(mark for task_id in ORDER if task_id not in {"2", "3"} for mark in marks(task_id, STARTS[task_id])),
        marks("2", 2.25)[0],
        *marks("2", 2.5, attempt=2),
        marks("3", 3.3)[0],
    ],
    sessions=[FOUND],
    at=25,
    replayed=12,
)


def judged(facts: Facts) -> Verdict:
    return check({"s": PLANS}, facts)


def test_what_went_well_is_counted_and_has_no_fault() -> None:
    verdict = judged(FACTS)
    assert [] == verdict.faults
    assert (1, 1, 11) == (verdict.kills, verdict.cut_off, verdict.acknowledged)
    assert (9, 1, 12) == (verdict.performed, verdict.retried, verdict.replayed)
    assert pytest.approx(1.0) == verdict.longest_stall


@pytest.mark.parametrize(("names", "mutate"), MUTANTS.values(), ids=MUTANTS.keys())
def test_whatever_is_done_wrong_is_told_by_its_name(names: set[str], mutate: Mutate) -> None:
    mutant = mutate(FACTS)
    assert mutant != FACTS
    assert names <= {finding.fault for finding in judged(mutant).findings}


def test_every_fault_that_is_looked_for_has_a_mutant() -> None:
    assert FAULTS.keys() == set().union(*(names for names, _ in MUTANTS.values()))


ALONE = [
    "another input injected",
    "a doubled patch",
    "a failed task ended twice",
    "a lost patch",
    "a message that was refused",
    "a record of another run",
    "a transcript in the wrong order injected",
    "a version before that is another",
    "an effect begun and not done",
    "an effect begun more often than killed",
    "an effect of another amount",
    "another version injected",
    "every output replaced",
    "no effect",
    "nothing injected",
    "outputs of each other",
    "patches in the wrong order",
    "versions in records that jump by two",
]
"""Of these nothing else follows: who reads the finding is led to nothing else."""


@pytest.mark.parametrize("name", ALONE)
def test_a_fault_is_not_told_as_another(name: str) -> None:
    names, mutate = MUTANTS[name]
    assert names == {finding.fault for finding in judged(mutate(FACTS)).findings}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a lost record", "s/10 has no final record"),
        ("a lost session", "s/10 has no final record, and its session does not answer"),
        ("a task run twice", "s/10 has 2 runs"),
        ("two final records", "s/10 has 2 final records"),
        ("a task accepted twice", "s counts 12 tasks as submitted, and 11 are known"),
        ("a failed task ended twice", "s counts 3 tasks as failed, and 2 are known"),
        ("a task ended twice", "s/10 has 2 versions"),
        ("wrong order", "s/1 ran before 0"),
        ("a doubled patch", "s/10 left its patch 2 times"),
        ("a lost patch", "s/10 completed without its patch"),
        ("a patch of one that did not complete", "s/1 left a patch without completing"),
        ("another version injected", "s/10 was given version 4 in place of 5"),
        ("versions in records that jump by two", "s/0 has version 0 before and 2 after, in place of 0 and 1"),
        ("an end that does not fit", "s/1 ended as failed, TaskFailed"),
        ("a completed task that never ran", "s/10 is completed, and never ran"),
        ("an effect twice in one attempt", "s/10 began its effect 2 times in attempt 1"),
        ("no effect", "s/10 went on without its effect"),
        ("an effect begun more often than killed", "s/10 began its effect 39 times, with 0 kills meanwhile"),
        ("an effect of another amount", "s/10 left an effect of 81 in place of 80"),
        ("a session that stands still", "s stood still for 10000 s after the last restart"),
    ],
)
def test_a_finding_says_whose_it_is(name: str, told: str) -> None:
    names, mutate = MUTANTS[name]
    verdict = judged(mutate(FACTS))
    assert told in [text for fault in names for text in verdict.of(fault)]


def test_an_interrupting_task_goes_before_what_waits() -> None:
    passed_over = [replace(e, started=5.2) if e.task_id == "4" else e for e in FOUND.endings]
    passed_over = [replace(e, started=11) if e.task_id == "5" else e for e in passed_over]
    verdict = judged(replace(FACTS, sessions=[replace(FOUND, endings=passed_over)]))
    assert ["s/4 ran before the front, 5"] == verdict.of("reordered")


@pytest.mark.parametrize("task_id", ["3", "10"])
def test_only_what_is_there_when_it_is_interrupted_is_cancelled_by_it(task_id: str) -> None:
    """Task 3 waits to be cancelled, by whomever; 10 was not there yet when 5 interrupted."""
    ended = [
        replace(e, status="cancelled", error="TaskCancelled") if e.task_id == task_id else e for e in FOUND.endings
    ]
    verdict = judged(replace(FACTS, sessions=[replace(FOUND, endings=ended)]))
    told = "s/10 ended as cancelled, TaskCancelled"
    assert ([told] if task_id == "10" else []) == verdict.of("unexpected")


@pytest.mark.parametrize(("attempts", "kills", "faults"), [(2, 0, 1), (2, 1, 0), (3, 1, 1), (3, 2, 0)])
def test_an_effect_may_be_begun_again_once_for_each_kill_meanwhile(attempts: int, kills: int, faults: int) -> None:
    begun = [replace(marks("10", 15)[0], attempt=n) for n in range(1, attempts + 1)]
    done = replace(marks("10", 15)[1], attempt=attempts)
    others = [mark for mark in FACTS.effects if mark.task_id != "10"]
    killed = [Event(15.5, KILLED)] * kills
    elsewhere = [Event(2.3, KILLED), Event(100, KILLED)]
    events = [*EVENTS, *killed, *elsewhere]
    verdict = judged(replace(FACTS, events=events, effects=[*others, *begun, done], at=25))
    assert faults == len(verdict.of("repeated"))


def test_a_session_that_stands_still_after_the_last_restart_is_told() -> None:
    late = [
        replace(c, started=c.started + 70, closed=(c.closed or 0) + 70) if c.started > 13.5 else c
        for c in FOUND.children
    ]
    facts = replace(FACTS, sessions=[replace(FOUND, children=late)], effects=[], at=100)
    before = judged(replace(facts, events=[*EVENTS, Event(83, RESTARTED)]))
    assert [] == before.of("stalled")
    after = judged(replace(facts, events=[*EVENTS, Event(5, RESTARTED)]))
    assert ["s stood still for 70 s after the last restart"] == after.of("stalled")
    assert pytest.approx(70.1) == after.longest_stall


def test_a_session_with_nothing_to_do_does_not_stand_still() -> None:
    assert 3 > judged(replace(FACTS, at=500)).longest_stall

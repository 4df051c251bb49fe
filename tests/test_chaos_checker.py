"""The judge of a chaos run, judged itself: each fault in a log or a finding is named, and nothing else is."""

import dataclasses
from typing import Any

import pytest

from benchmarks.chaos.checker import Child, Ending, Found, Verdict, check
from benchmarks.chaos.log import ACKNOWLEDGED, CUT_OFF, KILLED, RESTARTED, Event
from benchmarks.chaos.plans import DONE_KEY, INITIAL_CONTEXT

TASKS = ("0", "1", "2", "3")
"""Acknowledged at 0, 1, 2 and 3 s; run from 10, 11, 12 and 13 s for half a second each."""


def acknowledged(task_id: str, act: str = "quick", at: float | None = None) -> Event:
    return Event(int(task_id) if at is None else at, ACKNOWLEDGED, "s", task_id, act)


def ran(task_id: str, start: float, status: str = "completed") -> tuple[Ending, Child]:
    return Ending(task_id, status, int(task_id), start), Child(task_id, start, start + 0.5)


def found(*runs: tuple[Ending, Child], **changed: Any) -> Found:
    endings = [ending for ending, _ in runs]
    done = [ending.task_id for ending in endings if ending.status == "completed"]
    whole = Found("s", endings, len(TASKS), {**INITIAL_CONTEXT, DONE_KEY: done}, [child for _, child in runs])
    return dataclasses.replace(whole, **changed)


EVENTS = [acknowledged(task_id) for task_id in TASKS]
RUNS = [ran(task_id, 10 + int(task_id)) for task_id in TASKS]


def judged(*sessions: Found, events: list[Event] = EVENTS, now: float = 20) -> Verdict:
    return check(events, sessions, INITIAL_CONTEXT, now)


def test_what_went_well_is_counted_and_has_no_fault() -> None:
    events = [*EVENTS, acknowledged("2", at=5), Event(6, KILLED), Event(7, RESTARTED), Event(7, CUT_OFF, "s", "3")]
    verdict = judged(found(*RUNS), events=events)
    assert (1, 1, 4, []) == (verdict.kills, verdict.cut_off, verdict.acknowledged, verdict.faults)
    assert 3 == verdict.longest_stall  # from the restart to the first start


def test_a_lost_a_doubled_and_a_reordered_task_are_each_told() -> None:
    reordered = [ran("0", 10), ran("2", 11), ran("1", 12)]
    twice = found(*reordered, children=[child for _, child in reordered] + [Child("0", 15, 16)])
    verdict = judged(twice)
    assert ["s/3 has no final record"] == verdict.lost
    assert ["s/0 was run 2 times"] == verdict.doubled
    assert ["s/2 ran before 1"] == verdict.reordered
    assert 3 == len([fault for fault in verdict.faults if "stood still" not in fault])


def test_a_session_that_is_gone_lost_all_that_was_acknowledged() -> None:
    assert 4 == len(judged().lost)


@pytest.mark.parametrize(
    ("changed", "name", "fault"),
    [
        ({"endings": [*(e for e, _ in RUNS), RUNS[0][0]]}, "doubled", "s/0 has 2 final records"),
        ({"accepted": 5}, "doubled", "s accepted 5 tasks of 4"),
        ({"children": [RUNS[0][1], Child("1", 10.2, 11), *(c for _, c in RUNS[2:])]}, "overlapping", "1 began while 0"),
        ({"values": INITIAL_CONTEXT | {DONE_KEY: ["0", "1", "2", "3", "3"]}}, "misapplied", "s/3 left its patch 2"),
        ({"values": INITIAL_CONTEXT | {DONE_KEY: ["0", "1", "3"]}}, "misapplied", "s/2 completed without its patch"),
        ({"values": INITIAL_CONTEXT | {DONE_KEY: [*TASKS, "x"]}}, "misapplied", "s/x left a patch without"),
        ({"values": {"text": "other", DONE_KEY: [*TASKS]}}, "misapplied", "s was left with"),
        ({"values": {**INITIAL_CONTEXT, DONE_KEY: [*TASKS], "more": 1}}, "misapplied", "s was left with"),
    ],
)
def test_every_other_fault_is_told_by_its_name(changed: dict[str, Any], name: str, fault: str) -> None:
    verdict = judged(found(*RUNS, **changed))
    faults = [told for told in verdict.faults if "stood still" not in told]
    assert 1 == len(faults)
    assert f"{name}: " in faults[0]
    assert fault in faults[0]


def test_an_interrupting_task_goes_before_what_waits_and_cancels_what_ran() -> None:
    events = [acknowledged("0"), acknowledged("1"), acknowledged("2", "interrupt"), acknowledged("3", "slow")]
    served = found(ran("0", 0.5, "cancelled"), ran("2", 10), ran("1", 11), ran("3", 12))
    assert [] == judged(served, events=events).faults
    passed_over = found(ran("0", 0.5, "cancelled"), ran("1", 10), ran("2", 11), ran("3", 12))
    assert ["s/1 ran before the front, 2"] == judged(passed_over, events=events).reordered
    cancelled_after = found(ran("0", 0.5), ran("2", 10), ran("1", 11), ran("3", 12, "cancelled"))
    assert ["s/3 ended as cancelled"] == judged(cancelled_after, events=events).unexpected


@pytest.mark.parametrize(
    ("act", "right", "wrong"), [("raise", "failed", "completed"), ("linger", "cancelled", "completed")]
)
def test_an_ending_that_does_not_fit_what_the_task_does_is_told(act: str, right: str, wrong: str) -> None:
    events = [*EVENTS[:3], acknowledged("3", act)]
    assert [] == judged(found(*RUNS[:3], ran("3", 13, right)), events=events).faults
    assert [f"s/3 ended as {wrong}"] == judged(found(*RUNS[:3], ran("3", 13, wrong)), events=events).unexpected


def test_a_session_that_stands_still_after_the_last_restart_is_told() -> None:
    late = [ran("0", 10), ran("1", 75), ran("2", 76), ran("3", 77)]
    before = judged(found(*late), events=[*EVENTS, Event(74, RESTARTED)], now=80)
    assert [] == before.faults
    after = judged(found(*late), events=[*EVENTS, Event(5, RESTARTED)], now=80)
    assert ["a session stood still for 64 s after the last restart"] == after.faults
    never = judged(found(*RUNS[:3]), events=[*EVENTS, Event(5, RESTARTED)], now=80)
    assert 67.5 == never.longest_stall


def test_a_session_with_nothing_to_do_does_not_stand_still() -> None:
    cancelled_while_waiting = found(*RUNS[:3])
    endings = [*cancelled_while_waiting.endings, Ending("3", "cancelled", 3, None)]
    idle = dataclasses.replace(cancelled_while_waiting, endings=endings)
    events = [*EVENTS[:3], acknowledged("3", "hang"), Event(5, RESTARTED)]
    assert 5 == judged(idle, events=events, now=500).longest_stall

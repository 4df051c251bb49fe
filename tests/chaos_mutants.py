"""What a session, a server or an activity could have done wrong in a chaos run: right facts in, wrong facts out."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from benchmarks.chaos import checker
from benchmarks.chaos.facts import Change, Child, Ending, Facts, Found, Memory, Result, Turn
from benchmarks.chaos.log import BEGAN, DONE, RESTARTED, Effect, Event
from benchmarks.chaos.plans import DONE_KEY, SUM_KEY

Mutate = Callable[[Facts], Facts]

LONG = 10_000.0
"""Seconds: no run takes as long."""


def completed(found: Found) -> list[Ending]:
    """The records of completed tasks, in the order in which they ended."""
    return [ending for ending in found.endings if ending.status == "completed"]


def child_of(found: Found, ending: Ending) -> Child:
    """The workflow of that task."""
    return next(child for child in found.children if child.task_id == ending.task_id)


def one(change: Callable[[Found], Found]) -> Mutate:
    """That change of the session in which most tasks completed."""

    def mutate(facts: Facts) -> Facts:
        chosen = max(facts.sessions, key=lambda found: len(completed(found)))
        return replace(facts, sessions=[change(found) if found is chosen else found for found in facts.sessions])

    return mutate


def endings(change: Callable[[Ending], Ending], only: Callable[[Ending], bool] = lambda _: True) -> Mutate:
    """That change of every record for which `only` holds; of one at least."""

    def mutate(facts: Facts) -> Facts:
        assert any(only(ending) for found in facts.sessions for ending in found.endings)
        return replace(
            facts,
            sessions=[
                replace(found, endings=[change(e) if only(e) else e for e in found.endings]) for found in facts.sessions
            ],
        )

    return mutate


def children(change: Callable[[Child], Child]) -> Mutate:
    """That change of every workflow of a task."""
    return lambda facts: replace(
        facts, sessions=[replace(found, children=[*map(change, found.children)]) for found in facts.sessions]
    )


def last(change: Callable[[Found, Ending], Found]) -> Mutate:
    """That change about the last task that completed of a session."""
    return one(lambda found: change(found, completed(found)[-1]))


def given(change: Callable[[Memory], Memory]) -> Mutate:
    """That change of what the last task that completed of a session was given."""

    def of_child(found: Found, ending: Ending) -> Found:
        mutant = child_of(found, ending)
        return replace(
            found,
            children=[replace(c, memory=change(c.memory)) if c is mutant else c for c in found.children],
        )

    return last(of_child)


def values(change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> Mutate:
    """That change of the values that a session is left with."""
    return one(lambda found: replace(found, memory=replace(found.memory, values=change(dict(found.memory.values)))))


def _every_output_replaced_everywhere(facts: Facts) -> Facts:
    def of(found: Found) -> Found:
        replaced: list[Turn] = [replace(turn, output="no") for turn in found.memory.turns]
        return replace(
            found,
            endings=[replace(e, output=e.output and "no") for e in found.endings],
            memory=replace(found.memory, turns=replaced),
            children=[replace(c, result=c.result and Result("no", c.result.patch)) for c in found.children],
        )

    return replace(facts, sessions=[*map(of, facts.sessions)])


def _outputs_of_each_other(found: Found) -> Found:
    first, second = completed(found)[:2]
    swapped = {first.task_id: second.output, second.task_id: first.output}
    return replace(found, endings=[replace(e, output=swapped.get(e.task_id, e.output)) for e in found.endings])


def _jumping(facts: Facts) -> Facts:
    """Versions that jump by two, wherever one is told."""

    def turns(memory: Memory) -> Memory:
        doubled = [replace(turn, version=2 * turn.version) for turn in memory.turns]
        return Memory(2 * memory.version, memory.values, doubled)

    def ending(found: Ending) -> Ending:
        numbers = [None if number is None else 2 * number for number in (found.before, found.after)]
        return replace(found, before=numbers[0], after=numbers[1])

    def of(found: Found) -> Found:
        return replace(
            found,
            endings=[*map(ending, found.endings)],
            memory=turns(found.memory),
            changes=[replace(change, version=2 * change.version) for change in found.changes],
            children=[replace(child, memory=turns(child.memory)) for child in found.children],
        )

    return replace(facts, sessions=[*map(of, facts.sessions)])


def _patched_twice(found: Found, ending: Ending) -> Found:
    amount = child_of(found, ending).input["amount"]
    twice = {DONE_KEY: [*found.memory.values[DONE_KEY], ending.task_id], SUM_KEY: found.memory.values[SUM_KEY] + amount}
    return replace(found, memory=replace(found.memory, values={**found.memory.values, **twice}))


def _patch_lost(found: Found, ending: Ending) -> Found:
    amount = child_of(found, ending).input["amount"]
    done = [task_id for task_id in found.memory.values[DONE_KEY] if task_id != ending.task_id]
    without = {DONE_KEY: done, SUM_KEY: found.memory.values[SUM_KEY] - amount}
    return replace(found, memory=replace(found.memory, values={**found.memory.values, **without}))


def _patch_of_one_that_did_not_complete(facts: Facts) -> Facts:
    def of(found: Found) -> Found:
        failed = [e.task_id for e in found.endings if e.status != "completed" and e.run_id]
        done = [*found.memory.values[DONE_KEY], *failed[:1]]
        return replace(found, memory=replace(found.memory, values={**found.memory.values, DONE_KEY: done}))

    return replace(facts, sessions=[*map(of, facts.sessions)])


def _starts_swapped(found: Found) -> Found:
    """Two ordinary tasks in a row have run in each other's place, and nothing else tells it."""
    plain = [c for c in sorted(found.children, key=lambda child: child.started) if c.input["act"] != "interrupt"]
    first, second = plain[:2]
    moved = {
        first.task_id: replace(first, started=second.started, closed=second.closed),
        second.task_id: replace(second, started=first.started, closed=first.closed),
    }
    return replace(found, children=[moved.get(child.task_id, child) for child in found.children])


def _all_at_once(found: Found) -> Found:
    start = min(child.started for child in found.children)
    return replace(found, children=[replace(c, started=start + i / 1e6) for i, c in enumerate(found.children)])


def _counted_twice(found: Found, ending: Ending) -> Found:
    return replace(found, counts={**found.counts, ending.status: found.counts[ending.status] + 1})


def _ended_twice(found: Found, ending: Ending) -> Found:
    """As a session would show it that keeps its records by id."""
    found, version = _counted_twice(found, ending), found.memory.version + 1
    turn = replace(found.memory.turns[-1], version=version)
    change = replace(found.changes[-1], version=version)
    memory = replace(found.memory, version=version, turns=[*found.memory.turns, turn])
    return replace(found, memory=memory, changes=[*found.changes, change])


def _run_twice(found: Found, ending: Ending) -> Found:
    child = child_of(found, ending)
    later = replace(child, run_id="another", started=child.started + LONG, closed=child.started + LONG + 1)
    return replace(found, children=[*found.children, later])


def _without_run(found: Found, ending: Ending) -> Found:
    return replace(found, children=[child for child in found.children if child.task_id != ending.task_id])


def _without_record(found: Found, ending: Ending) -> Found:
    counts = {**found.counts, "completed": found.counts["completed"] - 1}
    return replace(found, endings=[e for e in found.endings if e is not ending], counts=counts)


def effects(change: Callable[[Effect], list[Effect]]) -> Mutate:
    """That change of the marks that the last task to complete of a session left."""

    def mutate(facts: Facts) -> Facts:
        chosen = max(facts.sessions, key=lambda found: len(completed(found)))
        task_id = completed(chosen)[-1].task_id
        marks: list[Effect] = []
        for mark in facts.effects:
            own = (mark.session, mark.task_id) == (chosen.session, task_id)
            marks += change(mark) if own else [mark]
        return replace(facts, effects=marks)

    return mutate


def _of_one_that_never_ran(facts: Facts) -> Facts:
    mark = facts.effects[0]
    return replace(facts, effects=[*facts.effects, replace(mark, task_id="never")])


def _of_a_session_that_nobody_opened(facts: Facts) -> Facts:
    return replace(facts, effects=[*facts.effects, replace(facts.effects[0], session="nobody's")])


def _standing_still(facts: Facts) -> Facts:
    """The last task has not ended, long after the last restart."""
    found = max(facts.sessions, key=lambda found: len(completed(found)))
    left = _without_record(found, completed(found)[-1])
    sessions = [left if each is found else each for each in facts.sessions]
    return replace(facts, sessions=sessions, at=facts.at + LONG, events=[*facts.events, Event(facts.at, RESTARTED)])


def _never_asked_for(found: Found, ending: Ending) -> Found:
    return replace(found, endings=[*found.endings, replace(ending, task_id="x", run_id=None)])


M = checker
MUTANTS: dict[str, tuple[set[str], Mutate]] = {
    # what tasks answered
    "every output replaced": ({M.MISANSWERED}, endings(lambda e: replace(e, output=e.output and "no"))),
    "every output replaced, everywhere": ({M.MISANSWERED, M.MISAPPLIED}, _every_output_replaced_everywhere),
    "no output": ({M.MISANSWERED}, endings(lambda e: replace(e, output=None))),
    "outputs of each other": ({M.MISANSWERED}, one(_outputs_of_each_other)),
    "the output of a failed task": (
        {M.MISANSWERED},
        endings(lambda e: replace(e, output="late"), lambda e: e.error == "OutOfTea"),
    ),
    "another patch returned": (
        {M.MISANSWERED},
        children(lambda c: replace(c, result=c.result and Result(c.result.output, None))),
    ),
    # what tasks were given
    "nothing injected": ({M.MISINJECTED}, children(lambda c: replace(c, memory=Memory(c.memory.version, {}, [])))),
    "no values injected": ({M.MISINJECTED}, given(lambda m: replace(m, values={}))),
    "no transcript injected": ({M.MISINJECTED}, given(lambda m: replace(m, turns=[]))),
    "a transcript in the wrong order injected": ({M.MISINJECTED}, given(lambda m: replace(m, turns=m.turns[::-1]))),
    "a transcript without its last turn injected": ({M.MISINJECTED}, given(lambda m: replace(m, turns=m.turns[:-1]))),
    "a turn of another output injected": (
        {M.MISINJECTED},
        given(lambda m: replace(m, turns=[*m.turns[:-1], replace(m.turns[-1], output=m.turns[0].output)])),
    ),
    "another version injected": ({M.MISINJECTED}, given(lambda m: replace(m, version=m.version - 1))),
    "values of an older version injected": (
        {M.MISINJECTED},
        given(lambda m: replace(m, values={**m.values, DONE_KEY: m.values[DONE_KEY][:-1]})),
    ),
    "another input injected": ({M.MISINJECTED}, children(lambda c: replace(c, input={**c.input, "amount": 0}))),
    "another name injected": ({M.MISINJECTED}, children(lambda c: replace(c, named=(c.named[0], "x")))),
    # versions
    "versions that jump by two": ({M.MISVERSIONED, M.MISINJECTED, M.MISAPPLIED}, _jumping),
    "versions in records that jump by two": (
        {M.MISVERSIONED},
        endings(lambda e: replace(e, after=e.after and e.after + 1)),
    ),
    "a version before that is none": (
        {M.MISVERSIONED},
        endings(lambda e: replace(e, before=None), lambda e: bool(e.before)),
    ),
    "a version before that is another": (
        {M.MISVERSIONED},
        endings(lambda e: replace(e, before=e.before and e.before - 1), lambda e: bool(e.before)),
    ),
    "a version left by a failed task": (
        {M.MISVERSIONED},
        endings(lambda e: replace(e, after=e.before), lambda e: e.status == "failed"),
    ),
    "no version left": (
        {M.MISVERSIONED},
        endings(lambda e: replace(e, after=None), lambda e: e.status == "completed"),
    ),
    "a session one version further": (
        {M.MISVERSIONED},
        one(lambda f: replace(f, memory=replace(f.memory, version=f.memory.version + 1))),
    ),
    "a version of somebody else": (
        {M.MISVERSIONED},
        one(lambda f: replace(f, changes=[*f.changes[:-1], replace(f.changes[-1], by="external")])),
    ),
    "a version that changed other keys": (
        {M.MISVERSIONED},
        one(
            lambda f: replace(
                f, changes=[*f.changes[:-1], Change(f.changes[-1].version, f.changes[-1].by, frozenset())]
            )
        ),
    ),
    "a version that is not listed": ({M.MISVERSIONED}, one(lambda f: replace(f, changes=f.changes[:-1]))),
    # what is left in the end
    "a doubled patch": ({M.MISAPPLIED}, last(_patched_twice)),
    "a lost patch": ({M.MISAPPLIED}, last(_patch_lost)),
    "half a patch": ({M.MISAPPLIED}, values(lambda v: {**v, SUM_KEY: v[SUM_KEY] - 1})),
    "a patch of one that did not complete": ({M.MISAPPLIED}, _patch_of_one_that_did_not_complete),
    "patches in the wrong order": ({M.MISAPPLIED}, values(lambda v: {**v, DONE_KEY: v[DONE_KEY][::-1]})),
    "a value of nobody": ({M.MISAPPLIED}, values(lambda v: {**v, "more": 1})),
    "a value that is gone": ({M.MISAPPLIED}, values(lambda v: {k: v[k] for k in v if k != "text"})),
    "a lost turn": ({M.MISAPPLIED}, one(lambda f: replace(f, memory=replace(f.memory, turns=f.memory.turns[:-1])))),
    # order
    "wrong order": ({M.REORDERED}, one(_starts_swapped)),
    "all at once": ({M.OVERLAPPING}, one(_all_at_once)),
    # ends
    "a task ended twice": ({M.DOUBLED, M.MISVERSIONED, M.MISAPPLIED}, last(_ended_twice)),
    "a failed task ended twice": (
        {M.DOUBLED},
        one(lambda f: replace(f, counts={**f.counts, "failed": f.counts["failed"] + 1})),
    ),
    "two final records": (
        {M.DOUBLED},
        last(lambda f, e: replace(f, endings=[*f.endings, e], counts=_counted_twice(f, e).counts)),
    ),
    "a task run twice": ({M.DOUBLED}, last(_run_twice)),
    "a task accepted twice": (
        {M.DOUBLED},
        one(lambda f: replace(f, counts={**f.counts, "submitted": f.counts["submitted"] + 1})),
    ),
    "a task that was never accepted": (
        {M.LOST},
        one(lambda f: replace(f, counts={**f.counts, "submitted": f.counts["submitted"] - 1})),
    ),
    "a lost record": ({M.LOST}, last(_without_record)),
    "a lost session": ({M.LOST}, lambda facts: replace(facts, sessions=facts.sessions[1:])),
    "an end that does not fit": (
        {M.UNEXPECTED},
        endings(lambda e: replace(e, error="TaskFailed"), lambda e: e.error == "OutOfTea"),
    ),
    "a record of another run": ({M.UNEXPECTED}, endings(lambda e: replace(e, run_id=e.run_id and "another"))),
    "a completed task whose workflow did not": (
        {M.UNEXPECTED},
        children(lambda c: replace(c, status="terminated" if c.status == "completed" else c.status, result=None)),
    ),
    "a completed task that never ran": ({M.UNEXPECTED}, last(_without_run)),
    "a task that nobody asked for": ({M.UNEXPECTED}, last(_never_asked_for)),
    "a message that was refused": ({M.UNEXPECTED}, one(lambda f: replace(f, refusals=[*f.refusals, "TaskIdConflict"]))),
    # what activities did
    "no effect": ({M.UNPERFORMED}, effects(lambda _: [])),
    "an effect begun and not done": ({M.UNPERFORMED}, effects(lambda m: [] if m.what == DONE else [m])),
    "an effect begun more often than killed": (
        {M.REPEATED},
        effects(lambda m: [m, *(replace(m, attempt=n) for n in range(m.attempt + 1, 40))] if m.what == BEGAN else [m]),
    ),
    "an effect twice in one attempt": ({M.REPEATED}, effects(lambda m: [m, m])),
    "an effect of another run": ({M.STRAY}, effects(lambda m: [replace(m, run_id="another")])),
    "an effect of another amount": ({M.STRAY}, effects(lambda m: [replace(m, amount=m.amount + 1)])),
    "an effect long after the end": (
        {M.STRAY},
        effects(lambda m: [m, replace(m, at=m.at + LONG)] if m.what == BEGAN else [m]),
    ),
    "an effect long before the start": ({M.STRAY}, effects(lambda m: [replace(m, at=m.at - LONG)])),
    "an effect of a task that never ran": ({M.STRAY}, _of_one_that_never_ran),
    "an effect in a session that nobody opened": ({M.STRAY}, _of_a_session_that_nobody_opened),
    # the rest
    "a session that stands still": ({M.STALLED}, _standing_still),
    "a history that does not replay": ({M.UNREPLAYABLE}, lambda facts: replace(facts, unreplayable=["r: differs"])),
}
"""Each with the faults that it must be told as; further ones may follow from them."""

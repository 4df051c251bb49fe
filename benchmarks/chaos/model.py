"""What tasks must have been given, answered and left: computed anew from their plans, by rules of its own.

It shares nothing with the sessions, nor with the kind: `kinds.py` computes with what it was given, this with what it
must have been given.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.chaos.facts import Change, Memory, Result, Turn
from benchmarks.chaos.plans import DONE_KEY, INITIAL_CONTEXT, NOTE_KEY, SUM_KEY, Plan

TURNS_GIVEN = 20
"""A task is given as many of the newest turns, by the contract's default."""

VERSIONS_LISTED = 50
"""The log of a context has as many of the newest versions, by the contract."""

RAISES, OVERREACHES, LATE = "raise", "overreach", "linger"
NEVER_RETURN = {RAISES, "hang"}


@dataclass(frozen=True)
class Life:
    """What a session must have come to: the memory that each task saw, the one at the end, and the log of versions."""

    seen: Mapping[str, Memory]
    memory: Memory
    changes: list[Change]


def lived(plans: Mapping[str, Plan], ran: Iterable[tuple[str, bool]]) -> Life:
    """The life of a session whose tasks `ran` in that order; true for each that completed, and so left its patch."""
    memory, seen, changes = Memory(0, INITIAL_CONTEXT, ()), dict[str, Memory](), list[Change]()
    for task_id, completed in ran:
        plan = plans[task_id]
        seen[task_id] = Memory(memory.version, memory.values, memory.turns[-TURNS_GIVEN:])
        if completed:
            result = returned(plan, seen[task_id])
            version = memory.version + 1
            turn = Turn(task_id, version, plan.input, result.output if result else None)
            memory = Memory(version, _after(memory.values, plan), (*memory.turns, turn))
            noted = {NOTE_KEY} & {*seen[task_id].values, *memory.values}
            changes.append(Change(version, task_id, frozenset({DONE_KEY, SUM_KEY, *noted})))
    return Life(seen, memory, changes[-VERSIONS_LISTED:])


def returned(plan: Plan, seen: Memory) -> Result | None:
    """What a task must return that saw that memory, if it comes to return anything; null for one that never does."""
    if plan.act in NEVER_RETURN:
        return None
    total, last = seen.values[SUM_KEY] + plan.amount, seen.turns[-1] if seen.turns else None
    output: dict[str, Any] = {
        "task": plan.task_id,
        "word": plan.word,
        "sum": total,
        "after": len(seen.values[DONE_KEY]),
        "heard": [last.task_id, (last.output or {}).get("word")] if last else None,
        "answer": plan.word if plan.act == "ask" else None,
        "late": plan.act == LATE,
    }
    remembers = plan.amount % 2 == 1
    patch: dict[str, Any] = {
        "unset": [] if remembers else [NOTE_KEY],
        "set": {SUM_KEY: total, NOTE_KEY: plan.word} if remembers else {SUM_KEY: total},
        "append": {DONE_KEY: [plan.task_id]},
    }
    if plan.act == OVERREACHES:
        patch["append"] = {DONE_KEY: [plan.task_id], "text": ["x"]}
    return Result(output, patch)


def _after(values: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The values once that task has left its patch."""
    after = {key: value for key, value in values.items() if key != NOTE_KEY or plan.amount % 2 == 1}
    if plan.amount % 2 == 1:
        after[NOTE_KEY] = plan.word
    return after | {SUM_KEY: values[SUM_KEY] + plan.amount, DONE_KEY: [*values[DONE_KEY], plan.task_id]}

"""Context into a task and out of it: what each policy injects, and what a patch does."""

import asyncio
from typing import Any

import pytest

from tests.conformance.caller import Caller, Json, Session, outcome

ISOLATED = {"read": "none", "transcript": 0, "write": False}
VALUES = {"tea": 1, "milk": [2], "sugar": None}


async def seen(session: Session, policy: Json | None) -> Json:
    """The context that a task with this policy is given."""
    return dict((await session.run("Show", context=policy))["output"]["context"])


@pytest.mark.parametrize(
    ("policy", "values", "turns", "write"),
    [
        (None, VALUES, 3, True),
        ({}, VALUES, 3, True),
        ({"read": None, "transcript": None, "write": None}, VALUES, 3, True),
        (ISOLATED, {}, 0, False),
        ({"read": ["tea", "lemon"]}, {"tea": 1}, 3, True),
        ({"read": ["lemon", "sugar", "milk", "tea"]}, VALUES, 3, True),
        ({"read": ["all", "te"]}, {}, 3, True),
        ({"read": []}, {}, 3, True),
        ({"write": False}, VALUES, 3, False),
        ({"transcript": 2}, VALUES, 2, True),
        ({"transcript": 99}, VALUES, 3, True),
        ({"read": "none"}, {}, 3, True),
    ],
    ids=[
        "default",
        "empty",
        "nulls",
        "isolated",
        "keyed",
        "all keys",
        "no such keys",
        "no keys",
        "read-only",
        "windowed",
        "wide",
        "turns only",
    ],
)
async def test_a_policy_says_what_a_task_is_given(
    caller: Caller, policy: Json | None, values: Json, turns: int, write: bool
) -> None:
    session = await caller.start({"context": VALUES})
    for number in range(3):
        await session.run("Echo", f"turn {number}")
    context = await seen(session, policy)
    assert (3, write, values) == (context["version"], context["write"], context["values"])
    assert [f"turn {number}" for number in range(3 - turns, 3)] == [turn["input"] for turn in context["transcript"]]


async def test_the_sessions_own_settings_are_the_default_policy(caller: Caller) -> None:
    session = await caller.start({"config": {"read": ["tea"], "transcript": 1}, "context": VALUES})
    for number in range(2):
        await session.run("Echo", f"turn {number}")
    context = await seen(session, None)
    assert ({"tea": 1}, ["turn 1"]) == (context["values"], [turn["input"] for turn in context["transcript"]])
    context = await seen(session, {"read": "all", "transcript": 2})
    assert (VALUES, ["turn 1", None]) == (context["values"], [turn["input"] for turn in context["transcript"]])


async def test_twenty_turns_are_given_unless_said_otherwise(caller: Caller) -> None:
    session = await caller.start()
    for number in range(22):
        await session.submit("Echo", number)
    context = await seen(session, None)
    assert list(range(2, 22)) == [turn["input"] for turn in context["transcript"]]


async def test_a_completed_task_with_write_makes_one_version_and_one_turn_even_without_a_patch(caller: Caller) -> None:
    session = await caller.start()
    for number, result in enumerate([{"output": "a"}, {"output": "b", "patch": {}}, {"output": "c", "patch": None}]):
        record = await session.run("Return", result)
        assert {"before": number, "after": number + 1} == record["context_version"]
    context = await session.context()
    assert 3 == context["version"]
    assert [(1, "a"), (2, "b"), (3, "c")] == [(turn["version"], turn["output"]) for turn in context["transcript"]]
    turn = context["transcript"][0]
    assert {"task_id", "version", "input", "output", "finished_at"} <= turn.keys()
    assert {"output": "a"} == turn["input"]


async def test_a_completed_task_without_write_makes_neither(caller: Caller) -> None:
    session = await caller.start()
    await session.run("Echo")
    record = await session.run("Echo", context={"write": False})
    assert ("completed", {"before": 1, "after": 1}) == (record["status"], record["context_version"])
    context = await session.context()
    assert (1, 1, 1) == (context["version"], len(context["transcript"]), len(context["log"]))


async def test_a_read_only_task_that_returns_a_patch_fails_and_leaves_no_trace(caller: Caller) -> None:
    session = await caller.start()
    record = await session.run("Return", {"output": 1, "patch": {"set": {"tea": 1}}}, context={"write": False})
    assert (("failed", "PatchNotAllowed"), None) == (outcome(record), record["context_version"]["after"])
    assert (0, {}) == ((await session.context())["version"], await session.values())


@pytest.mark.parametrize(
    ("patch", "left"),
    [
        ({"set": {"tea": 2, "new": {"deep": [1]}}}, {"tea": 2, "new": {"deep": [1]}}),
        ({"unset": ["tea", "never there"]}, {"tea": "gone"}),
        ({"append": {"milk": [3, None]}}, {"milk": [2, 3, None]}),
        ({"append": {"new": [1]}}, {"new": [1]}),
        ({"unset": ["tea"], "set": {"tea": [1]}, "append": {"tea": [2]}}, {"tea": [1, 2]}),
        ({"unset": ["tea"], "append": {"tea": [2]}}, {"tea": [2]}),
        ({"set": {"sugar": None}, "unset": None, "append": None}, {"sugar": None}),
    ],
    ids=["set", "unset", "append", "append to nothing", "in order", "unset then append", "nulls"],
)
async def test_a_patch_is_applied_in_the_order_unset_set_append(caller: Caller, patch: Json, left: Json) -> None:
    session = await caller.start({"context": VALUES})
    await session.run("Return", {"output": 1, "patch": patch})
    expected = {key: value for key, value in (VALUES | left).items() if value != "gone"}
    assert expected == await session.values()
    assert expected == (await seen(session, None))["values"]
    changed = {key for part in patch.values() for key in part or []}
    assert changed - {"never there"} == {*(await session.context())["log"][0]["changed"]} - {"never there"}


async def test_an_append_to_something_else_than_a_list_fails_the_task_and_drops_the_whole_patch(caller: Caller) -> None:
    session = await caller.start({"context": VALUES})
    record = await session.run("Return", {"output": 1, "patch": {"set": {"new": 1}, "append": {"tea": [1]}}})
    assert (("failed", "InvalidOutput"), VALUES) == (outcome(record), await session.values())


async def test_what_fails_or_is_cancelled_or_times_out_leaves_no_trace(caller: Caller) -> None:
    session = await caller.start({"context": VALUES})
    trace = {"output": "kept", "patch": {"set": {"left": "a trace"}}}
    cancelled = await session.begun("Tidy", trace)
    await session.submit("Fail", "named")
    await session.submit("Gate", trace, timeout=1)
    await session.signal("cancel_task", {"task_id": cancelled})
    shown = await session.run("Show")
    context: Any = shown["output"]["context"]
    assert (0, VALUES, []) == (context["version"], context["values"], context["transcript"])
    assert {"completed": 1, "failed": 1, "cancelled": 1, "timed_out": 1}.items() <= (await session.snapshot())[
        "counters"
    ].items()


async def test_a_key_changed_from_outside_meanwhile_fails_the_task_and_drops_its_whole_patch(caller: Caller) -> None:
    session = await caller.start({"context": VALUES})
    clash = {"output": "kept", "patch": {"set": {"tea": "task", "other": "task"}}}
    task_id = await session.begun("Gate", clash)
    await session.update("patch_context", {"patch": {"set": {"tea": "outside"}}})
    await session.go(task_id)
    record = await session.ended(task_id)
    assert (("failed", "ContextConflict"), "kept") == (outcome(record), record["output"])
    assert VALUES | {"tea": "outside"} == await session.values()
    assert [] == (await session.context())["transcript"]


async def test_other_keys_changed_from_outside_meanwhile_are_no_conflict(caller: Caller) -> None:
    session = await caller.start({"context": VALUES})
    task_id = await session.begun("Gate", {"output": 1, "patch": {"set": {"tea": "task"}}})
    await session.update("patch_context", {"patch": {"set": {"milk": "outside"}}})
    await session.go(task_id)
    record = await session.ended(task_id)
    assert ("completed", {"before": 0, "after": 2}) == (record["status"], record["context_version"])
    assert VALUES | {"tea": "task", "milk": "outside"} == await session.values()


async def test_sessions_do_not_see_each_others_context(caller: Caller) -> None:
    one, other = await asyncio.gather(caller.start({"context": {"of": 1}}), caller.start({"context": {"of": 2}}))
    await one.run("Return", {"output": 1, "patch": {"set": {"mine": True}}})
    assert {"of": 2} == (await seen(other, None))["values"]

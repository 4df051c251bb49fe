"""Context on a real server: what each task of a session saw, what it left, what the next one saw."""

import asyncio
from typing import Any, NamedTuple

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from starter.client import Session
from tests.harness import WAIT, Harness, run_task
from workflows.contract import ISOLATED, ContextPolicy, TaskInput, task_workflow_id
from workflows.wire import limits
from workflows.wire.errors import SessionError

TOO_LARGE = {"k": "x" * limits.CONTEXT_BYTES}


class Row(NamedTuple):
    """One task: its policy, the patch it returns; what it has to see, and the versions it saw and left."""

    task_id: str
    policy: ContextPolicy | None
    patch: dict[str, Any] | None
    values: dict[str, Any]
    turns: list[str]
    versions: tuple[int, int | None]


ADA = {"name": "Ada", "mood": "calm"}
SCENARIO = [
    Row("shared", None, {"set": {"topic": "space"}, "unset": ["mood"]}, ADA, [], (0, 1)),
    Row("isolated", ISOLATED, None, {}, [], (1, 1)),
    Row("read-only", ContextPolicy(write=False), None, {"name": "Ada", "topic": "space"}, ["shared"], (1, 1)),
    Row(
        "keyed",
        ContextPolicy(read=["topic", "no"], transcript=0),
        {"set": {"topic": "sea"}},
        {"topic": "space"},
        [],
        (1, 2),
    ),
    Row(
        "windowed",
        ContextPolicy(transcript=1),
        {"append": {"seen": [1]}},
        {"name": "Ada", "topic": "sea"},
        ["keyed"],
        (2, 3),
    ),
    Row(
        "turns-only", ContextPolicy(read="none"), {"append": {"seen": [2]}}, {}, ["shared", "keyed", "windowed"], (3, 4)
    ),
    Row("disobedient", ISOLATED, {"set": {"name": "Eve"}}, {}, [], (4, None)),
    Row(
        "shared-again",
        None,
        None,
        {"name": "Ada", "topic": "sea", "seen": [1, 2]},
        ["shared", "keyed", "windowed", "turns-only"],
        (4, 5),
    ),
]


async def _start_input(harness: Harness, session: Session, task_id: str) -> TaskInput:
    """What the history of a task has as its input."""
    history = await harness.temporal.get_workflow_handle(task_workflow_id(session.id, task_id)).fetch_history()
    payloads = history.events[0].workflow_execution_started_event_attributes.input.payloads
    (given,) = await pydantic_data_converter.decode(list(payloads), [TaskInput])
    assert isinstance(given, TaskInput)
    return given


async def test_what_each_task_saw_what_it_left_and_what_the_next_one_saw(harness: Harness) -> None:
    session = await harness.open(context=ADA)
    for row in SCENARIO:
        record = await run_task(session, row.patch, kind="Note", task_id=row.task_id, context=row.policy)
        error = record.error.type if record.error else None
        versions = record.context_version
        assert (row.task_id, row.versions) == (row.task_id, (versions.before, versions.after))
        assert (row.task_id, "PatchNotAllowed" if row.versions[1] is None else None) == (row.task_id, error)
        seen = (await _start_input(harness, session, row.task_id)).context
        assert (row.task_id, row.values, row.versions[0]) == (row.task_id, seen.values, seen.version)
        assert (row.task_id, row.turns) == (row.task_id, [turn.task_id for turn in seen.transcript])
        assert record.output == seen.model_dump(mode="json")
    log = [(entry.version, entry.by, entry.changed) for entry in (await session.context()).log]
    changed = [["mood", "topic"], ["topic"], ["seen"], ["seen"], []]
    writers = ["shared", "keyed", "windowed", "turns-only", "shared-again"]
    assert [(number, *entry) for number, entry in enumerate(zip(writers, changed, strict=True), 1)] == log


async def test_values_over_their_limit_fail_a_start_before_anything_is_scheduled(harness: Harness) -> None:
    handle = await harness.temporal.start_workflow(
        "Session", {"context": TOO_LARGE}, id=f"{harness.queue}-large", task_queue=harness.queue
    )
    with pytest.raises(WorkflowFailureError) as failure:
        await asyncio.wait_for(handle.result(), WAIT)
    assert isinstance(failure.value.cause, ApplicationError)
    assert "ContextTooLarge" == failure.value.cause.type
    events = {EventType.Name(event.event_type) for event in (await handle.fetch_history()).events}
    assert {"STARTED", "FAILED"} == {name.rpartition("_")[2] for name in events if "_TASK_" not in name}


async def test_a_client_refuses_such_values_without_spending_the_id(harness: Harness) -> None:
    session_id = f"{harness.queue}-refused"
    with pytest.raises(SessionError, match="ContextTooLarge"):
        await harness.client.open(session_id, context=TOO_LARGE)
    session = await harness.client.open(session_id, context={"k": 1})
    assert {"k": 1} == (await session.context()).values


async def test_a_patch_that_no_longer_fits_costs_the_task_its_patch_and_not_its_output(harness: Harness) -> None:
    session = await harness.open()
    patches = [{"set": {f"k{number}": "x" * 60_000}} for number in range(5)]
    *fitting, last = [await run_task(session, patch, kind="Remember") for patch in patches]
    assert ["completed"] * 4 == [record.status for record in fitting]
    assert last.error
    assert ("failed", "ContextTooLarge", "remembered") == (last.status, last.error.type, last.output)
    assert ["k0", "k1", "k2", "k3"] == list((await session.context()).values)

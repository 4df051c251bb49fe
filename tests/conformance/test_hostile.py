"""Thousands of messages that nobody should send: each is refused and counted, and the session goes on.

`SESSIONS_FUZZ=1` sends twenty times as many.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.client import WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from tests.conformance.caller import Caller, Session, query_refused
from tests.conformance.messages import HOSTILE_SIGNAL, HOSTILE_UPDATE, JSON, UNREADABLE, UPDATES

SCALE = 20 if os.environ.get("SESSIONS_FUZZ") == "1" else 1
IN_FLIGHT = 8
"""Updates at once: the server takes ten."""

BY_THE_SERVER = {"UNHANDLED_COMMAND", "FORCE_CLOSE_COMMAND"}
ERRORS = {"InvalidRequest", "UnknownTask", "InputTooLarge"}


def often(examples: int) -> settings:
    """So many examples, whatever else the machine does."""
    return settings(max_examples=examples * SCALE, deadline=None, suppress_health_check=[*HealthCheck])


async def failed_workflow_tasks(session: Session) -> list[str]:
    """Why workflow tasks of a session failed, in all its runs.

    But for those that the server gives up to hand in what came meanwhile: no fault of anyone's, and nothing is lost.
    """
    found, run_id = [], (await session.handle.describe()).run_id
    while run_id:
        run = session.run_of(run_id)
        run_id = ""
        async for event in run.fetch_history_events():
            run_id = run_id or event.workflow_execution_started_event_attributes.continued_execution_run_id
            failed = event.workflow_task_failed_event_attributes
            cause = WorkflowTaskFailedCause.Name(failed.cause).removeprefix("WORKFLOW_TASK_FAILED_CAUSE_")
            if event.HasField("workflow_task_failed_event_attributes") and cause not in BY_THE_SERVER:
                found.append(f"{cause}: {failed.failure.message}")
    return found


@pytest.fixture(scope="module")
async def victim(caller: Caller) -> AsyncIterator[Session]:
    """One session for all that comes; afterwards none of its workflow tasks has failed."""
    session = await caller.start()
    yield session
    assert [] == await failed_workflow_tasks(session)


async def answers(session: Session) -> None:
    """The next task runs and gives its own answer."""
    request = session.request("Echo")
    await session.signal("submit", request | {"input": request["task_id"]})
    record = await session.ended(request["task_id"])
    assert ("completed", request["task_id"]) == (record["status"], record["output"])


@often(50)
@given(st.lists(HOSTILE_SIGNAL, min_size=40, max_size=48))
@pytest.mark.rare
async def test_after_any_signals_all_are_counted_and_the_next_task_gets_its_own_answer(
    victim: Session, messages: list[tuple[str, list[Any]]]
) -> None:
    before = (await victim.snapshot())["counters"]["rejected"]
    await asyncio.gather(*(victim.signal(name, *args) for name, args in messages))
    await answers(victim)
    snapshot = await victim.snapshot()
    assert len(messages) == snapshot["counters"]["rejected"] - before
    assert ERRORS >= {entry["error"]["type"] for entry in snapshot["rejected"]}
    assert "idle" == snapshot["status"]


@pytest.mark.rare
@often(15)
@given(st.lists(HOSTILE_UPDATE, min_size=IN_FLIGHT, max_size=IN_FLIGHT))
async def test_after_any_updates_all_are_refused_and_nothing_has_changed(
    victim: Session, messages: list[tuple[str, list[Any]]]
) -> None:
    async def refused(name: str, args: list[Any]) -> None:
        with pytest.raises(WorkflowUpdateFailedError) as refusal:
            await victim.update(name, *args)
        cause = refusal.value.cause
        assert isinstance(cause, ApplicationError)
        if len(args) == 1 and name in UPDATES:
            assert "InvalidRequest" == cause.type

    before = (await victim.snapshot(), await victim.context())
    await asyncio.gather(*(refused(name, args) for name, args in messages))
    assert before == (await victim.snapshot(), await victim.context())
    await answers(victim)


@often(10)
@given(st.lists(st.tuples(st.sampled_from(["task", "context", "snapshot", "no_such"]), JSON | UNREADABLE), min_size=6))
async def test_any_query_is_answered_or_refused_and_changes_nothing(
    victim: Session, queries: list[tuple[str, Any]]
) -> None:
    async def ask(name: str, argument: Any) -> None:
        try:
            answer = await victim.query(name, argument)
        except WorkflowQueryFailedError as error:
            assert str(error)  # noqa: PT017 (either way will do)
        else:
            assert answer is None or name in {"context", "snapshot"}

    before = await victim.snapshot()
    await asyncio.gather(*(ask(name, argument) for name, argument in queries))
    assert before == await victim.snapshot()


@pytest.mark.rare
@often(5)
@given(st.lists(JSON, min_size=10, max_size=12))
async def test_any_json_goes_into_a_task_and_comes_out_the_same(victim: Session, values: list[Any]) -> None:
    tasks = [await victim.submit("Echo", value, context={"read": "none", "transcript": 0}) for value in values]
    for task_id, value in zip(tasks, values, strict=True):
        record = await victim.ended(task_id)
        assert json.dumps(value, sort_keys=True) == json.dumps(record["output"], sort_keys=True)


@pytest.mark.rare
async def test_messages_as_large_as_the_server_takes_are_refused_like_any_other(caller: Caller) -> None:
    """A workflow task has two seconds. To name all that is wrong with one of these would take longer."""
    session = await caller.start()
    many, task = 340_000, {"task_id": "large", "input": 1}
    bodies: list[tuple[str, Any]] = [
        ("submit", task | {"input": "x" * 5 * many}),
        ("submit", task | {"input": [[]] * many}),
        ("submit", RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b"[" * 5 * many))),
        ("submit", task | {"context": {"read": [1] * many}}),
        ("submit", task | {"labels": {f"{number:x}": 1 for number in range(many // 4)}}),
        ("submit", {f"{number:x}": 1 for number in range(many // 4)}),
        ("task_waiting", {"task_id": "large", "question": {"id": "q", "text": "?", "choices": [1] * many}}),
        ("cancel_task", {"task_id": "x" * 5 * many}),
        ("no such signal", [[]] * many * 2),
    ]
    await asyncio.gather(*(session.signal(name, body) for name, body in bodies))
    await answers(session)
    assert len(bodies) == (await session.snapshot())["counters"]["rejected"]
    assert ERRORS >= {name for _, name in await session.refusals()}
    assert len(json.dumps(await session.snapshot())) < 40_000
    patches: list[Any] = [{"unset": [1] * many}, {"set": {"large": [[]] * many}}, {"unset": ["key"] * (many // 4)}]
    for patch in patches:
        with pytest.raises(WorkflowUpdateFailedError):
            await session.update("patch_context", {"patch": patch, "expected_version": 9})
    assert [] == await failed_workflow_tasks(session)


async def test_what_is_encrypted_with_a_key_that_no_worker_has_is_named_and_changes_nothing(caller: Caller) -> None:
    """As a query, which leaves nothing behind: a message waits in the history until somebody has the key."""
    session = await caller.start()
    await session.run("Echo", "first")  # while a workflow task is to be done, the query would be a part of it
    sealed = Payload(metadata={"encoding": b"binary/encrypted", "encryption-key-id": b"nobody"}, data=b"x" * 40)
    assert "KeyMissing" == await query_refused(session.query("task", RawValue(sealed)))
    assert "completed" == (await session.run("Echo", "next"))["status"]

"""Workflows that look like a task of a session and are none, and the one that is: whom a session takes for its own."""

import asyncio
import uuid
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyType
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest, ResetWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from starter.client import Session
from tests.harness import WAIT, Harness, ask, run_task, snapshot_when
from workflows.contract import Config, InjectedContext, TaskInput, TaskRecord, task_workflow_id

BANANA = "What colour is a banana?"
ADMIN = {"set": {"role": "admin"}}
NO_RESET = "it cannot reset (UNIMPLEMENTED)"
ALL, NONE = ResetReapplyType.RESET_REAPPLY_TYPE_ALL_ELIGIBLE, ResetReapplyType.RESET_REAPPLY_TYPE_NONE


async def stranger(
    harness: Harness, session: Session, task_id: str, kind: str, task_input: object
) -> WorkflowHandle[Any, Any]:
    """A workflow under the id of a task, with all that the task's own would be given."""
    context = InjectedContext(version=0, write=True, values={}, transcript=[])
    given = TaskInput(session_id=session.id, task_id=task_id, input=task_input, context=context)
    workflow_id = task_workflow_id(session.id, task_id)
    return await harness.temporal.start_workflow(kind, given, id=workflow_id, task_queue=harness.queue)


async def reset(session: Session, reapply: "ResetReapplyType.ValueType" = ALL) -> None:
    """What an operator does: the session runs again from its first workflow task, with its messages or without."""
    handle = session.temporal.get_workflow_handle(session.id)
    completed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    first = await anext(
        event.event_id async for event in handle.fetch_history_events() if event.event_type == completed
    )
    request = ResetWorkflowExecutionRequest(
        namespace=session.temporal.namespace,
        workflow_execution=WorkflowExecution(workflow_id=session.id, run_id=(await handle.describe()).run_id),
        reason="test",
        workflow_task_finish_event_id=first,
        request_id=uuid.uuid4().hex,
        reset_reapply_type=reapply,
    )
    await session.temporal.workflow_service.reset_workflow_execution(request)


def how(record: TaskRecord) -> tuple[str, str | None]:
    return record.status, record.error.type if record.error else None


async def _is_there(session: Session) -> bool:
    try:
        await session.temporal.get_workflow_handle(session.id).describe()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def _runs(session: Session) -> str:
    """The run of the session's running task."""
    found = await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    assert found.running
    assert found.running.run_id
    return found.running.run_id


async def test_nothing_is_taken_from_a_stranger_under_a_tasks_id(harness: Harness) -> None:
    session = await harness.open()
    await (await stranger(harness, session, "taken", "Remember", ADMIN)).result()
    record = await run_task(session, ADMIN, kind="Remember", task_id="taken")
    assert ("failed", "ChildRefused", None) == (*how(record), record.output)
    assert {} == (await session.context()).values
    assert "yellow" in await ask(session, BANANA)


async def test_a_strangers_workflow_that_hangs_is_neither_waited_for_nor_touched(harness: Harness) -> None:
    session = await harness.open()
    foreign = await stranger(harness, session, "taken", "Hang", None)
    assert ("failed", "ChildRefused") == how(await run_task(session, None, kind="Hang", task_id="taken"))
    assert "yellow" in await ask(session, BANANA)
    assert WorkflowExecutionStatus.RUNNING == (await foreign.describe()).status
    events = [event.event_type async for event in foreign.fetch_history_events()]
    assert EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED not in events
    await foreign.terminate()


@pytest.mark.not_on_test_server("it cannot delete a workflow (UNIMPLEMENTED)")
async def test_a_session_opened_anew_gives_no_answers_of_its_former_life(harness: Harness) -> None:
    """Deleted past `starter delete`, which would have removed its tasks as well."""
    session = await harness.open()
    await run_task(session, ADMIN, kind="Remember", task_id="old")
    await session.close()
    await session.finished(WAIT)
    request = DeleteWorkflowExecutionRequest(
        namespace=harness.temporal.namespace, workflow_execution=WorkflowExecution(workflow_id=session.id)
    )
    await harness.temporal.workflow_service.delete_workflow_execution(request)
    async with asyncio.timeout(WAIT):
        while await _is_there(session):  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.1)
    again = await harness.client.open(session.id)
    assert ("failed", "ChildRefused") == how(await run_task(again, ADMIN, kind="Remember", task_id="old"))
    assert {} == (await again.context()).values
    assert "yellow" in await ask(again, BANANA)


@pytest.mark.not_on_test_server(NO_RESET)
async def test_a_child_that_the_session_started_before_a_reset_is_adopted_and_not_run_again(harness: Harness) -> None:
    """The second net under "once": the id of the child itself."""
    session = await harness.open()
    await session.submit({"seconds": 2, "set": {"tea": 1}}, kind="Slow", task_id="slow")
    run_id = await _runs(session)
    await reset(session)
    record = await session.result("slow", WAIT)
    assert ("completed", "remembered", run_id) == (record.status, record.output, record.run_id)
    assert {"tea": 1} == (await session.context()).values


@pytest.mark.not_on_test_server(NO_RESET)
async def test_a_child_adopted_after_a_reset_is_cancelled_and_timed_out_like_any_other(harness: Harness) -> None:
    session = await harness.open(Config(cancel_grace=1.0))
    await session.submit(None, kind="Hang", task_id="slow", timeout=4.0)
    await session.submit(None, kind="Stubborn", task_id="stubborn")
    run_id = await _runs(session)
    await reset(session)
    record = await session.result("slow", WAIT)
    assert ("timed_out", run_id) == (record.status, record.run_id)
    await _runs(session)
    await reset(session)
    await snapshot_when(session, lambda s: s.running is not None and s.running.task_id == "stubborn")
    await _runs(session)
    await session.cancel("stubborn")
    assert "cancelled" == (await session.result("stubborn", WAIT)).status


@pytest.mark.not_on_test_server(NO_RESET)
async def test_a_child_of_another_task_under_the_same_id_is_not_adopted(harness: Harness) -> None:
    """After a reset without its messages a session knows nothing of what it had started."""
    session = await harness.open()
    await session.snapshot()  # answered after the first workflow task, which the reset keeps
    await run_task(session, {"set": {"tea": "forgotten"}}, kind="Remember", task_id="same")
    await reset(session, NONE)
    record = await run_task(session, {"set": {"tea": "now"}}, kind="Remember", task_id="same")
    assert ("failed", "ChildRefused") == how(record)
    assert {} == (await session.context()).values


async def test_a_notice_of_another_run_than_the_tasks_own_is_refused(harness: Harness) -> None:
    """Say of the copy of a task, started by hand to see what it does."""
    session = await harness.open()
    await session.submit(None, kind="Hang", task_id="mine")
    await _runs(session)
    context = InjectedContext(version=0, write=True, values={}, transcript=[])
    given = TaskInput(session_id=session.id, task_id="mine", input="deploy", context=context)
    copy = await harness.temporal.start_workflow("Approve", given, id=f"{session.id}-copy", task_queue=harness.queue)
    found = await snapshot_when(session, lambda s: bool(s.rejected))
    assert ("task_waiting", "UnknownTask") == (found.rejected[0].message, found.rejected[0].error.type)
    assert "running" == found.status
    await copy.terminate()
    await session.cancel("mine")

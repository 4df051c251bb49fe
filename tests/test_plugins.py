"""Plugins of others on our worker: what they change of it, and what they may not."""

import asyncio
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.plugin import SimplePlugin
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.models.offline import OfflineModel
from starter.client import Session
from starter.serving.activations import CarefulRunner
from tests.harness import WAIT, Harness, run_task
from tests.kinds import FragileWorkflow
from worker import KINDS, build_worker
from workflows.session import SessionWorkflow


def _runners(worker: Worker) -> tuple[Any, Any]:
    inner: Any = worker._workflow_worker
    return inner._workflow_runner, inner._unsandboxed_workflow_runner


class _Own(UnsandboxedWorkflowRunner):
    pass


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"workflow_runner": _Own()},
        {"unsandboxed_workflow_runner": _Own()},
        {"plugins": [SimplePlugin("takes over", workflow_runner=_Own())]},
        {"plugins": [SimplePlugin("takes over", workflow_runner=lambda _: SandboxedWorkflowRunner())]},
    ],
    ids=["none", "sandboxed", "unsandboxed", "a plugin's", "a plugin's sandbox"],
)
async def test_whatever_runner_a_worker_is_given_gets_its_activations_looked_at(
    elsewhere: Harness, options: dict[str, Any]
) -> None:
    worker = build_worker(elsewhere.temporal, OfflineModel(), queue=elsewhere.queue, **options)
    assert all(isinstance(runner, CarefulRunner) for runner in _runners(worker))


async def test_a_plugin_sees_the_sandbox_that_kinds_run_in(elsewhere: Harness) -> None:
    """It passes its modules through by the sandbox's own restrictions, and would skip a runner that is none."""
    seen = []

    def look(runner: WorkflowRunner | None) -> WorkflowRunner:
        assert runner
        seen.append(runner)
        return runner

    plugin = SimplePlugin("looks", workflow_runner=look)
    build_worker(elsewhere.temporal, OfflineModel(), queue=elsewhere.queue, plugins=[plugin])
    assert [SandboxedWorkflowRunner] == [type(runner) for runner in seen]


async def _faulty(_session: SessionWorkflow) -> None:
    raise LookupError("a fault of ours")


async def _stalled(session: Session) -> None:
    """Wait until a workflow task of the session has failed; the session itself goes on."""
    async with asyncio.timeout(WAIT):
        while not any(  # noqa: ASYNC110 (the server has no event for it)
            event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
            for event in (await session.temporal.get_workflow_handle(session.id).fetch_history()).events
        ):
            await asyncio.sleep(0.1)


@pytest.mark.rare
async def test_what_a_plugin_lets_fail_a_workflow_fails_kinds_and_never_a_session(
    temporal: Client, elsewhere: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = SimplePlugin("strict", workflow_failure_exception_types=[LookupError])
    options: dict[str, Any] = {
        "queue": elsewhere.queue,
        "kinds": [*KINDS, FragileWorkflow],
        "plugins": [plugin],
    }
    session = await elsewhere.open()
    async with build_worker(temporal, OfflineModel(), **options):
        record = await run_task(session, "x", kind="Fragile")
        assert ("failed", "LookupError") == (record.status, record.error.type if record.error else None)
    monkeypatch.setattr(SessionWorkflow, "_step", _faulty)
    session = await elsewhere.open()  # one that meets the fault with its first workflow task: no replay finds it
    task_id = await session.submit("What colour is a banana?")
    async with build_worker(temporal, OfflineModel(), **options):
        await _stalled(session)
    monkeypatch.undo()
    async with build_worker(temporal, OfflineModel(), **options):
        assert "yellow" in str((await session.result(task_id, WAIT)).output)

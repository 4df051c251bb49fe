"""Kinds and activities that exit, or raise what is no Exception: their task ends by name, the worker goes on."""

import asyncio
import subprocess
import sys

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowQueryFailedError
from temporalio.exceptions import ActivityError, ApplicationError

from activities.models.offline import OfflineModel
from activities.models.protocol import ModelReply, ModelRequest
from tests.harness import WAIT, Harness, run_task, snapshot_when
from tests.kinds import ShowWorkflow, leave
from tests.servers import Server
from tests.test_crashes import ROOT, WorkerProcess
from worker import build_worker
from workflows.contract import Config, TaskRecord, task_workflow_id
from workflows.session import SessionWorkflow


class ExitingModel:
    """Exits instead of answering."""

    name = "exiting"

    async def reply(self, request: ModelRequest) -> ModelReply:
        sys.exit(request.question)


def ended(record: TaskRecord) -> tuple[str, str | None]:
    return record.status, record.error.type if record.error else None


async def final(temporal: Client, workflow_id: str) -> bool:
    """Whether a workflow failed of what no repetition mends, should its starter have asked for one."""
    with pytest.raises(WorkflowFailureError) as failed:
        await temporal.get_workflow_handle(workflow_id).result()
    cause: BaseException | None = failed.value.cause
    while isinstance(cause, ActivityError):
        cause = cause.cause
    return isinstance(cause, ApplicationError) and cause.non_retryable


@pytest.mark.parametrize("cached", [pytest.param(0, marks=pytest.mark.rare), 100])
async def test_an_exit_ends_its_task_by_name_and_the_worker_goes_on(temporal: Client, cached: int) -> None:
    harness = Harness(temporal)
    async with harness.worker(ExitingModel(), activities=[leave], max_cached_workflows=cached):
        session = await harness.open(Config(default_kind="Leave", task_timeout=WAIT))
        for place, name in {
            "run": "SystemExit",
            "way": "Way",
            "interrupt": "KeyboardInterrupt",
            "task": "SystemExit",
            "condition": "SystemExit",
            "activity": "SystemExit",
            "activity way": "Way",
        }.items():
            record = await run_task(session, place)
            assert ("failed", name) == ended(record), place
            assert record.error
            assert name in record.error.message
            assert await final(temporal, task_workflow_id(session.id, record.task_id)), place
        assert ("failed", "SystemExit") == ended(await run_task(session, "model", kind="Answer"))
        await session.submit("stay", task_id="stays")
        await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
        child = temporal.get_workflow_handle(task_workflow_id(session.id, "stays"))
        with pytest.raises(WorkflowQueryFailedError, match="SystemExit"):
            await child.query("look")
        await child.signal("go")
        assert ("failed", "SystemExit") == ended(await session.result("stays", WAIT))
        assert "completed" == (await run_task(session, 1, kind="Show")).status
    await harness.replay_all()


@pytest.mark.parametrize("place", [pytest.param("_step", marks=pytest.mark.rare), "_take"])
async def test_a_session_never_fails_over_an_exit_and_goes_on_with_better_code(
    temporal: Client, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Be it in its main line or in a handler."""
    harness = Harness(temporal)
    async with build_worker(temporal, OfflineModel(), queue=harness.queue, kinds=[ShowWorkflow]):
        session = await harness.open(Config(default_kind="Show"))
        await session.snapshot()
        better = getattr(SessionWorkflow, place)
        failures = []

        def exits(*_: object) -> None:
            failures.append(1)
            if len(failures) % 2:
                sys.exit(1)
            raise KeyboardInterrupt

        monkeypatch.setattr(SessionWorkflow, place, exits)
        await session.submit(1, task_id="t")
        async with asyncio.timeout(WAIT):
            while len(failures) < 2:  # noqa: ASYNC110 (it is counted in a thread of the worker)
                await asyncio.sleep(0.1)
        monkeypatch.setattr(SessionWorkflow, place, better)
        assert "completed" == (await session.result("t", WAIT)).status
    await harness.replay_all()


async def test_a_worker_whose_event_loop_was_left_ends_with_an_error(temporal: Client, server: Server) -> None:
    """An exit in an asyncio task that an activity made is nobody's to hold back."""
    harness = Harness(temporal)
    process = WorkerProcess(server.address, harness.queue, program=["-m", "tests.worker_that_exits"])
    process.start()
    try:
        await (await harness.open()).submit(1, kind="Exit")
        assert process._process
        assert 1 == await asyncio.to_thread(process._process.wait, WAIT / 2)
    finally:
        process.kill()


@pytest.mark.not_on_test_server("it takes any namespace for one that is there")
def test_a_worker_that_cannot_serve_ends_with_an_error(server: Server) -> None:
    environment = {"TEMPORAL_ADDRESS": server.address, "TEMPORAL_NAMESPACE": "nowhere", "PATH": ""}
    ended = subprocess.run(
        [sys.executable, "worker.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    assert 1 == ended.returncode
    assert "nowhere" in ended.stderr

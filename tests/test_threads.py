"""Synchronous pieces that a framework hands to threads: in a workflow they run where they stand."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.models.offline import OfflineModel
from starter.client import Session
from starter.client.connection import connect
from tests.framework_kinds import routing
from tests.framework_kinds.slow_once import TRIED
from tests.harness import Harness, run_task
from tests.kinds import InlineWorkflow
from tests.samples import error_of
from tests.servers import Server
from worker import KINDS, build_worker
from workflows.kinds.threads import inline_threads

WAYS = ["to_thread", "executor", "anyio"]


def _with_anyio(runner: WorkflowRunner | None) -> WorkflowRunner:
    """The sandbox as plugins of frameworks leave it: their modules are passed through."""
    assert isinstance(runner, SandboxedWorkflowRunner)
    return replace(runner, restrictions=runner.restrictions.with_passthrough_modules("anyio", "sniffio"))


@asynccontextmanager
async def served(elsewhere: Harness) -> AsyncIterator[Session]:
    """A session on a worker that replays each workflow task."""
    plugin = SimplePlugin("anyio", workflow_runner=_with_anyio)
    options: dict[str, Any] = {"kinds": [*KINDS, InlineWorkflow], "plugins": [plugin], "max_cached_workflows": 0}
    async with build_worker(elsewhere.temporal, OfflineModel(), queue=elsewhere.queue, **options):
        yield await elsewhere.open()


@pytest.fixture
async def session(elsewhere: Harness) -> AsyncIterator[Session]:
    async with served(elsewhere) as session:
        yield session


@pytest.mark.parametrize("by", WAYS)
async def test_what_is_handed_to_a_thread_runs_inside_the_workflow(session: Session, by: str) -> None:
    """It sees what only workflow code sees, and the names of its context; replayed, it says the same."""
    record = await run_task(session, {"by": by, "piece": "works"}, kind="Inline")
    assert ["named, Inline"] * 4 == record.output


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize(("piece", "error"), [("raises", "OutOfTea"), ("stops", "RuntimeError")])
async def test_what_it_raises_reaches_who_waits_for_it(session: Session, by: str, piece: str, error: str) -> None:
    record = await run_task(session, {"by": by, "piece": piece}, kind="Inline")
    assert ("failed", error) == (record.status, error_of(record))


async def test_it_imports_nothing_into_the_strictest_sandbox(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process in which nobody has used anyio before, which then loads its own modules."""
    monkeypatch.setattr("anyio._core._eventloop.loaded_backends", {})
    record = await run_task(await harness.open(), {"by": "to_thread", "piece": "works"}, kind="Inline")
    assert ["named, Inline"] * 4 == record.output


async def test_without_it_the_task_fails_by_name(harness: Harness) -> None:
    record = await run_task(await harness.open(), {"by": "to_thread", "piece": "", "inline": False}, kind="Inline")
    assert ("failed", "NotImplementedError") == (record.status, error_of(record))


async def test_a_synchronous_router_of_langgraph_runs_inline(server: Server, elsewhere: Harness) -> None:
    client = await connect(server.address, plugins=routing.PLUGINS)
    async with build_worker(client, OfflineModel(), queue=elsewhere.queue):
        session = await elsewhere.open()
        assert "HELLO!" == (await run_task(session, "hello!", kind="Route")).output
        assert "hello" == (await run_task(session, "hello", kind="Route")).output
        assert "NotImplementedError" == error_of(await run_task(session, "-hello", kind="Route"))


@pytest.mark.rare
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_the_deadlock_limit_holds_for_it(elsewhere: Harness, caplog: pytest.LogCaptureFixture) -> None:
    """A piece that does not let go fails the workflow task; at the next attempt it does, and the task goes on."""
    TRIED.clear()
    async with served(elsewhere) as session:
        record = await run_task(session, {"by": "to_thread", "piece": "slow", "at_once": 1}, kind="Inline")
    assert ["named, Inline"] * 2 == record.output
    # In the log and not in the history: with limits for a slow machine the server may be done waiting a moment before.
    assert "Potential deadlock detected" in caplog.text
    gc.collect()  # the SDK drops what it interrupted, which complains when it goes; not in another test


async def test_outside_of_a_workflow_threads_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="in a workflow only"):
        inline_threads()
    assert 1 == await asyncio.to_thread(lambda: 1)

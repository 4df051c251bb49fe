"""Questions to a session whose worker was killed, or whose worker's code fails over it: answered, or told why not."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import PendingWorkflowTaskState, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner

import worker as composition
from starter.cli.exits import ExitCode, command_error
from starter.client import Session
from starter.client.calls import NoWorkerError, SessionCalls, WorkerFailsError
from starter.client.watching import SessionWatch
from tests.changed_sessions import OneCommandMore
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, ask, everywhere, snapshot_when
from tests.servers import NO_NEXT_WORKER, Server
from tests.test_crashes import WorkerProcess, stopping
from tests.test_forks import attempt_failed, started, unique
from workflows.contract import Snapshot

BANANA = "What colour is a banana?"
ANSWERED_SECONDS = 6.0
"""A query to a session that was in the cache of a killed worker: four for that, two for another one to replay it."""

FITS_NOT = "Nondeterminism error"


async def pollers(temporal: Client, queue: str) -> int:
    """How many workers the server has seen there of late."""
    request = DescribeTaskQueueRequest(
        namespace=temporal.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    return len((await temporal.workflow_service.describe_task_queue(request)).pollers)


async def workflow_task_started(session: Session) -> bool:
    """Whether a worker has taken one and has not given it back."""
    described = await session.temporal.get_workflow_handle(session.id).describe()
    state = described.raw_description.pending_workflow_task.state
    return state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED


async def timed(query: Awaitable[Snapshot]) -> float:
    """Seconds until it is answered."""
    began = asyncio.get_running_loop().time()
    await query
    return asyncio.get_running_loop().time() - began


@pytest.mark.parametrize("other", ["starts", pytest.param("is there", marks=pytest.mark.rare)])
@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_a_session_in_the_cache_of_a_killed_worker_answers_soon(
    temporal: Client, server: Server, other: str
) -> None:
    harness = Harness(temporal)
    killed, left = WorkerProcess(server.address, harness.queue), WorkerProcess(server.address, harness.queue)
    with stopping(killed, left):
        killed.start()
        session = await harness.open()
        assert "yellow" in await ask(session, BANANA)
        if other == "is there":
            left.start()
            async with asyncio.timeout(WAIT):
                while await pollers(temporal, harness.queue) < 2:  # noqa: ASYNC110 (the server has no event for it)
                    await asyncio.sleep(0.1)
        killed.kill()
        if other == "starts":
            left.start()
        await asyncio.sleep(0.5)  # else the server may give it to the dead, notice that, and be quicker
        if other == "is there":
            assert await timed(session.snapshot()) < 4 + 1.9 * SLOWNESS
        else:  # nobody may answer while it starts
            assert await timed(snapshot_when(session, lambda _: True)) < ANSWERED_SECONDS * SLOWNESS
    await harness.replay_all()


@pytest.mark.rare
@pytest.mark.not_on_test_server("it never answers a query that waited for a worker")
async def test_a_query_is_answered_though_its_worker_died_in_the_middle_of_a_workflow_task(
    temporal: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gives the workflow task to another worker after ten seconds: longer than one call waits here."""
    monkeypatch.setattr("starter.client.calls.QUERY_TIMEOUT", timedelta(seconds=3))
    harness = Harness(temporal)
    killed, left = WorkerProcess(server.address, harness.queue), WorkerProcess(server.address, harness.queue)
    with stopping(killed, left):
        killed.start()
        session = await harness.open()
        assert "yellow" in await ask(session, BANANA)
        killed.send(signal.SIGSTOP)  # what the server gives it now it has, and does nothing
        await session.submit(BANANA)
        async with asyncio.timeout(WAIT):
            while not await workflow_task_started(session):  # noqa: ASYNC110 (the same)
                await asyncio.sleep(0.05)
        killed.kill()
        left.start()
        assert 2 == (await session.snapshot()).counters.submitted
    await harness.replay_all()


async def test_a_query_that_the_server_gave_to_a_dying_worker_is_asked_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matter of milliseconds: the server has not noticed yet that whoever polled is gone."""
    session = await harness.open()
    calling, failures = SessionCalls.calling, [RPCError("context canceled", RPCStatusCode.CANCELLED, b"")] * 5

    async def cut_off(calls: SessionCalls, call: Awaitable[object]) -> object:
        async def first() -> object:
            answer = await call
            if failures:
                raise failures.pop()
            return answer

        return await calling(calls, first())

    monkeypatch.setattr(SessionCalls, "calling", cut_off)
    assert "idle" == (await session.snapshot()).status
    assert [] == failures


@contextlib.asynccontextmanager
async def other_code(harness: Harness) -> AsyncIterator[None]:
    """A worker whose code does not fit the histories of sessions that began before."""
    async with contextlib.AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(composition, "SessionWorkflow", OneCommandMore)
            await stack.enter_async_context(harness.worker(**everywhere(UnsandboxedWorkflowRunner())))
        yield


@pytest.mark.rare
@pytest.mark.not_on_test_server("it never answers a query that waited for a worker")
async def test_code_that_does_not_fit_is_told_as_what_it_is(temporal: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("starter.client.calls.UPDATE_SECONDS", 2.0 * SLOWNESS)
    harness = Harness(temporal)
    async with harness.worker():
        session = await harness.open()
        assert "yellow" in await ask(session, BANANA)
        watch = SessionWatch(session)
        await watch.look()
    async with other_code(harness):
        await _fails(session.snapshot())  # at rest: the query itself
        await _fails(session.patch_context({"set": {"tea": 2}}))
        monkeypatch.setattr("starter.client.calls.QUERY_TIMEOUT", timedelta(seconds=2 * SLOWNESS))
        waiting = asyncio.create_task(ask(session, BANANA))
        await _fails(session.snapshot())  # its workflow task: the server keeps the query, or lets nobody ask
        looked = await watch.look()
        assert looked
        assert FITS_NOT in str(looked.unanswered)
        late = SessionWatch(session)
        assert (None, True) == (await late.look(), FITS_NOT in late.silence)
    monkeypatch.undo()
    async with harness.worker():
        assert "yellow" in await asyncio.wait_for(waiting, WAIT)
    await harness.replay_all()


@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_a_fork_waits_for_code_that_fits_its_source(temporal: Client) -> None:
    harness, apart = Harness(temporal), Harness(temporal)
    async with harness.worker():
        source = await harness.open(context={"tea": 1})
        assert "yellow" in await ask(source, BANANA)
    async with apart.worker():
        async with other_code(harness):
            fork = await started(apart, unique("fork"), source.id)
            await attempt_failed(fork, "NotReady")
        async with harness.worker():
            await asyncio.wait_for(fork.forked(), WAIT)
        assert {"tea": 1} == {**(await fork.context()).values}


async def _fails(call: Awaitable[object]) -> None:
    with pytest.raises(
        WorkerFailsError, match=rf"^a worker runs, but its code fails over .*: \[TMPRL1100\] {FITS_NOT}"
    ) as told:
        await call
    assert isinstance(told.value, NoWorkerError)  # who sits out the one sits out the other
    ended = command_error(told.value)
    assert (ExitCode.WORKER_FAILS, str(told.value)) == (ended.code, ended.message)

"""A hand-over that the code of the next run cannot read: the session stands still, loses nothing, and goes on later."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from starter.client import Session
from starter.client.connection import connect
from starter.dev_server import EARLY, DevServer, find_binary
from tests.harness import WAIT, Harness, ask
from tests.servers import own_server, running
from tests.test_hand_over import BANANA, EVENTS_A_RUN
from workflows.state import opening
from workflows.state.opening import opened
from workflows.state.session_state import SessionState
from workflows.wire.errors import ErrorType, SessionError

KEPT = "what a person wrote"


class OneFieldMore(SessionState):
    """The state in newer code, whose author forgot that open sessions hand over without it."""

    tone: str


class Newer:
    """`SessionState` as that code reads one that was handed over.

    A new one is as it was: the server may refuse to continue a run as new when a signal comes meanwhile, and the run is
    then replayed from its start; with the field it would hand over what the newer code can read.
    """

    model_validate = staticmethod(OneFieldMore.model_validate)

    def __new__(cls, **fields: Any) -> Any:
        return SessionState(**fields)


def opened_as_before(*args: Any, **options: Any) -> SessionState:
    """What older code did with a state that it could not read."""
    try:
        return opened(*args, **options)
    except opening.UnreadableState as error:
        raise SessionError(ErrorType.INVALID_REQUEST, str(error)) from None


@pytest.fixture
async def server() -> AsyncIterator[DevServer]:
    """A server that suggests continue-as-new all the time."""
    async with running(own_server({EARLY: EVENTS_A_RUN})) as server:
        yield server


async def next_run(session: Session) -> None:
    """Send what makes the session continue as new, until it has."""
    handle = session.temporal.get_workflow_handle(session.id)
    run_id = (await handle.describe()).run_id
    async with asyncio.timeout(WAIT):
        while (await handle.describe()).run_id == run_id:
            await asyncio.gather(*(session.resume() for _ in range(10)), return_exceptions=True)
            await asyncio.sleep(0.1)


async def failures(session: Session) -> list[str]:
    """Why workflow tasks of the present run failed."""
    return [
        event.workflow_task_failed_event_attributes.failure.message
        async for event in session.temporal.get_workflow_handle(session.id).fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]


async def test_a_state_that_new_code_cannot_read_waits_for_code_that_can(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness(await connect(server.address))
    async with harness.worker():
        session = await harness.open(context={"kept": KEPT})
        await ask(session, BANANA)
        monkeypatch.setattr(opening, "SessionState", Newer)
        await next_run(session)
        async with asyncio.timeout(WAIT):
            while not await failures(session):  # noqa: ASYNC110 (the server has no event for it)
                await asyncio.sleep(0.1)
        await session.submit(BANANA, task_id="meanwhile")
        assert {"state: tone: Field required"} == set(await failures(session))
        assert session.id == (await harness.client.open(session.id)).id
        monkeypatch.undo()
        assert "completed" == (await session.result("meanwhile", WAIT)).status
        assert {"kept": KEPT} == (await session.context()).values
    await harness.replay_all()


@pytest.mark.rare
async def test_a_session_that_failed_over_it_is_repaired_by_a_reset(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `docs/changing-workflows.md` says of sessions that older code let fail, word for word."""
    harness = Harness(await connect(server.address))
    async with harness.worker():
        session = await harness.open(context={"kept": KEPT})
        await ask(session, BANANA)
        monkeypatch.setattr(opening, "SessionState", Newer)
        monkeypatch.setattr(opening, "opened", opened_as_before)  # in a sandbox, where each run imports it anew
        monkeypatch.setattr("workflows.session.opened", opened_as_before)
        await next_run(session)
        handle = harness.temporal.get_workflow_handle(session.id)
        async with asyncio.timeout(WAIT):
            while (await handle.describe()).status != WorkflowExecutionStatus.FAILED:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        with pytest.raises(SessionError, match=r"^SessionClosed: "):
            await harness.client.open(session.id)
        monkeypatch.undo()
        words = ("workflow", "reset", "-w", session.id, "-t", "FirstWorkflowTask", "--reason", "readable again")
        reset = await asyncio.create_subprocess_exec(await find_binary(), *words, "--address", server.address)
        assert 0 == await asyncio.wait_for(reset.wait(), WAIT)
        await harness.client.open(session.id)
        assert BANANA in await ask(session, "What did I ask first?")
        assert {"kept": KEPT} == (await session.context()).values

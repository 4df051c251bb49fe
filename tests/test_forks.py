"""Sessions that begin with another one's context: who has to wait for it, and what never comes."""

import asyncio
import uuid

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from starter.client import Session
from tests.harness import WAIT, Harness, ask
from tests.servers import NO_NEXT_WORKER
from workflows.wire.errors import SessionError


async def started(harness: Harness, session_id: str, fork_of: str, version: int | None = None) -> Session:
    """A fork, opened past our client, which would wait for it."""
    start = {"fork_of": {"session_id": fork_of, "version": version}}
    await harness.temporal.start_workflow("Session", start, id=session_id, task_queue=harness.queue)
    return harness.client.get(session_id)


async def failure(session: Session) -> str | None:
    """The name under which a session's run fails."""
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(session.temporal.get_workflow_handle(session.id).result(), WAIT)
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause.type


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}"


async def test_a_session_cannot_be_forked_from_itself(harness: Harness) -> None:
    name = unique("self")
    with pytest.raises(SessionError, match=r"^InvalidRequest: fork_of: .* cannot begin with its own context"):
        await harness.client.open(name, fork_of={"session_id": name})
    assert "InvalidRequest" == await failure(await started(harness, name, name))


async def test_an_open_returns_once_the_fork_has_its_context(harness: Harness) -> None:
    """Twelve at once: each has it in its first answer."""
    source = await harness.open(context={"tea": 1})

    async def values() -> object:
        fork = await harness.client.open(unique("fork"), fork_of={"session_id": source.id})
        return (await fork.context()).values

    assert [{"tea": 1}] * 12 == await asyncio.gather(*(values() for _ in range(12)))


async def test_an_open_tells_why_a_fork_failed(harness: Harness) -> None:
    source = await harness.open()
    for fork_of, error in (({"session_id": "nowhere"}, "SessionNotFound"), ({"version": 9}, "UnknownVersion")):
        with pytest.raises(SessionError, match=rf"^{error}: "):
            await harness.client.open(unique("lost"), fork_of={"session_id": source.id} | fork_of)


@pytest.mark.parametrize("version", [None, 1])
@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_a_fork_of_a_fork_waits_for_what_that_begins_with(temporal: Client, version: int | None) -> None:
    """The worker of the first is away: the second answers, and has nothing yet that the third could take."""
    harness, apart = Harness(temporal), Harness(temporal)
    async with apart.worker():
        source = await apart.open()
        await source.patch_context({"set": {"tea": 1}})
    async with harness.worker():
        middle = await started(harness, unique("middle"), source.id)
        last = await started(harness, unique("last"), middle.id, version)
        await attempt_failed(last, "NotReady")
        async with apart.worker():
            await asyncio.wait_for(last.forked(), WAIT)
        assert {"tea": 1} == (await last.context()).values
    await harness.replay_all()


async def attempt_failed(session: Session, error: str) -> None:
    """Wait until an attempt of the session's activity has failed of that."""
    async with asyncio.timeout(WAIT):
        while True:
            described = await session.temporal.get_workflow_handle(session.id).describe()
            pending = described.raw_description.pending_activities
            if any(each.last_failure.application_failure_info.type == error for each in pending):
                return
            await asyncio.sleep(0.05)


async def test_forks_that_wait_for_each_other_fail_and_so_does_who_waits_for_them(temporal: Client) -> None:
    harness = Harness(temporal)
    names = [unique(name) for name in "abcd"]
    circle = [
        await started(harness, name, of) for name, of in zip(names, [*names[1:3], names[0], names[0]], strict=True)
    ]
    async with harness.worker():
        assert ["InvalidRequest"] * 4 == [await failure(session) for session in circle]
    await harness.replay_all()


async def test_a_view_says_what_is_not_in_it_yet(temporal: Client) -> None:
    """For those who start a fork in another language: null says that the context is whole."""
    harness, apart = Harness(temporal), Harness(temporal)
    source = await apart.open(context={"tea": 1})
    async with harness.worker():
        fork = await started(harness, unique("fork"), source.id)
        assert (source.id, {}) == ((await fork.context()).fork_of, (await fork.context()).values)
        async with apart.worker():
            await asyncio.wait_for(fork.forked(), WAIT)
        assert (None, {"tea": 1}) == ((await fork.context()).fork_of, (await fork.context()).values)
        assert "yellow" in await ask(fork, "What colour is a banana?")

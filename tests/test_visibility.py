"""The search attributes of a session: registered where that may be, written when they change, and never in the way."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from starter.client import Session
from starter.client.connection import connect
from starter.dev_server import EARLY
from starter.serving import registration
from starter.serving.registration import KEYWORD, register_search_attributes
from tests.harness import WAIT, Harness, ask, run_task
from tests.servers import own_server, running
from workflows.contract import Config
from workflows.wire.attributes import OWNER, STATUS, owner_of, owner_value

BANANA = "What colour is a banana?"
Attributes = tuple[str | None, str | None]


async def attributes(session: Session) -> Attributes:
    """Status and owner as the server has them."""
    found = (await session.temporal.get_workflow_handle(session.id).describe()).typed_search_attributes
    return found.get(STATUS), found.get(OWNER)


async def becomes(session: Session, expected: Attributes) -> None:
    async with asyncio.timeout(WAIT):
        while expected != await attributes(session):  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.05)


async def written(session: Session) -> int:
    """How often the present run of a session has written attributes."""
    history = await session.temporal.get_workflow_handle(session.id).fetch_history()
    upsert = EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
    return sum(event.event_type == upsert for event in history.events)


@asynccontextmanager
async def serving(search_attributes: dict[str, str], **settings: object) -> AsyncIterator[Client]:
    async with running(own_server(settings, search_attributes=search_attributes)) as server:
        yield await connect(server.address)


async def test_status_and_owner_are_written_as_they_change(harness: Harness) -> None:
    session = await harness.open(Config(owner="ada"))
    await becomes(session, ("open", "ada"))
    task_id = await session.submit("deploy", kind="Approve")
    await becomes(session, ("waiting", "ada"))
    await session.pause()
    await becomes(session, ("paused", "ada"))
    await session.respond(task_id, "no")
    await session.resume()
    await becomes(session, ("open", "ada"))
    await session.configure(owner="bob")
    assert ("open", "bob") == await attributes(session)
    await session.configure(owner=None)
    assert ("open", None) == await attributes(session)
    last = await session.submit("deploy", kind="Approve")
    await becomes(session, ("waiting", None))
    await session.close()
    await becomes(session, ("draining", None))
    await session.respond(last, "no")
    await session.finished(WAIT)
    assert ("closed", None) == await attributes(session)


async def test_an_ordinary_task_writes_no_attribute(harness: Harness) -> None:
    session = await harness.open(Config(owner="ada"))
    for _ in range(3):
        await ask(session, BANANA)
    await session.configure(title="Space talk")
    assert 1 == await written(session)


@pytest.mark.parametrize(
    "owner", ["ada", "O'Brien", "'", "''x'", 'say "hi"', "back\\slash", "100%", "%22", "%2522", "a\x00\tb\n", "é😀"]
)
def test_an_owner_is_read_back_from_its_attribute(owner: str) -> None:
    assert owner == owner_of(owner_value(owner))
    assert not set(owner_value(owner)) & set('"\\\x00\t\n')
    assert owner_value(owner).strip("'") == owner_value(owner)


def test_the_longest_owner_still_fits_a_keyword() -> None:
    for owner in ('"' * 255, "🍌" * 255, "x" * 255):
        value = owner_value(owner)
        assert 255 >= len(value)
        assert 2_048 > len(json.dumps(value))  # what the server takes


async def test_a_hand_over_keeps_the_attributes_and_asks_again_for_them() -> None:
    """Registered only later, they are written by the next run; the one after that has nothing to write."""
    async with serving({}, **{EARLY: 40}) as temporal:
        harness = Harness(temporal)
        async with harness.worker(search_attributes=False):
            session = await harness.open(Config(owner="ada"))
            await ask(session, BANANA)
            assert (None, None) == await attributes(session)
        async with harness.worker():
            await next_run(session)
            await becomes(session, ("open", "ada"))
            assert 1 == await written(session)
            await next_run(session)
            assert ("open", "ada") == await attributes(session)
            assert 0 == await written(session)
            await session.close()
            await session.finished(WAIT)
        await harness.replay_all()


async def next_run(session: Session) -> None:
    handle = session.temporal.get_workflow_handle(session.id)
    run = (await handle.describe()).run_id
    async with asyncio.timeout(WAIT):
        while run == (await handle.describe()).run_id:
            await asyncio.gather(*(session.resume() for _ in range(10)))
            await session.snapshot()


FULL = {f"Other{number}": "Keyword" for number in range(9)}
"""A SQLite server takes ten keywords and has room for one of our two."""


@pytest.mark.parametrize(
    ("there", "says"), [(FULL, "cannot have more than 10"), ({STATUS.name: "Int"}, "SessionStatus is not of the type")]
)
async def test_a_server_that_cannot_have_them_is_told_in_one_line_and_keeps_its_sessions(
    there: dict[str, str], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(there) as temporal:
        assert not await register_search_attributes(temporal)
        assert [("WARNING", True)] == [(r.levelname, says in r.message) for r in caplog.records if r.name == "sessions"]
        harness = Harness(temporal)
        async with harness.worker():
            session = await harness.open(Config(owner="ada"))
            assert "yellow" in await ask(session, BANANA)
            await session.pause()
            await session.configure(owner="bob")
            await session.resume()
            assert "completed" == (await run_task(session, BANANA)).status
            await session.close()
            assert "closed" == (await session.finished(WAIT)).status
        assert (None, None) == await attributes(session)
        await harness.replay_all()


async def test_a_worker_registers_them_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving({}) as temporal:
        assert [True, True] == [await register_search_attributes(temporal) for _ in range(2)]
        assert ["registered the search attributes SessionStatus, SessionOwner"] == [
            record.message for record in caplog.records if record.name == "sessions"
        ]
        assert {STATUS.name: KEYWORD, OWNER.name: KEYWORD} == await registration._described(temporal)


async def test_what_the_namespace_says_of_its_attributes_is_enough() -> None:
    """Where operator calls are refused, the names of the fields tell the types."""
    async with serving({STATUS.name: "Int", OWNER.name: "KeywordList"}) as temporal:
        described = await registration._described(temporal)
    assert [False, False] == [described[name] == KEYWORD for name in (STATUS.name, OWNER.name)]


async def test_a_cancel_at_the_very_start_closes_the_session(temporal: Client) -> None:
    harness = Harness(temporal)
    session = await harness.open()
    await temporal.get_workflow_handle(session.id).cancel()
    async with harness.worker():
        assert "closed" == (await session.finished(WAIT)).status
    assert ("closed", None) == await attributes(session)
    await harness.replay_all()

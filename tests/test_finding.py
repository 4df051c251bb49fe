"""Finding sessions: by status and owner, counted, and in pages."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from starter.client import SessionClient
from starter.client.connection import connect
from starter.client.finding import SessionFinder, SessionListing
from tests.harness import WAIT, Harness
from tests.servers import NO_LISTS, own_server, running
from workflows.contract import Config
from workflows.wire.attributes import STATUS
from workflows.wire.errors import SessionError
from workflows.wire.fields import ListedStatus

SESSIONS = 100


@pytest.fixture
def owner() -> str:
    return f"ada-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
async def bare() -> AsyncIterator[Client]:
    """A server with nothing on it: no worker, no session, no search attribute of ours."""
    async with running(own_server(search_attributes={STATUS.name: "Int"})) as server:
        yield await connect(server.address)


async def listed(
    finder: SessionFinder, expected: int, status: ListedStatus | None = None, owner: str | None = None
) -> list[SessionListing]:
    """What a list finds, once that is as many as expected: it is written a moment after what it tells of."""
    async with asyncio.timeout(WAIT):
        while expected != len(found := [s async for s in finder.list(status=status, owner=owner)]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_sessions_are_found_by_how_they_stand(harness: Harness, owner: str) -> None:
    opened: dict[ListedStatus, str] = {}
    for status in ("terminated", "open", "waiting", "paused", "draining", "closed"):
        session = await harness.open(Config(owner=owner))
        opened[status] = session.id
        if status in {"waiting", "draining"}:
            await session.submit("deploy", kind="Approve")
            await listed(harness.client, 1 if status == "waiting" else 2, "waiting", owner)
        if status in {"draining", "closed"}:
            await session.close()
        if status == "paused":
            await session.pause()
        if status == "terminated":
            await listed(harness.client, 1, "open", owner)
            await harness.temporal.get_workflow_handle(session.id).terminate("operator")
    for status, session_id in opened.items():
        (found,) = await listed(harness.client, 1, status, owner)
        assert (session_id, status, owner) == (found.session_id, found.status, found.owner)
        assert (found.closed_at is None) == (status in {"open", "waiting", "paused", "draining"})
    counts = await harness.client.count(owner=owner)
    assert dict.fromkeys(opened, 1) == {status: count for status, count in counts.items() if count}
    for session_id in (opened["waiting"], opened["draining"]):
        await harness.client.get(session_id).close("now")


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_whatever_an_owner_is_called_only_their_sessions_are_found(harness: Harness, owner: str) -> None:
    owners = [f"{owner}{rest}" for rest in ("", "'", "''", '"', "\\", "\\'", "%", "_", "%27", "\n", "\x00", " é😀")]
    owners += [f"' OR SessionOwner != '{owner}", f"'{owner}'"]
    opened = {name: (await harness.open(Config(owner=name))).id for name in owners}
    for name, session_id in opened.items():
        (found,) = await listed(harness.client, 1, owner=name)
        assert (session_id, name) == (found.session_id, found.owner)


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_a_status_that_is_none_is_refused_by_name(harness: Harness) -> None:
    with pytest.raises(SessionError, match=r"InvalidRequest: \"open' OR '\" is none of open, waiting"):
        await harness.client.page(status="open' OR '")  # type: ignore[arg-type]


async def test_a_list_is_read_in_steps_and_every_session_is_there_once(
    bare: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m benchmarks.listing` does the same with 2,000."""
    client = SessionClient(bare, "nobody-polls-this")
    everyone = {(await client.open(f"session-{number:03}")).id for number in range(SESSIONS)}
    async with asyncio.timeout(WAIT):
        while (await client.count())["open"] < SESSIONS:  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.1)
    pages = [await client.page(30)]
    while pages[-1].next_page:
        pages.append(await client.page(30, page=pages[-1].next_page))
    assert [30, 30, 30, 10] == [len(page.sessions) for page in pages]
    newest_first = [listing for page in pages for listing in page.sessions]
    assert everyone == {listing.session_id for listing in newest_first}
    assert newest_first == sorted(newest_first, key=lambda listing: listing.started_at, reverse=True)
    monkeypatch.setattr("starter.client.finding.PAGE_SIZE", 20)
    assert newest_first[:70] == (await client.page(70)).sessions
    assert newest_first[:45] == [listing async for listing in client.list(45)]


async def test_without_the_attributes_sessions_are_listed_and_a_filter_is_refused_by_name(bare: Client) -> None:
    client = SessionClient(bare, "nobody-polls-this")
    session = await client.open("unattributed")
    await bare.get_workflow_handle(session.id).terminate()
    (found,) = await listed(client, 1, "terminated")
    assert ("unattributed", None) == (found.session_id, found.owner)
    assert 1 == (await client.count())["terminated"]
    for refused in (client.page(status="waiting"), client.page(owner="ada"), client.count(owner="ada")):
        with pytest.raises(SessionError, match=r"InvalidRequest: .* no search attributes .* temporal operator"):
            await refused


@pytest.mark.parametrize("page", ["?", "", "eyJhIjoxfQ", "eyJhIjoxfX0=", "é"])
async def test_what_is_no_page_is_refused_by_name(bare: Client, page: str) -> None:
    with pytest.raises(SessionError, match=r"InvalidRequest: .* is not the next page of any list"):
        await SessionClient(bare).page(page=page)

"""Everybody stops: sessions of an owner, or all of them, pause and what runs in them is cancelled; and go on again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

from pydantic import BaseModel
from temporalio.service import RPCError

from starter.client.calls import NoWorkerError
from starter.client.finding import SessionListing
from starter.client.sessions import SessionClient
from workflows.contract import Snapshot
from workflows.wire.errors import SessionError

AT_ONCE = 32
"""Sessions that are told at once: as many as a worker with two processors answers in a second."""

ROUNDS = 5
"""Looks for sessions that were opened while the others were told; the list of a server is a second behind."""


_DRAINS, _WAS_PAUSED = "it is closing, and ends with its tasks", "it was paused before"


class Told(BaseModel):
    """What became of one session. `done`: whether it was paused, or went on; `cancelled`: the task that ran in it.

    `why`: why it stays as it is, or what is not known of it.
    """

    session_id: str
    done: bool
    cancelled: str | None = None
    why: str | None = None


async def stop(client: SessionClient, *, owner: str | None = None, reason: str | None = None) -> AsyncIterator[Told]:
    """Pause every session that goes on and cancel its running task, each told as it is done; repeated, it is harmless.

    One that the list has as paused is not among the `done`, and stays paused for its own reason. Sessions that are
    opened meanwhile are stopped as well.
    Raises SessionError (InvalidRequest) where the namespace cannot filter by owner.
    """

    async def one(found: SessionListing) -> Told:
        session = client.get(found.session_id)
        # First what no worker is needed for: once it is recorded, no further task starts.
        await session.pause()
        # A query is answered after the signals before it, so that a task which started meanwhile is seen.
        before = await session.snapshot()
        running = before.running.task_id if before.running else None
        if running is not None:
            await session.cancel(running, reason or "everything was stopped")
        why = _DRAINS if before.status == "draining" else _WAS_PAUSED if found.status == "paused" else None
        return Told(session_id=session.id, done=why is None, cancelled=running, why=why)

    told: set[str] = set()
    for _ in range(ROUNDS):
        here = [each for each in await _going_on(client, owner) if each.session_id not in told]
        if not here:
            return
        async for each in _each(one, here):
            told.add(each.session_id)
            yield each


async def go(
    client: SessionClient, *, owner: str | None = None, only: Collection[str] | None = None
) -> AsyncIterator[Told]:
    """Resume every session that a caller has paused, `only` those named where given.

    One that a failure or its budget has paused stays so. Raises SessionError (InvalidRequest) as `stop` does.
    """

    async def one(found: SessionListing) -> Told:
        session = client.get(found.session_id)
        before = await session.snapshot()
        why = _why_not(before)
        if why is None:
            await session.resume()
        return Told(session_id=session.id, done=why is None, why=why)

    here = await _going_on(client, owner)
    async for each in _each(one, [each for each in here if only is None or each.session_id in only]):
        yield each


def _why_not(snapshot: Snapshot) -> str | None:
    if snapshot.status != "paused":
        return f"it is {snapshot.status}"
    return f"its {snapshot.paused_by} has paused it" if snapshot.paused_by in {"failure", "budget"} else None


async def _going_on(client: SessionClient, owner: str | None) -> list[SessionListing]:
    found = []
    async for listing in client.list(limit=1_000_000_000, owner=owner):
        if listing.closed_at is not None:  # all that follow have ended
            break
        found.append(listing)
    return found


async def _each(
    work: Callable[[SessionListing], Awaitable[Told]], sessions: Collection[SessionListing]
) -> AsyncIterator[Told]:
    """What became of each, in the order in which they are done."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(found: SessionListing) -> Told:
        async with room:
            try:
                return await work(found)
            except (SessionError, NoWorkerError, RPCError) as error:
                return Told(session_id=found.session_id, done=False, why=str(error))

    tasks = [asyncio.create_task(one(found)) for found in sessions]
    try:
        for ended in asyncio.as_completed(tasks):
            yield await ended
    finally:
        for task in tasks:
            task.cancel()

"""The command that watches: one session or all of them, live."""

import asyncio
import shutil
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Self

import typer

from starter.cli import output, watched
from starter.cli.app import SESSIONS, connected, verb
from starter.client.changes import Change, changes
from workflows.contract import RejectedEntry, Snapshot, TaskRecord

if TYPE_CHECKING:
    from starter.client import Session
    from starter.client.overview import Overview
    from starter.client.watching import Look, SessionWatch

LATEST = 5
"""Ended tasks and refusals that are shown of a session: enough to see what it is about."""

_SEEN_BY_LOOKS = frozenset({"status", "progress", "question", "ended"})
"""Events of a task that changes of its session tell."""

MARGIN = 6
"""Lines of the terminal that the rows of the overview leave free: for what stands above and below them."""


@verb("watch demo", SESSIONS)
async def watch(
    session: Annotated[
        str | None, typer.Argument(metavar="SESSION", help="Session id; or --all.", show_default=False)
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Watch all open sessions, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each change, one a line.")] = False,
) -> None:
    """Watch a session until it is closed: what runs and how far it is, what waits, what ended.

    On a terminal it is drawn in place; into a pipe goes a line for each change.
    """
    if (session is None) != every:
        raise typer.BadParameter("give SESSION or --all, and not both")
    from starter.client.overview import Overview  # noqa: PLC0415 (imports temporalio, which takes 0.2 s)
    from starter.client.watching import SessionWatch  # noqa: PLC0415 (the same)

    client = await connected()
    drawn = sys.stdout.isatty() and not as_json
    if session:
        here = client.get(session)
        looks = SessionWatch(here)
        if drawn:
            await _draw_session(looks)
        elif as_json:
            async with _Events(here) as events:
                await _follow_session(looks, as_json=True, events=events)
        else:
            await _follow_session(looks, as_json=False)
    else:
        rounds = Overview(client)
        await (_draw_all(rounds) if drawn else _follow_all(rounds, as_json=as_json))


async def _draw_session(watch: "SessionWatch") -> None:
    looks = _looks(watch)
    look = await anext(looks)
    ended = deque(await watch.latest(LATEST), maxlen=LATEST)
    rejected: deque[RejectedEntry] = deque(maxlen=LATEST)
    with output.live(lambda: watched.session(look, ended, rejected)):
        async for look in looks:
            ended.extend(look.ended)
            rejected.extend(look.rejected)


class _Events:
    """Prints what the tasks of a session say, each from when it is seen to run; its end waits for what they say yet."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._following: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, failed: object, *_: object) -> None:
        for task in self._following.values():
            if failed:
                task.cancel()
        await asyncio.gather(*self._following.values(), return_exceptions=True)

    def follow(self, look: "Look") -> None:
        """Follow the task that runs now."""
        running = look.snapshot.running
        for task_id in [task_id for task_id, task in self._following.items() if task.done()]:
            if running is None or running.task_id != task_id:
                del self._following[task_id]
        if running and running.task_id not in self._following:
            self._following[running.task_id] = asyncio.create_task(self._print(running, look.snapshot))

    async def _print(self, running: TaskRecord, snapshot: Snapshot) -> None:
        async for event in self._session.stream(running.task_id):
            if event.type not in _SEEN_BY_LOOKS:
                at, pending = datetime.now(UTC), len(snapshot.pending)
                change = Change(
                    at=at,
                    session_id=snapshot.session_id,
                    change="event",
                    status=snapshot.status,
                    pending=pending,
                    task=running,
                    event=event,
                )
                _print([change], as_json=True)


async def _follow_session(watch: "SessionWatch", *, as_json: bool, events: _Events | None = None) -> None:
    before: Look | None = None
    async for look in _looks(watch):
        if events:
            events.follow(look)
        _print(changes(before, look, datetime.now(UTC)), as_json=as_json)
        before = look


async def _looks(watch: "SessionWatch") -> "AsyncIterator[Look]":
    looks = watch.looks()
    with output.waiting("waiting for an answer"):
        first = await anext(looks)
    yield first
    async for look in looks:
        yield look


async def _draw_all(overview: "Overview") -> None:
    rounds = overview.rounds()
    with output.waiting("looking at all sessions"):
        await anext(rounds)
    with output.live(lambda: watched.overview(overview, shutil.get_terminal_size().lines - MARGIN)):
        async for _ in rounds:
            pass


async def _follow_all(overview: "Overview", *, as_json: bool) -> None:
    async for found in overview.rounds():
        _print(found, as_json=as_json)


def _print(found: Iterable[Change], *, as_json: bool) -> None:
    for change in found:
        if as_json:
            output.show_json(change, indent=None)
        else:
            output.show(watched.line(change))

"""The command that watches: one session or all of them, live."""

import shutil
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import output, watched
from starter.cli.app import SESSIONS, connected, verb
from starter.client.changes import Change, changes
from workflows.contract import RejectedEntry

if TYPE_CHECKING:
    from starter.client.overview import Overview
    from starter.client.watching import Look, SessionWatch

LATEST = 5
"""Ended tasks and refusals that are shown of a session: enough to see what it is about."""

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
        looks = SessionWatch(client.get(session))
        await (_draw_session(looks) if drawn else _follow_session(looks, as_json=as_json))
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


async def _follow_session(watch: "SessionWatch", *, as_json: bool) -> None:
    before: Look | None = None
    async for look in _looks(watch):
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

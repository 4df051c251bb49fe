"""`watch` as people and scripts meet it: lines into a pipe, JSON for programs, a picture on a terminal."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from math import ceil

import pytest

from starter.client.changes import Change
from starter.dev_server import DevServer
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, run_task, snapshot_when
from tests.servers import NO_LISTS
from tests.test_cli import ROOT, on_terminal
from workflows.contract import Config

COUNTDOWN = Config(default_kind="Countdown")
SECONDS = ceil(4 * SLOWNESS)
"""Of a countdown that is looked at each second while it counts, and that a test waits for to the end."""


@contextlib.asynccontextmanager
async def _watching(server: DevServer, harness: Harness, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m starter watch`, its output piped."""
    environment = {"TEMPORAL_ADDRESS": server.address, "SESSIONS_TASK_QUEUE": harness.queue}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "starter", "watch", *words),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process, words: str) -> str:
    """The next line with these words in it."""
    assert process.stdout
    async with asyncio.timeout(WAIT):
        while words not in (line := (await process.stdout.readline()).decode()):
            assert line, f"{words!r} never came"
    return line


async def test_a_pipe_gets_a_line_for_each_change_until_the_close(harness: Harness, server: DevServer) -> None:
    session = await harness.open(COUNTDOWN)
    async with _watching(server, harness, session.id) as process:
        await _line(process, f"{session.id} is idle, 0 pending")
        await session.submit(SECONDS, task_id="counted")
        await _line(process, f"counted runs: {SECONDS}")
        assert re.search(r"counted \d+ of \d+, \d+%", await _line(process, f" of {SECONDS}, "))
        await _line(process, "counted completed: 0")
        await session.submit({"output": "so far", "finish_reason": "length"}, kind="Return", task_id="cut")
        await _line(process, "cut completed: (ended by length) so far")
        await session.close()
        await _line(process, "is closed")
        assert (b"", b"") == await process.communicate()
        assert 0 == process.returncode


async def test_a_program_gets_one_json_object_for_each_change(harness: Harness, server: DevServer) -> None:
    session = await harness.open()
    async with _watching(server, harness, session.id, "--json") as process:
        first = Change.model_validate(json.loads(await _line(process, "session")))
        assert (session.id, "session", "idle", 0) == (first.session_id, first.change, first.status, first.pending)
        await run_task(session, "What colour is a banana?", task_id="asked")
        told = Change.model_validate(json.loads(await _line(process, "yellow")))
        assert told.task
        assert ("asked", "completed") == (told.task.task_id, told.task.status)


async def test_a_terminal_shows_the_running_task_with_its_bar_in_place(harness: Harness, server: DevServer) -> None:
    session = await harness.open(COUNTDOWN)
    await run_task(session, "What colour is a banana?", kind="Answer")
    async with on_terminal(server, harness, "watch", session.id) as terminal:
        await terminal.shows("A ripe banana is yellow.")
        await session.submit(SECONDS, task_id="counted")
        await terminal.shows("counted")
        await terminal.shows("━")
        await terminal.shows(f" of {SECONDS}, ")
        terminal.process.send_signal(signal.SIGINT)
        assert 130 == await terminal.ended()


async def test_a_question_to_a_person_is_shown(harness: Harness, server: DevServer) -> None:
    session = await harness.open(Config(default_kind="Approve"))
    await session.submit("deploy", task_id="deploy")
    await snapshot_when(session, lambda s: s.status == "waiting")
    async with on_terminal(server, harness, "watch", session.id) as terminal:
        await terminal.shows("deploy? (yes / no)")


async def test_a_wait_for_a_task_shows_its_bar(harness: Harness, server: DevServer) -> None:
    session = await harness.open(COUNTDOWN)
    await session.submit(100, task_id="counted")
    async with on_terminal(server, harness, "result", session.id, "counted") as terminal:
        await terminal.shows("waiting for counted")
        await terminal.shows(" of 100, ")
    async with on_terminal(server, harness, "show", session.id) as terminal:
        await terminal.shows(" of 100, ")
        assert 0 == await terminal.ended()
    await session.close("now")
    await session.finished(WAIT)


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_all_sessions_are_watched_until_they_are_no_more_of_interest(harness: Harness, server: DevServer) -> None:
    session = await harness.open(COUNTDOWN)
    async with _watching(server, harness, "--all") as process, on_terminal(server, harness, "watch", "--all") as shown:
        await _line(process, f"{session.id} is idle")
        await session.submit(600, task_id="counted")  # until the close
        await _line(process, f"{session.id} counted runs: 600")
        await shown.shows("counted")
        await session.close("now")
        await _line(process, f"{session.id} is closed")
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
        assert (130, b"") == (process.returncode, errors)


ENDS = [
    (["never-opened"], 6, "SessionNotFound"),
    pytest.param([], 2, "give SESSION or --all", marks=pytest.mark.rare),
    (["demo", "--all"], 2, "give SESSION or --all"),
]


@pytest.mark.parametrize(("words", "code", "says"), ENDS)
async def test_what_cannot_be_watched_is_one_line_with_an_exit_code(
    harness: Harness, server: DevServer, words: list[str], code: int, says: str
) -> None:
    async with _watching(server, harness, *words) as process:
        out, errors = await process.communicate()
    assert (code, b"", 1) == (process.returncode, out, len(errors.splitlines()))
    assert says in errors.decode()


async def test_a_session_that_is_ended_from_outside_ends_its_watch(harness: Harness, server: DevServer) -> None:
    session = await harness.open()
    async with _watching(server, harness, session.id) as process:
        await _line(process, "is idle")
        await harness.temporal.get_workflow_handle(session.id).terminate("operator")
        _, errors = await process.communicate()
    assert 7 == process.returncode
    assert "ended without a final snapshot" in errors.decode()

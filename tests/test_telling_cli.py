"""What a task says, on a terminal while it says it, and in the lines of `watch --json`."""

import contextlib
import json
import signal
from collections.abc import AsyncIterator

import pytest

from activities.models.offline import OfflineModel
from starter.client import Session
from starter.dev_server import DevServer
from tests.harness import Harness, snapshot_when
from tests.recitals import ReciteWorkflow, recite
from tests.test_cli import _run, on_terminal
from tests.test_watch_cli import _line, _watching
from worker import build_worker
from workflows.contract import Config, task_workflow_id
from workflows.wire.errors import SessionError

DRAWN = "\x1b[1mtwo\x1b[0m three"
"""A part of these words as Markdown; in the line that was typed it has stars."""

WORDS = "one **two** three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


@pytest.fixture
async def reciting(elsewhere: Harness) -> AsyncIterator[Session]:
    """A session whose questions are recited, a word each fifth of a second."""
    kinds, queue = [ReciteWorkflow], elsewhere.queue
    async with build_worker(elsewhere.temporal, OfflineModel(), queue=queue, kinds=kinds, activities=[recite]):
        session = await elsewhere.open(Config(default_kind="Recite"))
        yield session
        with contextlib.suppress(SessionError):  # closed by the test
            await session.close("now")


async def test_an_answer_shows_on_a_terminal_while_it_is_written(
    server: DevServer, elsewhere: Harness, reciting: Session
) -> None:
    async with on_terminal(server, elsewhere, "ask", reciting.id, WORDS) as terminal:
        await terminal.shows("three")
        running = (await reciting.snapshot()).running
        assert running is not None
        assert b"**" not in terminal._output
        await terminal.shows("fifteen")
        assert 0 == await terminal.ended()
    assert True is await _asked(reciting, running.task_id)


async def test_a_shown_answer_can_be_interrupted_and_its_task_goes_on(
    server: DevServer, elsewhere: Harness, reciting: Session
) -> None:
    async with on_terminal(server, elsewhere, "ask", reciting.id, WORDS) as terminal:
        await terminal.shows("three")
        terminal.process.send_signal(signal.SIGINT)
        await terminal.shows("the task goes on")
        assert 130 == await terminal.ended()
    assert (await reciting.snapshot()).running is not None


async def test_a_conversation_shows_an_answer_while_it_is_written_and_whole_at_its_end(
    server: DevServer, elsewhere: Harness, reciting: Session
) -> None:
    """The prompt is away as long as text comes, which is longer than it is for an answer of which nothing is seen."""
    async with on_terminal(server, elsewhere, "chat", reciting.id) as terminal:
        await terminal.shows("/quit leaves")
        terminal.type(WORDS)
        await terminal.shows(DRAWN)
        assert (await reciting.snapshot()).running
        await terminal.shows("fourteen fifteen")
        assert b"still at it" not in terminal.printed
        await snapshot_when(reciting, lambda seen: seen.counters.completed == 1)
        terminal.type("What is *next*?")
        await terminal.shows("\x1b[3mnext")
        await snapshot_when(reciting, lambda seen: seen.counters.completed == 2)
        terminal.type("/quit")
        assert 0 == await terminal.ended()


async def test_ctrl_c_in_a_conversation_brings_the_prompt_back_and_the_answer_comes(
    server: DevServer, elsewhere: Harness, reciting: Session
) -> None:
    async with on_terminal(server, elsewhere, "chat", reciting.id) as terminal:
        await terminal.shows("/quit leaves")
        terminal.type(WORDS)
        await terminal.shows(DRAWN)
        terminal.process.send_signal(signal.SIGINT)
        await terminal.shows("still at it")
        terminal.type("/show")
        await terminal.shows("running")
        await terminal.shows("> one **two** three")
        await terminal.shows(DRAWN)
        terminal.type("/quit")
        assert 0 == await terminal.ended()


async def test_a_conversation_shows_answers_at_their_end_where_that_is_asked_for(
    server: DevServer, elsewhere: Harness, reciting: Session
) -> None:
    async with on_terminal(server, elsewhere, "chat", reciting.id, "--no-stream") as terminal:
        await terminal.shows("/quit leaves")
        terminal.type("one two")
        await terminal.shows("one two")
        await snapshot_when(reciting, lambda seen: seen.counters.completed == 1)
        terminal.type("/quit")
        assert 0 == await terminal.ended()
    [record] = (await reciting.snapshot()).recent
    assert False is await _asked(reciting, record.task_id)


async def test_a_pipe_gets_an_answer_as_always(server: DevServer, elsewhere: Harness, reciting: Session) -> None:
    environment = {"TEMPORAL_ADDRESS": server.address, "SESSIONS_TASK_QUEUE": elsewhere.queue}
    ended = await _run("ask", reciting.id, "**one** two", **environment)
    assert (0, "**one** two \n") == (ended.code, ended.out)
    [record] = (await reciting.snapshot()).recent
    assert False is await _asked(reciting, record.task_id)


async def test_a_terminal_shows_an_answer_at_its_end_where_that_is_asked_for(
    server: DevServer, elsewhere: Harness, reciting: Session
) -> None:
    async with on_terminal(server, elsewhere, "ask", reciting.id, "**one** two", "--no-stream") as terminal:
        await terminal.shows("**one** two")
        assert 0 == await terminal.ended()
    [record] = (await reciting.snapshot()).recent
    assert False is await _asked(reciting, record.task_id)


async def test_lines_of_json_have_what_a_task_says(server: DevServer, elsewhere: Harness, reciting: Session) -> None:
    async with _watching(server, elsewhere, reciting.id, "--json") as process:
        await _line(process, '"idle"')
        await reciting.submit(WORDS, task_id="t", stream=True)
        first = json.loads(await _line(process, '"change": "event"'))
        await snapshot_when(reciting, lambda snapshot: snapshot.running is None)
        await reciting.close()
        assert process.stdout
        lines = [json.loads(line) async for line in process.stdout]
    assert ("event", "t", "text", "1.") == (
        first["change"],
        first["task"]["task_id"],
        first["event"]["type"],
        first["event"]["cursor"][:2],
    )
    events = [first, *(line for line in lines if line["change"] == "event")]
    assert 2 < len(events)
    assert WORDS + " " == "".join(line["event"]["text"] for line in events)


async def _asked(session: Session, task_id: str) -> bool:
    """Whether a task was asked to stream, as its workflow was told."""
    child = session.temporal.get_workflow_handle(task_workflow_id(session.id, task_id))
    async for event in child.fetch_history_events():
        [told] = await session.temporal.data_converter.decode(
            event.workflow_execution_started_event_attributes.input.payloads
        )
        return bool(told["stream"])
    raise AssertionError

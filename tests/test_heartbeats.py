"""Activities that say nothing live as long as their worker and are told to end; what others say stays in sight."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from activities.models.offline import OfflineModel
from starter.client import Session
from starter.client.connection import connect
from starter.client.watching import task_progress
from tests import errands
from tests.conformance.caller import SLOWNESS
from tests.errands import Note, noted
from tests.framework_kinds import errand
from tests.harness import WAIT, Harness, run_task
from tests.servers import NO_NEXT_WORKER, Server
from tests.test_crashes import ROOT, WorkerProcess, stopping
from worker import build_worker
from workflows.contract import Config, TaskRecord
from workflows.wire.progress import Progress

ERRANDS = {
    "coroutine": ("Errand", "fetch"),
    "thread": ("Errand", "fetch_in_a_thread"),
    "pydantic-ai": ("AgentErrand", "fetch"),
}
TOOLS = ["fetch", "fetch_in_a_thread"]

HEARTBEAT_SECONDS = 1.0 * SLOWNESS
"""Of tools here, unless a worker dies."""

GOES_ON_SECONDS = 15.0 * SLOWNESS
"""From a worker's death until the task is past the tool that it died in, the tool's two seconds included."""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers of this process and of others write down what is done."""
    monkeypatch.setenv(errands.LOG, str(tmp_path / "errands"))
    return tmp_path / "errands"


async def when(log: Path, what: str) -> Note:
    """The first note of that, as soon as it is there."""
    async with asyncio.timeout(WAIT):
        while not (found := [note for note in noted(log) if note.what == what]):  # noqa: ASYNC110 (a file has no event)
            await asyncio.sleep(0.05)
    return found[0]


@asynccontextmanager
async def working(server: Server, harness: Harness, **options: Any) -> AsyncIterator[Session]:
    """A worker with these kinds, as users run it, and a session of it."""
    client = await connect(server.address, plugins=[errands.KINDS, *errand.PLUGINS])
    async with build_worker(client, OfflineModel(), queue=harness.queue, **options):
        yield await harness.open(Config(default_kind="Errand", cancel_grace=WAIT))


def how(record: TaskRecord) -> tuple[str, Any]:
    return record.status, record.error or record.output


@pytest.mark.rare
@pytest.mark.parametrize(("kind", "tool"), ERRANDS.values(), ids=ERRANDS)
@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_after_a_workers_death_in_a_tool_only_the_tool_is_repeated_and_soon(
    server: Server, elsewhere: Harness, log: Path, kind: str, tool: str
) -> None:
    environment = {"SESSIONS_KINDS": "tests.errands:KINDS,tests.framework_kinds.errand:PLUGINS"}
    workers = [WorkerProcess(server.address, elsewhere.queue, environment) for _ in range(2)]
    with stopping(*workers):
        for worker in workers:
            worker.start()
        session = await elsewhere.open()
        await session.submit({"tool": tool, "seconds": 2}, task_id="e", kind=kind)
        began = await when(log, "fetch")
        next(worker for worker in workers if worker._process and worker._process.pid == began.pid).kill()
        assert ("completed", "fetched") == how(await session.result("e", WAIT))
    notes = noted(log)
    assert ["think before", "fetch", "fetch", "fetched", "think after"] == [note.what for note in notes]
    assert GOES_ON_SECONDS > notes[-1].at - began.at


def test_the_agent_of_the_page_is_one_that_survives_its_worker() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/kinds.md").read_text(), flags=re.DOTALL)
    assert 1 == sum(block in Path(errand.__file__).read_text() for block in blocks)


@pytest.mark.parametrize("tool", TOOLS)
async def test_a_tool_that_says_nothing_outlives_its_heartbeat_timeout(
    server: Server, elsewhere: Harness, log: Path, tool: str
) -> None:
    long = {"tool": tool, "seconds": 2.5 * HEARTBEAT_SECONDS, "heartbeat": HEARTBEAT_SECONDS}
    async with working(server, elsewhere) as session:
        assert ("completed", "fetched") == how(await run_task(session, long))
    assert ["think before", "fetch", "fetched", "think after"] == [note.what for note in noted(log)]


@pytest.mark.parametrize(("kind", "tool"), ERRANDS.values(), ids=ERRANDS)
async def test_without_a_cache_no_effect_happens_twice(
    server: Server, elsewhere: Harness, log: Path, kind: str, tool: str
) -> None:
    """Every workflow task then replays the task from its beginning."""
    async with working(server, elsewhere, max_cached_workflows=0) as session:
        assert ("completed", "fetched") == how(await run_task(session, {"tool": tool, "seconds": 0.1}, kind=kind))
    assert ["think before", "fetch", "fetched", "think after"] == [note.what for note in noted(log)]


@pytest.mark.parametrize("tool", TOOLS)
async def test_a_cancellation_reaches_a_tool_that_says_nothing(
    server: Server, elsewhere: Harness, log: Path, tool: str
) -> None:
    async with working(server, elsewhere) as session:
        await session.submit({"tool": tool, "seconds": WAIT, "heartbeat": 3 * HEARTBEAT_SECONDS}, task_id="e")
        began = await when(log, "fetch")
        await session.cancel("e")
        record = await session.result("e", WAIT)
        assert ("cancelled", "TaskCancelled") == (record.status, record.error and record.error.type)
    notes = noted(log)
    assert ["think before", "fetch", "cancelled"] == [note.what for note in notes]
    assert 2 * HEARTBEAT_SECONDS > notes[-1].at - began.at  # by the answer to a beat, long before the timeout


@pytest.mark.parametrize(
    ("tool", "timeouts", "kept"),
    [
        pytest.param("say_and_change", 1.5, {"step": 1}, marks=pytest.mark.rare),
        ("say_for_certain", 0.15, {"step": 2}),
        pytest.param("say_for_certain", 1.5, {"step": 2}, marks=pytest.mark.rare),
    ],
)
async def test_what_an_attempt_said_last_is_what_the_next_one_gets(
    server: Server, elsewhere: Harness, log: Path, tool: str, timeouts: float, kept: Any
) -> None:
    asked = {"tool": tool, "seconds": timeouts * HEARTBEAT_SECONDS, "heartbeat": HEARTBEAT_SECONDS}
    async with working(server, elsewhere) as session:
        assert ("completed", [kept]) == how(await run_task(session, asked))


LONG = 3 * HEARTBEAT_SECONDS


@pytest.mark.parametrize(
    ("tools", "shown"),
    [
        pytest.param([["report_once", LONG], ["fetch", LONG]], LONG, id="and another says nothing"),
        pytest.param(
            [["report_once", LONG + 1], ["report_once", LONG]],
            LONG,
            id="and another reports too",
            marks=pytest.mark.rare,
        ),
    ],
)
async def test_what_a_tool_reported_stays_in_sight_while_it_lives(
    server: Server, elsewhere: Harness, log: Path, tools: list[Any], shown: float
) -> None:
    """Of two that report, the one that started last."""
    async with working(server, elsewhere) as session:
        await session.submit({"tools": tools, "heartbeat": HEARTBEAT_SECONDS}, task_id="e", kind="Errands")
        looks: list[Progress | None] = []
        now, seen = asyncio.get_running_loop().time, 0.0
        async with asyncio.timeout(WAIT):
            while not seen or now() < seen + 2 * HEARTBEAT_SECONDS:
                looks.append(look := await task_progress(session, "e"))
                seen = seen or (now() if look and look.done == shown else 0.0)
                await asyncio.sleep(HEARTBEAT_SECONDS / 12)
        assert (await session.snapshot()).running
        told = [(look.done, look.total, look.note) if look else None for look in looks]
        assert {(shown, 10, "halfway")} == set(told[told.index((shown, 10, "halfway")) :])
        await session.result("e", WAIT)

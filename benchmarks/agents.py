"""What an agent of `examples/` costs as a task, and what of it a killed worker does again.

One turn of the offline model: look an order up, ask a person, refund it, say so. Its events and bytes are those of the
task; the session has its own beside them, the same for every kind. Then the worker is killed while a tool runs.
"""

import argparse
import ast
import asyncio
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from benchmarks.command import options, progress, run
from benchmarks.figures import Figure, show, table
from benchmarks.processes import ROOT, WorkerProcess, database_server, serving
from starter.client import Session, SessionClient
from starter.client.connection import connect
from workflows.contract import Config, TaskRecord

QUEUE, KINDS_QUEUE = "agents", "agents-kinds"

TOOL_SECONDS = 2.0
"""How long a tool takes in which the worker is killed: enough to be seen in it, less than what a silence may last."""

_IMPORTS = (ast.Import, ast.ImportFrom)
_LOOK_SECONDS = 0.1

WAIT_SECONDS = 180.0
"""For any one task. The slowest framework takes 20 seconds to import here."""


@dataclass(frozen=True)
class Example:
    """One folder of `examples/`. `alone`: in an environment and on a worker of its own."""

    folder: str
    kind: str
    alone: bool = False

    @property
    def kinds(self) -> str:
        """What a worker is told."""
        return f"examples.{self.folder}.shop:KINDS"

    @property
    def source(self) -> Path:
        """Agent and kind."""
        return ROOT / "examples" / self.folder / "shop.py"


EXAMPLES = [
    Example("pydantic_ai", "PydanticShop"),
    Example("langgraph", "GraphShop"),
    Example("openai_agents", "OpenAIShop", alone=True),
    Example("google_adk", "AdkShop", alone=True),
]


@dataclass(frozen=True)
class Cost:
    """What was measured of one example. `events`, `bytes`: of the task; `seconds`: from the kill to the task's end."""

    lines: int
    events: int
    bytes: int
    seconds: float
    again: dict[str, int]
    """Activities that ran more than once, with their attempts."""


def code_lines(source: Path) -> int:
    """The lines an author writes: without imports, docstrings, comments and empty ones."""
    text = source.read_text()
    left_out = {number for number, line in enumerate(text.splitlines(), 1) if not line.partition("#")[0].strip()}
    for node in ast.walk(ast.parse(text)):
        documents = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        imports = isinstance(node, ast.With) and all(isinstance(part, _IMPORTS) for part in node.body)
        if isinstance(node, ast.stmt) and (documents or imports or isinstance(node, _IMPORTS)):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(text.splitlines()) - len(left_out)


def attempts(events: list[HistoryEvent]) -> dict[str, int]:
    """How often each activity of a history was begun, by its name; of several of one name the most that any took."""
    names = {
        event.event_id: event.activity_task_scheduled_event_attributes.activity_type.name
        for event in events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    }
    counted: dict[str, int] = {}
    for event in events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            started = event.activity_task_started_event_attributes
            name = names[started.scheduled_event_id]
            counted[name] = max(counted.get(name, 0), started.attempt)
    return counted


async def measure(example: Example, python: Path) -> Cost:
    """Run it on a server of its own."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(database_server())
        ledger = Path(stack.enter_context(TemporaryDirectory(prefix="sessions-benchmark-"))) / "ledger.txt"
        quick, slow = (
            WorkerProcess(
                server.address,
                QUEUE,
                settings={"SHOP_LEDGER": str(ledger), "SHOP_SECONDS": str(seconds)},
                arguments=[example.kinds, "--task-queue", KINDS_QUEUE],
                python=python,
            )
            for seconds in (0.0, TOOL_SECONDS)
        )
        await stack.enter_async_context(serving(WorkerProcess(server.address, QUEUE)))
        client = SessionClient(await connect(server.address), QUEUE)
        session = await client.open(
            example.folder, Config(default_kind=example.kind, queues={example.kind: KINDS_QUEUE})
        )
        progress(f"{example.folder}: a turn")
        async with serving(quick):
            events = await _refund(session)
        progress(f"{example.folder}: a killed worker")
        async with serving(slow):
            seconds, again = await _killed(session, slow, ledger)
    size = sum(event.ByteSize() for event in events)
    return Cost(code_lines(example.source), len(events), size, seconds, again)


async def _refund(session: Session) -> list[HistoryEvent]:
    task_id = await session.submit("Please refund A7.")
    async with asyncio.timeout(WAIT_SECONDS):
        while not (running := (await session.snapshot()).running) or not running.waiting_for:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
    await session.respond(task_id, "yes")
    return await _history(session, await session.result(task_id, WAIT_SECONDS))


async def _killed(session: Session, worker: WorkerProcess, ledger: Path) -> tuple[float, dict[str, int]]:
    task_id = await session.submit("What does B8 cost?")
    async with asyncio.timeout(WAIT_SECONDS):
        while "begin price B8" not in ledger.read_text():  # noqa: ASYNC110, ASYNC240 (a file tells nobody)
            await asyncio.sleep(_LOOK_SECONDS)
    await worker.kill()
    killed = time.monotonic()
    await worker.start()
    events = await _history(session, await session.result(task_id, WAIT_SECONDS))
    took = time.monotonic() - killed
    return took, {name: number for name, number in attempts(events).items() if number > 1}


async def _history(session: Session, record: TaskRecord) -> list[HistoryEvent]:
    if record.status != "completed":
        raise RuntimeError(f"the task ended as {record.status}: {record.error}")
    handle = session.temporal.get_workflow_handle(f"{session.id}/{record.task_id}")
    return list((await handle.fetch_history()).events)


async def main(chosen: argparse.Namespace) -> int:
    """Measure and print; 0."""
    costs = {e.folder: await measure(e, chosen.python) for e in EXAMPLES if e.folder in chosen.examples}
    title = "one turn: two tools, an approval"
    if chosen.json:
        for folder, cost in costs.items():
            named = {
                "lines": cost.lines,
                "events": cost.events,
                "bytes": cost.bytes,
                "seconds_after_kill": cost.seconds,
            }
            show(title, [Figure(f"{folder}_{name}", float(value)) for name, value in named.items()], as_json=True)
        return 0
    rows = [
        (
            folder,
            str(cost.lines),
            str(cost.events),
            f"{cost.bytes / 1000:.1f}",
            f"{cost.seconds:.0f}",
            _said(cost.again),
        )
        for folder, cost in costs.items()
    ]
    table(title, ("example", "lines", "events", "KB", "s after kill", "attempts"), rows)
    return 0


def _said(again: dict[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in again.items())


if __name__ == "__main__":
    parser = options("benchmarks.agents", __doc__)
    parser.add_argument("examples", nargs="*", help="folders of examples/; those of our own environment by default")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the environment that has them")
    parsed = parser.parse_args()
    parsed.examples = parsed.examples or [example.folder for example in EXAMPLES if not example.alone]
    run(main(parsed))

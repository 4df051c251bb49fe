"""What a task adds to its session's history, early and late in the session's life.

One session whose windows are full before its first task: it is a fork of one that filled them. Tasks run one after
another; at each mark some are measured by themselves, by the length and size of the session's history before and after.
"""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from temporalio.client import WorkflowExecutionDescription

from activities.language_model import ModelReply, ModelRequest
from benchmarks.command import options, progress, run
from benchmarks.figures import Figure, show
from starter.client import Session, SessionClient
from starter.connection import connect
from starter.dev_server import DevServer
from worker import build_worker
from workflows import limits
from workflows.contract import SESSION_TYPE, Config, ContextPatch

MARKS, QUICK_MARKS = (50, 500, 2_000), (30, 100, 200)
"""Tasks of one session at which it is measured."""

MEASURED = 11
"""Tasks at each mark; the median leaves out one whose workflow tasks happened to fall together."""

TEXT = 100
"""Characters of a question and of an answer."""

BURST = 250
"""Tasks that wait at once between the marks; more of them would only take room in the pending list."""

TOLERANCE = 1.10
"""The largest figure of all marks by the smallest. What a task adds may not grow with the session's age."""

QUEUE = "growth"


class FixedModel:
    """Answers every question with a text of one size, and remembers one."""

    name = "fixed"

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer; the value it leaves replaces that of the task before."""
        text = request.question.ljust(TEXT, "a")
        return ModelReply(text=text, patch=ContextPatch(set={"last": text}), usage={"tokens": 1})


@dataclass(frozen=True)
class Sample:
    """What one task of a session added to its history, in the median of some around `task`."""

    task: int
    events: float
    bytes: float


class Life:
    """The tasks of one session, by number."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._handle = session.temporal.get_workflow_handle(session.id)
        self.tasks = 0

    async def reach(self, task: int) -> None:
        """Run tasks up to this number."""
        while self.tasks < task:
            numbers = range(self.tasks + 1, min(task, self.tasks + BURST) + 1)
            for number in numbers:
                await self._submit(number)
            await self._session.result(_task_id(numbers[-1]))
            self.tasks = numbers[-1]

    async def sample(self, count: int) -> Sample:
        """Run some more tasks, each by itself, and say what one of them added."""
        middle, added = self.tasks + count // 2 + 1, list[tuple[int, int]]()
        while len(added) < count:
            before = await self._at_rest()
            await self.reach(self.tasks + 1)
            after = await self._at_rest()
            if before.run_id == after.run_id:  # else it was handed over to a new run meanwhile
                added.append((after.history_length - before.history_length, _size(after) - _size(before)))
        events, sizes = zip(*added, strict=True)
        return Sample(middle, statistics.median(events), statistics.median(sizes))

    async def _submit(self, number: int) -> None:
        await self._session.submit(_task_id(number).ljust(TEXT, "q"), task_id=_task_id(number))

    async def _at_rest(self) -> WorkflowExecutionDescription:
        """The session once nothing is left to do for its worker."""
        while (found := await self._handle.describe()).raw_description.HasField("pending_workflow_task"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return found


async def filled(client: SessionClient, queue: str, session_id: str, turns: int) -> Session:
    """A new session that begins with so many turns, and with values that all its tasks read."""
    source = Life(await client.open(f"{session_id}-source", context={"profile": "p" * 10 * TEXT}))
    await source.reach(turns)
    start = {"fork_of": {"session_id": f"{session_id}-source"}}
    await client.temporal.start_workflow(SESSION_TYPE, start, id=session_id, task_queue=queue)
    return client.get(session_id)


async def samples(session: Session, marks: Sequence[int], count: int = MEASURED) -> list[Sample]:
    """What a task adds at each mark."""
    life, found = Life(session), list[Sample]()
    for mark in marks:
        await life.reach(mark - count // 2 - 1)
        found.append(await life.sample(count))
        progress(f"task {found[-1].task}: {found[-1].events:.0f} events, {found[-1].bytes:,.0f} bytes")
    return found


def figures(found: Sequence[Sample]) -> list[Figure]:
    """Both numbers at each mark, and the largest of each by the smallest."""
    events = [Figure(f"session_events_at_{sample.task}", sample.events) for sample in found]
    sizes = [Figure(f"session_bytes_at_{sample.task}", sample.bytes) for sample in found]
    return [*events, _growth("session_events_growth", events), *sizes, _growth("session_bytes_growth", sizes)]


async def of_the_whole_life(session: Session) -> list[Figure]:
    """What all runs of a session hold, its hand-overs included, by its tasks."""
    listed = [found.run_id async for found in session.temporal.list_workflows(f"WorkflowId = '{session.id}'")]
    runs = [await session.temporal.get_workflow_handle(session.id, run_id=run_id).describe() for run_id in listed]
    tasks = (await session.snapshot()).counters.submitted
    return [
        Figure("session_runs", len(runs)),
        Figure("session_events_per_task", sum(run.history_length for run in runs) / tasks),
        Figure("session_bytes_per_task", sum(map(_size, runs)) / tasks),
    ]


async def measure(marks: Sequence[int], turns: int) -> list[Figure]:
    """Start a server and a worker, measure, stop both."""
    with TemporaryDirectory() as folder:
        server = DevServer(Path(folder) / "temporal.db", port=0, ui_port=0, http_port=0)
        progress("starting a server")
        await server.start()
        try:
            client = SessionClient(await connect(server.address), QUEUE)
            async with build_worker(client.temporal, FixedModel(), queue=QUEUE):
                progress(f"filling the window with {turns} turns")
                session = await filled(client, QUEUE, "growth", turns)
                found = figures(await samples(session, marks))
                return found + await of_the_whole_life(session)
        finally:
            server.stop()


async def main() -> int:
    """The command; its exit code is 1 where a figure grows."""
    chosen = options("benchmarks.growth", __doc__).parse_args()
    marks = QUICK_MARKS if chosen.quick else MARKS
    turns = Config().transcript if chosen.quick else limits.TRANSCRIPT_TURNS
    found = await measure(marks, turns)
    show("What a task adds to its session", found, as_json=chosen.json)
    return int(any(figure.ours > TOLERANCE for figure in found if figure.figure.endswith("_growth")))


def _growth(name: str, of: Sequence[Figure]) -> Figure:
    return Figure(name, max(figure.ours for figure in of) / min(figure.ours for figure in of))


def _task_id(number: int) -> str:
    return f"task-{number:06}"


def _size(found: WorkflowExecutionDescription) -> int:
    return int(found.raw_description.workflow_execution_info.history_size_bytes)


if __name__ == "__main__":
    run(main())

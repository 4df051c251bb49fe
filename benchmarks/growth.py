"""What a task costs its session, early and late in the session's life: events, bytes, time and processor time.

One session whose windows are full before its first task: it is a fork of one that filled them. Tasks run one after
another; at each mark some are measured by themselves: by the length and size of the session's history before and after,
by the clock, and by what worker and server used. Events and bytes may not grow, else the exit code is 1; no timing
decides anything.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from temporalio.client import WorkflowExecutionDescription

from benchmarks.command import options, progress, run
from benchmarks.completions import Completions
from benchmarks.figures import Figure, show
from benchmarks.growth_worker import TEXT
from benchmarks.processes import WorkerProcess, cpu_seconds, database_server, serving
from starter.client import Session, SessionClient
from starter.client.connection import connect
from workflows.contract import SESSION_TYPE, Config
from workflows.wire import limits

MARKS, QUICK_MARKS = (50, 500, 2_000, 5_000), (30, 100, 200)
"""Tasks of one session at which it is measured."""

MEASURED, QUICK_MEASURED = 61, 21
"""Tasks at each mark. Of events, bytes and time the median is taken, which leaves out one whose workflow tasks happened
to fall together; processor time is counted in steps of 10 ms and needs some dozens to be worth a mean."""

BURST = 250
"""Tasks that wait at once between the marks; more of them would only take room in the pending list."""

TOLERANCE = 1.10
"""The largest figure of all marks by the smallest. What a task adds may not grow with the session's age."""

BOUND = ("session_events", "session_bytes")
"""The figures that TOLERANCE binds. Timings depend on what else the machine does."""

QUEUE = "growth"


@dataclass(frozen=True)
class Sample:
    """What one task of some around `task` cost: medians, but for processor time, which is a mean by process."""

    task: int
    events: float
    bytes: float
    seconds: float
    cpu_seconds: Mapping[str, float]


class Life:
    """The tasks of one session, by number. `processes`: whose processor time is counted, by name."""

    def __init__(self, session: Session, processes: Mapping[str, int]) -> None:
        self._session = session
        self._handle = session.temporal.get_workflow_handle(session.id)
        self._processes = processes
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
        """Run some more tasks, each by itself, and say what one of them cost."""
        middle, added, seconds = self.tasks + count // 2 + 1, list[tuple[int, int]](), list[float]()
        async with Completions(self._handle) as completed:
            if self.tasks:  # the history up to here has been read
                await completed.of(_task_id(self.tasks))
            before = await self._at_rest()
            used = self._used()
            while len(seconds) < count:
                started = time.perf_counter()
                self.tasks += 1
                await self._submit(self.tasks)
                seconds.append(await completed.of(_task_id(self.tasks)) - started)
                after = await self._at_rest()
                if before.run_id == after.run_id:  # else it was handed over to a new run meanwhile
                    added.append((after.history_length - before.history_length, _size(after) - _size(before)))
                before = after
            spent = {name: (now - used[name]) / count for name, now in self._used().items()}
        events, sizes = zip(*added, strict=True)
        return Sample(middle, statistics.median(events), statistics.median(sizes), statistics.median(seconds), spent)

    async def _submit(self, number: int) -> None:
        await self._session.submit(_task_id(number).ljust(TEXT, "q"), task_id=_task_id(number))

    async def _at_rest(self) -> WorkflowExecutionDescription:
        """The session once nothing is left to do for its worker."""
        while (found := await self._handle.describe()).raw_description.HasField("pending_workflow_task"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return found

    def _used(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._processes.items()}


async def filled(client: SessionClient, queue: str, session_id: str, turns: int) -> Session:
    """A new session that begins with so many turns, and with values that all its tasks read."""
    source = Life(await client.open(f"{session_id}-source", context={"profile": "p" * 10 * TEXT}), {})
    await source.reach(turns)
    start = {"fork_of": {"session_id": f"{session_id}-source"}}
    await client.temporal.start_workflow(SESSION_TYPE, start, id=session_id, task_queue=queue)
    return client.get(session_id)


async def samples(
    session: Session, marks: Sequence[int], processes: Mapping[str, int], count: int = MEASURED
) -> list[Sample]:
    """What a task costs at each mark."""
    life, found = Life(session, processes), list[Sample]()
    for mark in marks:
        await life.reach(mark - count // 2 - 1)
        found.append(await life.sample(count))
        last = found[-1]
        progress(f"task {last.task}: {last.events:.0f} events, {last.bytes:,.0f} bytes, {1_000 * last.seconds:.0f} ms")
    return found


def figures(found: Sequence[Sample]) -> list[Figure]:
    """Every number at each mark, and the largest of each by the smallest."""
    series: dict[str, list[tuple[int, float]]] = {
        "session_events": [(sample.task, sample.events) for sample in found],
        "session_bytes": [(sample.task, sample.bytes) for sample in found],
        "p50_ms": [(sample.task, 1_000 * sample.seconds) for sample in found],
    }
    for name in found[0].cpu_seconds:
        series[f"{name}_cpu_ms"] = [(sample.task, 1_000 * sample.cpu_seconds[name]) for sample in found]
    return [figure for name, points in series.items() for figure in _with_growth(name, points)]


def too_large(found: Sequence[Figure]) -> list[Figure]:
    """Of the figures that may not grow, those that do."""
    bound = {_growth_of(name) for name in BOUND}
    return [figure for figure in found if figure.figure in bound and figure.ours > TOLERANCE]


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


async def measure(marks: Sequence[int], turns: int, count: int) -> list[Figure]:
    """Start a server and a worker, measure, stop both."""
    progress("starting a server and a worker")
    async with database_server() as server:
        worker = WorkerProcess(server.address, QUEUE, "benchmarks.growth_worker")
        async with serving(worker):
            client = SessionClient(await connect(server.address), QUEUE)
            progress(f"filling the window with {turns} turns")
            session = await filled(client, QUEUE, "growth", turns)
            processes = {"worker": worker.pid, "server": server.pid}
            found = figures(await samples(session, marks, processes, count))
            return found + await of_the_whole_life(session)


async def main() -> int:
    """The command; its exit code is 1 where events or bytes grow."""
    chosen = options("benchmarks.growth", __doc__).parse_args()
    if chosen.quick:
        found = await measure(QUICK_MARKS, Config().transcript, QUICK_MEASURED)
    else:
        found = await measure(MARKS, limits.TRANSCRIPT_TURNS, MEASURED)
    show("What a task costs its session", found, as_json=chosen.json)
    return int(bool(too_large(found)))


def _with_growth(name: str, points: Sequence[tuple[int, float]]) -> list[Figure]:
    values = [value for _, value in points]
    # Processor time of a handful of tasks may be counted as none.
    growth = [Figure(_growth_of(name), max(values) / min(values))] if min(values) else []
    return [*(Figure(f"{name}_at_{task}", value) for task, value in points), *growth]


def _growth_of(name: str) -> str:
    return f"{name}_growth"


def _task_id(number: int) -> str:
    return f"task-{number:06}"


def _size(found: WorkflowExecutionDescription) -> int:
    return int(found.raw_description.workflow_execution_info.history_size_bytes)


if __name__ == "__main__":
    run(main())

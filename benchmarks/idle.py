"""Many sessions, mostly idle: what each costs in bytes and in Temporal's billable actions, predicted and measured.

Some sessions are followed task by task first. From their sizes, and from what a session does by its design, the cost of
the crowd is predicted; then the crowd is opened, some of it is asked, all of it is left alone, and the server's own
counter of actions, its histories and its file tell what it cost.
"""

import asyncio
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from benchmarks.bill import REST_TASKS, Sizes, counted, crowd_actions, followed_actions
from benchmarks.command import progress
from benchmarks.completions import ANSWER_SECONDS
from benchmarks.contest import QUESTION
from benchmarks.figures import Figure
from benchmarks.processes import WorkerProcess, cpu_seconds, resident_mib, serving
from starter.client import Session, SessionClient
from starter.client.connection import connect
from starter.dev_server import LOOPBACK, DevServer, free_port

QUEUE = "idle"
AT_ONCE = 40
"""Sessions that are opened, or asked, at the same time."""

SETTLED_SECONDS, LONGEST_SETTLING = 2.0, 900.0
"""The server tells its counts a second late; nothing more is to come once they have stood still for so long. It starts
sessions faster than one worker takes them up: of 20,000 many still wait when the last one is opened."""

RESTED_SECONDS = 60.0
"""The longest wait until a followed session has been handed over for its rest."""

FOLLOWED_TASKS = REST_TASKS + 1
"""Enough for a hand-over at rest."""

_OPENED = 11
"""Events of a run that has begun: its start, two workflow tasks, an activity between them, the search attribute."""

SAMPLE = 100
"""Sessions whose histories are weighed; those of one kind differ by the length of their names."""

NAMES = {
    "grpc_StartWorkflowExecution": "start_workflow",
    "grpc_SignalWorkflowExecution": "signal_workflow",
    "grpc_QueryWorkflow": "query_workflow",
    "grpc_RecordActivityTaskHeartbeat": "record_activity_heartbeat",
    "command_ScheduleActivityTask": "schedule_activity",
    "command_StartChildWorkflowExecution": "start_child_workflow",
    "command_StartChildWorkflowExecution_Extra": "start_child_workflow",
    "command_UpsertWorkflowSearchAttributes": "upsert_workflow_search_attributes",
    "command_StartTimer": "start_timer",
    "command_BatchMarkers": "record_activity_markers",
}
"""The server's own names of actions, and Cloud's. What is not here keeps its name, and is then predicted by nobody."""


@dataclass(frozen=True)
class Crowd:
    """So many sessions, a share of which is asked so often; how long all are left alone; how many are followed."""

    sessions: int = 20_000
    active: float = 0.05
    tasks: int = 2
    alone_seconds: float = 60.0
    followed: int = 3

    def asked(self) -> int:
        """How many sessions are asked."""
        return round(self.sessions * self.active)


QUICK = Crowd(sessions=200, alone_seconds=5.0, followed=1)


class Counting:
    """A server with a file, and what it says of itself."""

    def __init__(self, folder: Path) -> None:
        self._metrics = free_port()
        self._file = folder / "temporal.db"
        self.server = DevServer(self._file, port=0, ui_port=0, http_port=0, metrics_port=self._metrics)

    def actions(self) -> Counter[str]:
        """Billable actions so far, by Cloud's names; those of the server's own workflows are nobody's bill."""
        url = f"http://{LOOPBACK}:{self._metrics}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return actions_in(answer.read().decode())

    def bytes(self) -> int:
        """The database and the log beside it."""
        return sum(path.stat().st_size for path in (self._file, Path(f"{self._file}-wal")) if path.exists())

    async def settled(self) -> Counter[str]:
        """The actions once no more are counted."""
        before, deadline = self.actions(), time.monotonic() + LONGEST_SETTLING
        while time.monotonic() < deadline:
            await asyncio.sleep(SETTLED_SECONDS)
            now = self.actions()
            if now == before:
                return now
            before = now
        return before


def actions_in(metrics: str) -> Counter[str]:
    """The actions in what the server tells Prometheus."""
    found: Counter[str] = Counter()
    for labels, value in re.findall(r"^action(?:_total)?\{(.*)\} (\S+)$", metrics, re.MULTILINE):
        fields: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if fields.get("namespace") == "default" and float(value):
            name: str = fields["action_type"]
            found[NAMES.get(name, name)] += int(float(value))
    return found


async def followed(client: SessionClient, count: int) -> tuple[Sizes, Counter[str]]:
    """Sizes by the task, of sessions with as many as bring a hand-over at rest, and the actions in their histories.

    The histories are those of all their runs and tasks together.
    """
    sessions = [await client.open(f"followed-{number}") for number in range(count)]
    for session in sessions:
        await _longer_than(_OPENED, session)
    weights = [[await _weight(session, session.id) for session in sessions]]
    children = []
    for number in range(FOLLOWED_TASKS):
        for session in sessions:
            await session.ask(QUESTION, task_id=f"task-{number}", wait=ANSWER_SECONDS)
        weights.append([await _weight(session, session.id) for session in sessions])
        children.append([await _weight(session, f"{session.id}/task-{number}") for session in sessions])
    for session in sessions:
        await _handed_over(session)
    carried = [await _weight(session, session.id) for session in sessions]
    sizes = Sizes(
        mean(weights[0]),
        mean(carried),
        [mean(after) - mean(before) for before, after in pairwise(weights)],
        [mean(some) for some in children],
    )
    found: Counter[str] = Counter()
    query = " OR ".join(f"WorkflowId STARTS_WITH '{session.id}'" for session in sessions)
    async for history in client.temporal.list_workflows(query).map_histories():
        found += counted(history.events)
    return sizes, found


async def _weight(session: Session, workflow_id: str) -> int:
    described = await session.temporal.get_workflow_handle(workflow_id).describe()
    return int(described.raw_description.workflow_execution_info.history_size_bytes)


async def _handed_over(session: Session) -> None:
    """Wait for the one hand-over that its rest brings, and until the next run has settled."""
    runs = f"WorkflowId = '{session.id}'"
    async with asyncio.timeout(RESTED_SECONDS):
        while (await session.temporal.count_workflows(runs)).count == 1:  # noqa: ASYNC110 (the server has no event)
            await asyncio.sleep(0.5)
    await _longer_than(_OPENED - 1, session)  # it has its search attributes


async def _longer_than(events: int, session: Session) -> None:
    """Wait until a run has so many events, and has come to rest."""
    handle = session.temporal.get_workflow_handle(session.id)
    async with asyncio.timeout(RESTED_SECONDS):
        while (await handle.describe()).history_length < events:  # noqa: ASYNC110 (the server has no event)
            await asyncio.sleep(0.1)


async def _all(work: Sequence[int], client: SessionClient, crowd: Crowd, *, ask: bool) -> float:
    """Open these sessions, or ask each its questions; seconds."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            name = f"idle-{number:06}"
            if not ask:
                await client.open(name)
                return
            for _ in range(crowd.tasks):
                await client.get(name).ask(QUESTION, wait=ANSWER_SECONDS)

    began = time.perf_counter()
    await asyncio.gather(*map(one, work))
    return time.perf_counter() - began


async def _mean_bytes(client: SessionClient, numbers: Sequence[int]) -> float:
    some = numbers[:: max(1, len(numbers) // SAMPLE)]
    names = (f"idle-{number:06}" for number in some)
    return mean([await _weight(client.get(name), name) for name in names])


async def measured(crowd: Crowd) -> list[Figure]:
    """The whole run, on a server and a worker of its own with the settings that a worker has by default."""
    with TemporaryDirectory(prefix="sessions-idle-") as folder:
        counting = Counting(Path(folder))
        try:
            await counting.server.start()
            worker = WorkerProcess(counting.server.address, QUEUE)
            async with serving(worker):
                return await _measured(crowd, counting, worker)
        finally:
            counting.server.stop()


async def _measured(crowd: Crowd, counting: Counting, worker: WorkerProcess) -> list[Figure]:
    client = SessionClient(await connect(counting.server.address), QUEUE)
    progress(f"following {crowd.followed} sessions task by task, until they have rested")
    sizes, in_histories = await followed(client, crowd.followed)
    asked = crowd.asked()
    numbers, active = range(crowd.sessions), range(crowd.sessions)[:: max(1, crowd.sessions // max(1, asked))][:asked]
    predicted = crowd_actions(crowd.sessions, len(active) * crowd.tasks)

    before, file_before = await counting.settled(), counting.bytes()
    progress(f"opening {crowd.sessions} sessions")
    opening = await _all(numbers, client, crowd, ask=False)
    await counting.settled()
    file_opened = counting.bytes()
    idle_bytes = await _mean_bytes(client, numbers)
    progress(f"opened in {opening:.0f} s; asking {len(active)} of them {crowd.tasks} times each")
    asking = await _all(active, client, crowd, ask=True)
    after, file_after = await counting.settled(), counting.bytes()
    progress(f"asked in {asking:.0f} s; leaving all alone for {crowd.alone_seconds:.0f} s")
    pids = {"server": counting.server.pid, "worker": worker.pid}
    used = {name: cpu_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(crowd.alone_seconds)
    used = {name: cpu_seconds(pid) - used[name] for name, pid in pids.items()}
    alone = (await counting.settled()) - after

    total = after - before
    idle = sorted({*numbers} - {*active})
    children = await _children_bytes(client)
    histories = await _mean_bytes(client, idle) * len(idle) + await _mean_bytes(client, active) * len(active) + children
    predicted_bytes = sizes.opened * len(idle) + sizes.of_tasks(crowd.tasks) * len(active)
    pairs: dict[str, tuple[float, float]] = {name: (predicted[name], total[name]) for name in {*predicted, *total}}
    of_followed = crowd.followed * followed_actions(FOLLOWED_TASKS).total()
    pairs |= {
        "actions": (predicted.total(), total.total()),
        "actions_in_histories_of_those_followed": (of_followed, in_histories.total()),
        "history_bytes": (predicted_bytes, histories),
    }
    done = max(1, len(active) * crowd.tasks)
    return [
        Figure("sessions", crowd.sessions),
        Figure("sessions_asked", len(active)),
        Figure("tasks_of_each", crowd.tasks),
        Figure("opened_per_s", crowd.sessions / opening),
        Figure("tasks_per_s", done / asking),
        Figure("file_bytes_a_session_opened", (file_opened - file_before) / crowd.sessions),
        Figure("file_bytes_a_task", (file_after - file_opened) / done),
        Figure("history_bytes_a_session_opened", idle_bytes),
        Figure("actions_a_session_opened", sum(crowd_actions(1, 0).values())),
        Figure("actions_a_task", sum(crowd_actions(0, 1).values())),
        Figure("seconds_left_alone", crowd.alone_seconds),
        Figure("actions_while_left_alone", sum(alone.values())),
        Figure("server_cores_while_left_alone", used["server"] / crowd.alone_seconds),
        Figure("worker_cores_while_left_alone", used["worker"] / crowd.alone_seconds),
        Figure("worker_mib", resident_mib(worker.pid)),
        Figure("opened_bytes", sizes.opened),
        Figure("carried_bytes", sizes.carried),
        *(Figure(f"session_bytes_of_task_{n}", size) for n, size in enumerate(sizes.session, 1)),
        *(Figure(f"child_bytes_of_task_{n}", size) for n, size in enumerate(sizes.child, 1)),
        *(
            Figure(f"{name}_{which}", value)
            for name, pair in sorted(pairs.items())
            for which, value in zip(("predicted", "measured"), pair, strict=True)
        ),
    ]


async def _children_bytes(client: SessionClient) -> int:
    """Of all tasks that have ended; what is listed of closed workflows has their size."""
    query = "WorkflowId STARTS_WITH 'idle-' AND WorkflowType = 'Answer'"
    return sum([found.raw_info.history_size_bytes async for found in client.temporal.list_workflows(query)])

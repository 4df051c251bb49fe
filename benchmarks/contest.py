"""Sessions that take the same messages, ours and the barest one, each with workers of its own on one server."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle

from benchmarks.completions import DONE, Completions
from benchmarks.processes import WORKER, WorkerProcess, cpu_seconds
from starter.client.connection import connect
from starter.dev_server import DevServer
from starter.encryption.keys import VARIABLE as KEYS
from starter.encryption.keys import new_key
from starter.encryption.setting import codec_of, sealed
from workflows.contract import SESSION_TYPE
from workflows.wire.messages import DATA_CONVERTER

QUESTION = "What colour is a banana?"


@dataclass
class Contestant:
    """A workflow type with the workers that serve it. `keys`: as SESSIONS_ENCRYPTION_KEYS has them, for its callers."""

    name: str
    workflow_type: str
    queue: str
    workers: Sequence[WorkerProcess]
    keys: str = ""

    async def client(self, server: DevServer) -> Client:
        """A connection that reads and writes as its workers do."""
        codec = codec_of({KEYS: self.keys})
        return await connect(server.address, data_converter=sealed(DATA_CONVERTER, codec))

    @property
    def pids(self) -> list[int]:
        """Its processes. Raises RuntimeError while one does not run."""
        return [worker.pid for worker in self.workers]


@dataclass(frozen=True)
class Loop:
    """One session in closed loop: seconds a task, and what one leaves in the histories of session and child.

    `window_bytes`: what the last task leaves in both, which has a full window of turns after twenty tasks.
    """

    seconds: Sequence[float]
    session_events: float
    session_bytes: float
    child_events: float
    child_bytes: float
    window_bytes: float


@dataclass(frozen=True)
class Burst:
    """Many sessions at once: tasks a second, and seconds of processor time a task, of all workers and the server."""

    throughput: float
    worker_cpu: float
    server_cpu: float


def contestants(server: DevServer) -> list[Contestant]:
    """Ours, as `python worker.py` serves it, and the barest one."""
    return [
        Contestant("ours", SESSION_TYPE, "ours", [WorkerProcess(server.address, "ours", WORKER)]),
        Contestant("bare", "BareSession", "bare", [WorkerProcess(server.address, "bare", "benchmarks.bare_worker")]),
    ]


def encrypted(server: DevServer) -> Contestant:
    """Ours with a key: everything is compressed and encrypted."""
    keys = new_key("benchmark")
    worker = WorkerProcess(server.address, "encrypted", WORKER, settings={KEYS: keys})
    return Contestant("encrypted", SESSION_TYPE, "encrypted", [worker], keys)


async def closed_loop(temporal: Client, contestant: Contestant, tasks: int) -> Loop:
    """Submit a task, wait for its end, submit the next.

    A task counts from its signal until its child's completion stands in the session's history: the same moment for
    both, and no polling that would cost one of them more.
    """
    session = await opened(temporal, contestant)
    seconds = []
    async with Completions(session) as completed:
        for number in range(tasks):
            started = time.perf_counter()
            await session.signal("submit", {"task_id": f"task-{number:04}", "input": QUESTION})
            seconds.append(await completed.of(f"task-{number:04}") - started)
    await session.signal("close")
    await session.result()
    events = [event async for event in session.fetch_history_events()]
    ends = [number for number, event in enumerate(events) if event.event_type == DONE]
    # From the first end to the last: without what a session begins and closes with.
    between = events[ends[0] + 1 : ends[-1] + 1]
    child = temporal.get_workflow_handle(f"{session.id}/task-{tasks - 1:04}")
    of_child = [event async for event in child.fetch_history_events()]
    return Loop(
        seconds=seconds,
        session_events=len(between) / (tasks - 1),
        session_bytes=_bytes(between) / (tasks - 1),
        child_events=len(of_child),
        child_bytes=_bytes(of_child),
        window_bytes=_bytes(events[ends[-2] + 1 : ends[-1] + 1]) + _bytes(of_child),
    )


async def burst(temporal: Client, contestant: Contestant, server: DevServer, sessions: int, tasks: int) -> Burst:
    """Submit all tasks of all sessions at once, and wait until every session has drained."""
    handles = [await opened(temporal, contestant) for _ in range(sessions)]
    before = cpu_seconds(*contestant.pids), cpu_seconds(server.pid)
    started = time.perf_counter()
    await asyncio.gather(*(_drained(handle, tasks) for handle in handles))
    count = sessions * tasks
    return Burst(
        throughput=count / (time.perf_counter() - started),
        worker_cpu=(cpu_seconds(*contestant.pids) - before[0]) / count,
        server_cpu=(cpu_seconds(server.pid) - before[1]) / count,
    )


async def opened(temporal: Client, contestant: Contestant) -> WorkflowHandle[object, object]:
    """A new session of it."""
    session_id = f"{contestant.name}-{uuid.uuid4().hex[:12]}"
    return await temporal.start_workflow(contestant.workflow_type, id=session_id, task_queue=contestant.queue)


async def _drained(session: WorkflowHandle[object, object], tasks: int) -> None:
    for number in range(tasks):
        await session.signal("submit", {"task_id": f"task-{number:04}", "input": QUESTION})
    await session.signal("close")
    await session.result()


def _bytes(events: Sequence[HistoryEvent]) -> int:
    return sum(event.ByteSize() for event in events)

"""What watching text costs and how late it comes: tasks that say 50 tokens a second, each with several watchers."""

import asyncio
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.command import options, progress, run
from benchmarks.figures import Figure, percentile, show
from benchmarks.processes import WORKER, WorkerProcess, cpu_seconds, database_server, serving
from starter.client import Session, SessionClient
from starter.client.connection import connect
from workflows.contract import Config, task_workflow_id

QUEUE = "streams"
A_SECOND = 50.0
"""Tokens: what a quick model writes."""


@dataclass(frozen=True)
class Size:
    """Tasks at once, watchers of each, tokens of each."""

    tasks: int = 10
    watchers: int = 5
    tokens: int = 1_000


WHOLE, QUICK = Size(), Size(tasks=3, watchers=2, tokens=250)


@dataclass
class Watched:
    """What one watcher saw: seconds from each token's being said until it was seen, and those of the first."""

    late: list[float] = field(default_factory=list)
    first: float = 0.0


async def watched(session: Session, task_id: str) -> Watched:
    """Watch a task to its end."""
    found, rest = Watched(), ""
    async for event in session.stream(task_id):
        if event.type == "restarted":
            raise RuntimeError("an attempt was lost")
        if event.text:
            now = time.time()
            *moments, rest = (rest + event.text).split(" ")
            found.late += [now - float(moment) for moment in moments]
            found.first = found.first or found.late[0]
    return found


async def measured(size: Size) -> list[Figure]:
    """All figures, on a server with a database file of its own."""
    async with database_server() as server:
        worker = WorkerProcess(
            server.address, QUEUE, WORKER, settings={"SESSIONS_KINDS": "benchmarks.stream_kind:KINDS"}
        )
        async with serving(worker):
            client = SessionClient(await connect(server.address), QUEUE)
            progress("warms up")
            await _events(client, asked=True)
            events = [await _events(client, asked=asked) for asked in (True, False)]
            progress(f"{size.tasks} tasks, {size.watchers} watchers each, {size.tokens} tokens")
            cpu = cpu_seconds(server.pid), cpu_seconds(worker.pid), time.process_time()
            seen = await _all(client, size)
            used = [
                now - before
                for now, before in zip(
                    (cpu_seconds(server.pid), cpu_seconds(worker.pid), time.process_time()), cpu, strict=True
                )
            ]
    late = [seconds for one in seen for seconds in one.late]
    return [
        Figure("child_events_per_task", *map(float, events)),
        Figure("first_text_p50_ms", 1_000 * percentile([one.first for one in seen], 0.5)),
        Figure("token_p50_ms", 1_000 * percentile(late, 0.5)),
        Figure("token_p95_ms", 1_000 * percentile(late, 0.95)),
        Figure("token_max_ms", 1_000 * max(late)),
        *(
            Figure(f"{who}_cpu_ms_per_task_second", 1_000 * seconds / (size.tasks * size.tokens / A_SECOND))
            for who, seconds in zip(("server", "worker", "watchers"), used, strict=True)
        ),
        Figure("load_1min", os.getloadavg()[0]),
    ]


async def _all(client: SessionClient, size: Size) -> Sequence[Watched]:
    sessions = [await _open(client, asked=True) for _ in range(size.tasks)]
    tasks = [await one.submit({"tokens": size.tokens, "a_second": A_SECOND}) for one in sessions]
    watchers = [
        watched(session, task) for session, task in zip(sessions, tasks, strict=True) for _ in range(size.watchers)
    ]
    return await asyncio.gather(*watchers)


async def _events(client: SessionClient, *, asked: bool) -> int:
    """Events of the history of one task."""
    session = await _open(client, asked=asked)
    task = await session.submit({"tokens": 50, "a_second": A_SECOND})
    await watched(session, task)
    child = client.temporal.get_workflow_handle(task_workflow_id(session.id, task))
    return (await child.describe()).history_length


async def _open(client: SessionClient, *, asked: bool) -> Session:
    return await client.open(f"stream-{uuid.uuid4().hex[:12]}", Config(default_kind="Moments", stream=asked))


async def main(size: Size, *, as_json: bool) -> int:
    """Measure and report."""
    title = f"{size.tasks} tasks x {size.watchers} watchers, {size.tokens} tokens at {A_SECOND:.0f} a second"
    show(f"{title}; bare: not streamed", await measured(size), as_json=as_json)
    return 0


if __name__ == "__main__":
    given = options("benchmarks.stream", __doc__).parse_args()
    run(main(QUICK if given.quick else WHOLE, as_json=given.json))

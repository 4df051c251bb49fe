"""An owner with 500 tasks and another one with one: how many of them begin before it, with fairness and without."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import RPCError, RPCStatusCode

from benchmarks.command import options, progress, run
from benchmarks.figures import Figure, show
from benchmarks.processes import WorkerProcess, database_server, serving
from starter.client import Session, SessionClient
from starter.client.connection import connect
from workflows.contract import Config, task_workflow_id

QUEUE = "fairness"
SLOTS = 4
"""Activities that the worker runs at the same time: of what a model or a machine can take, there is always an end."""

SECONDS = 0.1
"""How long each task holds one of them."""

CALLS = 50
"""Calls to the server at the same time."""

LINES: Mapping[str, tuple[str, int | None]] = {"other": ("one", None), "urgent": ("many", 1)}
"""Those that come late, by owner and priority: the other owner's task, and one more of those that have many."""

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Late:
    """What a task that came last had to wait for: how many of the others began before it, and seconds."""

    begun_before: int
    seconds: float


@dataclass
class Crowd:
    """One owner's sessions, those of the tasks that come late, and their worker."""

    client: SessionClient
    many: list[Session]
    late: dict[str, Session]
    waiting: int = 0

    async def measured(self) -> dict[str, Late]:
        """Have all of the many ask for a place, and then those who come late; what came of these."""
        with TemporaryDirectory(prefix="sessions-fairness-") as made:
            folder = Path(made)
            await at_once(self._asked(session, folder, "many") for session in self.many)
            self.waiting = await self._all_in_line(folder)
            for name, session in self.late.items():
                await self._in_line(session, await self._asked(session, folder, name, LINES[name][1]))
            before = len(_begun(folder))
            (folder / "open").touch()
            opened, seconds = time.monotonic(), dict[str, float]()
            while len(seconds) < len(self.late):
                await asyncio.sleep(0.01)
                begun = _begun(folder)
                now = time.monotonic() - opened
                seconds |= {name: now for name in self.late if name in begun and name not in seconds}
            first = {name: begun[before : begun.index(name)].count("many") for name in self.late}
            return {name: Late(first[name], seconds[name]) for name in self.late}

    async def _asked(self, session: Session, folder: Path, name: str, priority: int | None = None) -> str:
        asked = {"folder": str(folder), "name": name, "seconds": SECONDS}
        return await session.submit(asked, priority=priority)

    async def _all_in_line(self, folder: Path) -> int:
        """Wait until all have a place or wait for one; how many wait."""
        places = min(SLOTS, len(self.many))
        while (waiting := await self._backlog()) < len(self.many) - places or len(_begun(folder)) < places:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        return waiting

    async def _backlog(self) -> int:
        asked = DescribeTaskQueueRequest(
            namespace=self.client.temporal.namespace,
            task_queue=TaskQueue(name=QUEUE),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            report_stats=True,
        )
        answer = await self.client.temporal.workflow_service.describe_task_queue(asked)
        return answer.stats.approximate_backlog_count

    async def _in_line(self, session: Session, task_id: str) -> None:
        child = self.client.temporal.get_workflow_handle(task_workflow_id(session.id, task_id))
        while True:
            try:
                if (await child.describe()).raw_description.pending_activities:
                    return
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(0.01)


def _begun(folder: Path) -> list[str]:
    file = folder / "begun"
    return file.read_text().split() if file.exists() else []


async def at_once(calls: Iterable[Awaitable[_Answer]]) -> list[_Answer]:
    """All answers, with no more than so many calls under way."""
    places = asyncio.Semaphore(CALLS)

    async def held(call: Awaitable[_Answer]) -> _Answer:
        async with places:
            return await call

    return await asyncio.gather(*map(held, calls))


@asynccontextmanager
async def crowd(size: int, *, fair: bool) -> AsyncIterator[Crowd]:
    """So many sessions of one owner and two for those who come late, on a server and a worker of their own."""
    async with database_server(settings={} if fair else {"matching.enableFairness": "false"}) as server:
        given = {"SESSIONS_KINDS": "benchmarks.fairness_kind:KINDS", "SESSIONS_MAX_CONCURRENT_ACTIVITIES": str(SLOTS)}
        async with serving(WorkerProcess(server.address, QUEUE, settings=given)):
            client = SessionClient(await connect(server.address), QUEUE)

            def opened(session_id: str, owner: str) -> Awaitable[Session]:
                return client.open(session_id, Config(owner=owner, default_kind="Hold"))

            late = {name: await opened(name, owner) for name, (owner, _) in LINES.items()}
            await at_once(session.snapshot() for session in late.values())  # the worker is there
            many = await at_once(opened(f"many-{number}", "many") for number in range(size))
            # What a session does first takes a place, too.
            while (await client.temporal.count_workflows("SessionStatus = 'open'")).count < size + len(late):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            progress(f"{size} sessions are open")
            yield Crowd(client, many, late)


async def measured(size: int) -> list[Figure]:
    """All figures: of the other owner's task with and without fairness, and of the urgent one without."""
    figures = []
    for how, fair in (("fair", True), ("unfair", False)):
        async with crowd(size, fair=fair) as here:
            found = await here.measured()
            progress(f"{how}, behind {here.waiting} that wait: {found}")
            figures += [Figure(f"waiting_{how}", here.waiting)]
            for name, late in found.items():
                figures += [Figure(f"begun_before_{name}_{how}", late.begun_before)]
                figures += [Figure(f"wait_s_{name}_{how}", late.seconds)]
    return [*figures, Figure("load_1min", os.getloadavg()[0])]


async def main(size: int, *, as_json: bool) -> int:
    """Measure and report; nothing gates."""
    title = f"Behind {size} tasks of one owner, {SLOTS} at a time, {SECONDS:g} s each"
    show(title, await measured(size), as_json=as_json)
    return 0


if __name__ == "__main__":
    given = options("benchmarks.fairness", __doc__).parse_args()
    run(main(100 if given.quick else 500, as_json=given.json))

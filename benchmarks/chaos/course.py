"""One chaos run: fifty conversations while everything under them is killed again and again, and what is known of it."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.chaos import log as logs
from benchmarks.chaos.callers import Caller, opened
from benchmarks.chaos.checker import STALL_SECONDS
from benchmarks.chaos.facts import Facts
from benchmarks.chaos.gathering import found, histories, replayed, settled
from benchmarks.chaos.killer import Killer
from benchmarks.chaos.plans import Plan, plans
from benchmarks.chaos.worker import EFFECTS
from benchmarks.command import progress
from benchmarks.processes import WorkerProcess
from starter.client import SessionClient
from starter.dev_server import EARLY, DevServer

QUEUE = "chaos"
WORKER = "benchmarks.chaos.worker"
EVENTS_A_RUN = 80
"""The server suggests continue-as-new from here, so that sessions hand over in the middle of it all."""

CALLERS_SECONDS = 300.0
"""How long callers may still be at work after the last restart; on a slow machine much is left to do by then."""


@dataclass(frozen=True)
class Course:
    """The size of a run: for `span` seconds tasks are submitted, and somebody is killed about every `pause` seconds."""

    sessions: int = 50
    tasks: int = 20
    span: float = 110.0
    pause: float = 6.0
    seed: int = 1

    def planned(self) -> dict[str, list[Plan]]:
        """The tasks of each session: the same for the same course."""
        names = [f"chaos-{number:02}" for number in range(self.sessions)]
        return {name: plans(Random(f"{self.seed}-{name}"), self.tasks, self.span) for name in names}


async def carried_out(course: Course, folder: Path) -> Facts:
    """Do it, with server, logs and database in `folder`.

    Raises TimeoutError where callers do not get through, and RuntimeError where a worker ends by itself.
    """
    settings: dict[str, object] = {EARLY: EVENTS_A_RUN}
    server = DevServer(folder / "temporal.db", port=0, ui_port=0, http_port=0, settings=settings)
    marks = {EFFECTS: str(folder / "effects.jsonl")}
    workers = [WorkerProcess(server.address, QUEUE, WORKER, folder / f"worker-{n}.log", marks) for n in (1, 2)]
    log = logs.Log(folder / "log.jsonl")
    killer = Killer(server, workers, log, Random(f"{course.seed}-killer"))
    try:
        await killer.start()
        client = await SessionClient.connect(server.address)
        client = SessionClient(client.temporal, QUEUE)
        await _conversed(course, client, log, killer)
        facts = await _gathered(course.planned(), client, folder)
    finally:
        log.close()
        await killer.stop()
    return facts


async def _conversed(course: Course, client: SessionClient, log: logs.Log, killer: Killer) -> None:
    """Have every task acknowledged, under fire."""
    planned = course.planned()
    sessions = {name: await opened(client, name) for name in planned}
    progress(f"{course.sessions} sessions are open; {course.tasks} tasks for each")
    async with asyncio.timeout(course.span + CALLERS_SECONDS), asyncio.TaskGroup() as group:
        for name, session in sessions.items():
            caller = Caller(session, log, Random(f"{course.seed}-{name}-caller"))
            group.create_task(caller.carry_out(planned[name]))
        await killer.rage(course.pause, course.span)
        progress("the last is restarted; waits for the callers")
    progress("everything is acknowledged; waits for the sessions")
    await settled(list(sessions.values()), 2 * STALL_SECONDS)


async def _gathered(planned: Mapping[str, Sequence[Plan]], client: SessionClient, folder: Path) -> Facts:
    """Ask everybody, and replay all that ran."""
    at = time.time()
    progress("asks the sessions, reads every history")
    all_histories = await histories(client.temporal, QUEUE)
    told = [await found(client.get(name), all_histories) for name in planned]
    progress(f"replays {len(all_histories)} histories")
    return Facts(
        events=logs.events(folder / "log.jsonl"),
        effects=logs.effects(folder / "effects.jsonl"),
        sessions=[session for session in told if session],
        at=at,
        replayed=len(all_histories),
        unreplayable=await replayed(all_histories),
    )

"""One chaos run: fifty conversations while everything under them is killed again and again, and the verdict on it."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.chaos import log as logs
from benchmarks.chaos.callers import Caller, opened
from benchmarks.chaos.checker import STALL_SECONDS, Verdict, check
from benchmarks.chaos.findings import found, replayed, settled
from benchmarks.chaos.killer import Killer
from benchmarks.chaos.plans import INITIAL_CONTEXT, plans
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


async def verdict_on(course: Course, folder: Path) -> Verdict:
    """Do it, with server, logs and database in `folder`.

    Raises TimeoutError where callers do not get through, and RuntimeError where a worker ends by itself.
    """
    settings: dict[str, object] = {EARLY: EVENTS_A_RUN}
    server = DevServer(folder / "temporal.db", port=0, ui_port=0, http_port=0, settings=settings)
    workers = [WorkerProcess(server.address, QUEUE, WORKER, folder / f"worker-{n}.log") for n in (1, 2)]
    log = logs.Log(folder / "log.jsonl")
    killer = Killer(server, workers, log, Random(f"{course.seed}-killer"))
    try:
        await killer.start()
        client = await SessionClient.connect(server.address)
        client = SessionClient(client.temporal, QUEUE)
        names = [f"chaos-{number:02}" for number in range(course.sessions)]
        sessions = [await opened(client, name) for name in names]
        progress(f"{course.sessions} sessions are open; {course.tasks} tasks for each")
        async with asyncio.timeout(course.span + CALLERS_SECONDS), asyncio.TaskGroup() as group:
            for session in sessions:
                chance = Random(f"{course.seed}-{session.id}")
                planned = plans(chance, course.tasks, course.span)
                group.create_task(Caller(session, log, chance).carry_out(planned))
            await killer.rage(course.pause, course.span)
            progress("the last is restarted; waits for the callers")
        progress("everything is acknowledged; waits for the sessions")
        await settled(sessions, 2 * STALL_SECONDS)
        asked_at = time.time()
        findings = [await found(session) for session in sessions]
        verdict = check(logs.read(folder / "log.jsonl"), findings, INITIAL_CONTEXT, asked_at)
        progress("replays every history")
        verdict.replayed, verdict.unreplayable = await replayed(client.temporal, QUEUE)
    finally:
        log.close()
        await killer.stop()
    return verdict

"""Many open sessions on one worker: what they weigh, how fast they are answered, how fast an evicted one wakes.

First a worker that keeps every session in memory opens and answers each once, and is weighed at every step. Then, with
the settings that a worker has by default, a fresh one answers each once more, most of them from their history. Last, a
worker that has room for a few wakes sessions with histories of several lengths, by a query and by a task.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from benchmarks import idle
from benchmarks.command import options, progress, run
from benchmarks.completions import ANSWER_SECONDS, Completions
from benchmarks.contest import QUESTION
from benchmarks.figures import Figure, percentile, show
from benchmarks.processes import WorkerProcess, database_server, resident_mib, serving
from starter.client import Session, SessionClient
from starter.client.calls import NoWorkerError
from starter.client.connection import connect
from starter.dev_server import DevServer
from workflows.contract import ContextPolicy
from workflows.wire import limits
from workflows.wire.errors import SessionError

QUEUE = "crowd"

AT_ONCE = 40
"""Sessions that are waiting for their answer at the same time; one worker and one server are busy with fewer."""

KEEP = "SESSIONS_MAX_CACHED_WORKFLOWS"
ROOM_FOR_ALL = "100000"
ROOM_FOR_FEW = "4"
"""Less than the sessions that are woken in turn, so that each is evicted before its turn comes again; more than a
session and its task, which would evict each other."""


@dataclass(frozen=True)
class Size:
    """Steps of open sessions; tasks of those that are woken, how many of each, how often.

    14 is one less than makes a session that rests hand over. `full_lengths`: of sessions whose context is full; 314 are
    300, a rest, and 14 more.
    """

    steps: Sequence[int] = (1_000, 2_000, 3_000, 4_000, 5_000)
    lengths: Sequence[int] = (1, 10, 14, 100, 300)
    full_lengths: Sequence[int] = (300, 314)
    each: int = 3
    rounds: int = 8


WHOLE = Size()
QUICK = Size(steps=(60, 120, 180), lengths=(1, 14), full_lengths=(), rounds=3)

STAGE = 300
"""Tasks that a session is given at once; it rests before it is given more."""

FULL: dict[str, Any] = {"profile": "p" * 250 * limits.KIB}
FULL_QUESTION = QUESTION.ljust(1_200)
"""What fills a context with values and 200 turns. Tasks read none of it, so that their histories stay small."""

RESTED_SECONDS = 60.0
"""The longest wait until sessions have been handed over for their rest."""


@dataclass(frozen=True)
class Step:
    """Once so many sessions are open and answered: what the worker weighs, and how fast the last of them went."""

    sessions: int
    resident_mib: float
    answers_per_s: float
    errors: int


@dataclass(frozen=True)
class Waking:
    """Seconds of calls to sessions that have had so many tasks.

    The first query after an eviction, the query right after it, and the first task after an eviction.
    """

    length: int
    queries: Sequence[float]
    warm_queries: Sequence[float]
    tasks: Sequence[float]


async def answered(client: SessionClient, numbers: Sequence[int], question: str) -> tuple[float, int]:
    """Open or join these sessions and ask each one question: answers a second, and how many failed."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(number: int) -> bool:
        async with gate:
            try:
                session = await client.open(f"crowd-{number:05}")
                await session.ask(question, wait=ANSWER_SECONDS)
            except (SessionError, NoWorkerError, TimeoutError):
                return False
            return True

    started = time.perf_counter()
    successes = sum(await asyncio.gather(*map(ask, numbers)))
    return successes / (time.perf_counter() - started), len(numbers) - successes


async def grown(client: SessionClient, steps: Sequence[int], worker: int) -> list[Step]:
    """Open and answer sessions up to each step; `worker` is the process that is weighed."""
    # What it imports and compiles for its first session is no session's weight.
    await (await client.open("first")).ask(QUESTION, wait=ANSWER_SECONDS)
    found = [Step(0, resident_mib(worker), 0, 0)]
    for step in steps:
        rate, errors = await answered(client, range(found[-1].sessions, step), QUESTION)
        found.append(Step(step, resident_mib(worker), rate, errors))
        progress(f"{step} sessions: {found[-1].resident_mib:.0f} MiB, {rate:.0f} answers a second, {errors} errors")
    return found


async def prepared(client: SessionClient, size: Size, *, full: bool = False) -> dict[int, list[Session]]:
    """Sessions with so many tasks behind them, at rest: those with long histories have been handed over."""
    lengths = size.full_lengths if full else size.lengths
    name, context = ("full", FULL) if full else ("asleep", {})
    found = {
        length: [await client.open(f"{name}-{length}-{n}", context=context) for n in range(size.each)]
        for length in lengths
    }
    begun = 0
    while begun < max(lengths):
        for length, sessions in found.items():
            for session in sessions:
                for number in range(begun, min(begun + STAGE, length)):
                    await _submit(session, f"task-{number}", full=full)
        begun += STAGE
        for length, sessions in found.items():
            for session in sessions:
                await session.result(f"task-{min(begun, length) - 1}")
        for session in (session for sessions in found.values() for session in sessions):
            await _rested(session)
    return found


async def _submit(session: Session, task_id: str, *, full: bool) -> str:
    policy = ContextPolicy(read="none", transcript=0) if full else None
    return await session.submit(FULL_QUESTION if full else QUESTION, task_id=task_id, context=policy)


async def _rested(session: Session) -> None:
    """Wait until the history is as short as that of a session at rest."""
    handle = session.temporal.get_workflow_handle(session.id)
    async with asyncio.timeout(RESTED_SECONDS):
        while (await handle.describe()).history_length >= limits.REST_EVENTS:  # noqa: ASYNC110 (the server has no event)
            await asyncio.sleep(0.5)


async def woken(
    client: SessionClient, asleep: dict[int, list[Session]], rounds: int, *, full: bool = False
) -> list[Waking]:
    """Wake each in turn, by a query in one round and by a task in the next."""
    turns = [(length, session) for length, sessions in asleep.items() for session in sessions]
    queries, warm_queries, tasks = (defaultdict[int, list[float]](list) for _ in range(3))
    async with AsyncExitStack() as stack:
        following = {
            session.id: await stack.enter_async_context(Completions(client.temporal.get_workflow_handle(session.id)))
            for _, session in turns
        }
        for number in range(rounds):
            for length, session in turns:
                queries[length].append(await _seconds(session.snapshot))
                warm_queries[length].append(await _seconds(session.snapshot))
            for length, session in turns:
                started = time.perf_counter()
                task_id = await _submit(session, f"woken-{number}", full=full)
                tasks[length].append(await following[session.id].of(task_id) - started)
    return [Waking(length, queries[length], warm_queries[length], tasks[length]) for length in asleep]


async def _seconds(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await call()
    return time.perf_counter() - started


def crowd_figures(steps: Sequence[Step], again: Step) -> list[Figure]:
    """What the steps say, the first of which is an empty worker, and the second answer of all."""
    empty, *filled = steps
    last, errors = filled[-1], sum(step.errors for step in filled)
    seconds = [_seconds_of(step, before) for before, step in pairwise(steps)]
    return [
        *(Figure(f"worker_mib_at_{step.sessions}", step.resident_mib) for step in steps),
        Figure("worker_mib_per_1000_sessions", 1_000 * (last.resident_mib - empty.resident_mib) / last.sessions),
        *(Figure(f"answers_per_s_at_{step.sessions}", step.answers_per_s) for step in filled),
        Figure("answers_per_s", (last.sessions - errors) / sum(seconds)),
        Figure("errors", errors),
        Figure("again_answers_per_s", again.answers_per_s),
        Figure("again_errors", again.errors),
        Figure("again_worker_mib", again.resident_mib),
    ]


def waking_figures(wakings: Sequence[Waking], prefix: str = "") -> list[Figure]:
    """p50 and p95 of each call, by the tasks that the session has had."""
    found: list[Figure] = []
    for percent in (50, 95):
        for waking in wakings:
            kinds = {"cold_query": waking.queries, "warm_query": waking.warm_queries, "cold_task": waking.tasks}
            for what, seconds in kinds.items():
                value = 1_000 * percentile(seconds, percent / 100)
                found.append(Figure(f"{prefix}{what}_p{percent}_ms_at_{waking.length}", value))
    return sorted(found, key=lambda figure: figure.figure.rsplit("_", 1)[0])  # stable: lengths stay in their order


async def opened(server: DevServer, size: Size) -> list[Figure]:
    """The first two parts, each with a worker of its own: all are opened and answered, and answered once more."""
    client = SessionClient(await connect(server.address), QUEUE)
    worker = WorkerProcess(server.address, QUEUE, settings={KEEP: ROOM_FOR_ALL})
    progress(f"opening {size.steps[-1]} sessions and answering each once")
    async with serving(worker):
        steps = await grown(client, size.steps, worker.pid)
    progress("answering each once more by a fresh worker with default settings")
    worker = WorkerProcess(server.address, QUEUE)
    async with serving(worker):
        rate, errors = await answered(client, range(size.steps[-1]), QUESTION)
        again = Step(size.steps[-1], resident_mib(worker.pid), rate, errors)
    return crowd_figures(steps, again)


async def evicted(server: DevServer, size: Size) -> list[Figure]:
    """The third part: one worker makes the histories, another, which has room for a few, is measured."""
    queue = f"{QUEUE}-asleep"
    client = SessionClient(await connect(server.address), queue)
    progress(f"waking sessions that have had {', '.join(map(str, size.lengths))} tasks")
    async with serving(WorkerProcess(server.address, queue, settings={KEEP: ROOM_FOR_ALL})):
        asleep = await prepared(client, size)
        full = await prepared(client, size, full=True) if size.full_lengths else {}
    async with serving(WorkerProcess(server.address, queue, settings={KEEP: ROOM_FOR_FEW})):
        found = waking_figures(await woken(client, asleep, size.rounds))
        return found + waking_figures(await woken(client, full, size.rounds, full=True), "full_")


async def main() -> int:
    """The command; its exit code is 1 where a session was not answered."""
    parser = options("benchmarks.crowd", __doc__)
    parser.add_argument("--waking", action="store_true", help="only the last part: how fast an evicted session wakes")
    parser.add_argument("--idle", action="store_true", help="20,000 sessions, mostly idle: bytes and actions")
    parser.add_argument("--sessions", type=int, help="with --idle: another number of them")
    chosen = parser.parse_args()
    if chosen.idle:
        return await mostly_idle(chosen.sessions, quick=chosen.quick, as_json=chosen.json)
    size = QUICK if chosen.quick else WHOLE
    async with database_server() as server:
        found = [] if chosen.waking else await opened(server, size)
        found += await evicted(server, size)
    show("Many open sessions on one worker", found, as_json=chosen.json)
    return int(any(figure.ours > 0 for figure in found if figure.figure.endswith("errors")))


async def mostly_idle(sessions: int | None, *, quick: bool, as_json: bool) -> int:
    """What idle sessions cost (`benchmarks/idle.py`); 1 where they cost actions while they are left alone."""
    size = idle.QUICK if quick else idle.Crowd()
    found = await idle.measured(replace(size, sessions=sessions or size.sessions))
    show("Sessions, mostly idle", found, as_json=as_json)
    return int(any(figure.ours > 0 for figure in found if figure.figure == "actions_while_left_alone"))


def _seconds_of(step: Step, before: Step) -> float:
    return (step.sessions - before.sessions - step.errors) / step.answers_per_s if step.answers_per_s else 0.0


if __name__ == "__main__":
    run(main())

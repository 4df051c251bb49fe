"""Speed against the limit: our session, plain and encrypted, and the barest possible one, in alternation on one server.

Figures that begin with `encrypted_` are of sessions that are compressed and encrypted, against the same barest one.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from temporalio.client import Client, WorkflowHandle

from benchmarks.command import options, progress, run
from benchmarks.completions import ANSWER_SECONDS
from benchmarks.contest import QUESTION, Burst, Contestant, Loop, burst, closed_loop, contestants, encrypted, opened
from benchmarks.figures import Figure, medians, percentile, show
from benchmarks.processes import database_server, serving
from starter.client import Session
from starter.client.session import FIRST_LOOK
from starter.client.task_workflow import TaskWorkflow
from starter.dev_server import DevServer
from workflows.contract import SESSION_TYPE


@dataclass(frozen=True)
class Size:
    """Rounds; tasks of the one session in closed loop; sessions of a burst and the tasks of each."""

    rounds: int = 5
    loop: int = 40
    sessions: int = 30
    tasks: int = 10


WHOLE, QUICK = Size(), Size(rounds=2, loop=15, sessions=10, tasks=5)


@dataclass(frozen=True)
class Round:
    """What one contestant did in one round; `asked`: seconds of each question until its answer is in hand."""

    loop: Loop
    burst: Burst
    asked: Sequence[float]


async def measured(size: Size, *, tuned: bool) -> dict[str, list[Round]]:
    """All rounds of both on a server with a database file of its own."""
    async with database_server(tuned=tuned) as server:
        all_of_them = [*contestants(server), encrypted(server)]
        async with serving(*(worker for contestant in all_of_them for worker in contestant.workers)):
            return await _rounds(size, server, all_of_them)


async def _rounds(size: Size, server: DevServer, contest: Sequence[Contestant]) -> dict[str, list[Round]]:
    clients = {contestant.name: await contestant.client(server) for contestant in contest}
    progress("warms up")
    for contestant in contest:
        await closed_loop(clients[contestant.name], contestant, 5)
    rounds: dict[str, list[Round]] = {contestant.name: [] for contestant in contest}
    for number in range(size.rounds):
        # Who goes first changes with every round.
        for contestant in contest if number % 2 else reversed(contest):
            temporal = clients[contestant.name]
            progress(f"round {number + 1} of {size.rounds}: {contestant.name}")
            loop = await closed_loop(temporal, contestant, size.loop)
            # Right after the loop that it is compared with: what else the machine does changes from minute to minute.
            answers = await asked(temporal, contestant, size.loop)
            load = await burst(temporal, contestant, server, size.sessions, size.tasks)
            rounds[contestant.name].append(Round(loop, load, answers))
    return rounds


async def asked(temporal: Client, contestant: Contestant, tasks: int) -> Sequence[float]:
    """The closed loop as a caller sees it: seconds from the question until the answer is in hand.

    `ask_ratio` is their p50 by that of the loop before it, in which a turn ends with the child. Ours is `Session.ask`.
    """
    ours = contestant.workflow_type == SESSION_TYPE
    session = await opened(temporal, contestant)
    ask = Session(temporal, session.id).ask if ours else partial(_ask_bare, temporal, session)
    seconds = []
    for _ in range(tasks):
        started = time.perf_counter()
        await ask(QUESTION, wait=ANSWER_SECONDS)
        seconds.append(time.perf_counter() - started)
    await session.signal("close")
    return seconds


async def _ask_bare(temporal: Client, session: WorkflowHandle[object, object], question: str, wait: float) -> object:
    """The least that gets an answer: the signal, a long poll for the child's end, a query of the session."""
    task_id = uuid.uuid4().hex
    async with asyncio.timeout(wait):
        await session.signal("submit", {"task_id": task_id, "input": question})
        child = TaskWorkflow(temporal, session.id, task_id)
        while await child.wait() == "unseen":  # noqa: ASYNC110 (the server has no event for it, nor below)
            await asyncio.sleep(FIRST_LOOK)
        while (said := await session.query("answer", task_id)) is None:  # noqa: ASYNC110
            await asyncio.sleep(FIRST_LOOK)
        return said


def figures(rounds: dict[str, list[Round]], prefix: str = "") -> list[Figure]:
    """The medians of all rounds, by the names that are looked for."""
    sides = {side: [_numbers(one) for one in of_side] for side, of_side in rounds.items()}
    pairs = [
        medians(prefix + name, (one[name] for one in sides["ours"]), (one[name] for one in sides["bare"]))
        for name in sides["ours"][0]
    ]
    with_keys = [
        medians(
            f"{prefix}encrypted_{name}", (one[name] for one in sides["encrypted"]), (o[name] for o in sides["bare"])
        )
        for name in sides["encrypted"][0]
    ]
    return [*pairs, *with_keys]


def _numbers(one: Round) -> dict[str, float]:
    return {
        "p50_ms": 1_000 * percentile(one.loop.seconds, 0.5),
        "ask_p50_ms": 1_000 * percentile(one.asked, 0.5),
        "ask_ratio": percentile(one.asked, 0.5) / percentile(one.loop.seconds, 0.5),
        "p95_ms": 1_000 * percentile(one.loop.seconds, 0.95),
        "throughput_per_s": one.burst.throughput,
        "session_events_per_task": one.loop.session_events,
        "session_bytes_per_task": one.loop.session_bytes,
        "child_events_per_task": one.loop.child_events,
        "child_bytes_per_task": one.loop.child_bytes,
        "window_bytes_per_task": one.loop.window_bytes,
        "worker_cpu_ms_per_task": 1_000 * one.burst.worker_cpu,
        "server_cpu_ms_per_task": 1_000 * one.burst.server_cpu,
    }


async def main(size: Size, *, stock: bool, as_json: bool) -> int:
    """Measure and report."""
    found = figures(await measured(size, tuned=True))
    if stock:
        progress("the same on a server with Temporal's own settings, which is slow")
        found += figures(await measured(QUICK, tuned=False), "stock_")
    title = f"{size.rounds} rounds: one session x {size.loop} tasks, then {size.sessions} sessions x {size.tasks}"
    show(title, found, as_json=as_json)
    return 0


if __name__ == "__main__":
    parser = options("benchmarks.turns", __doc__)
    parser.add_argument("--stock", action="store_true", help="also on a server with Temporal's own settings")
    given = parser.parse_args()
    run(main(QUICK if given.quick else WHOLE, stock=given.stock, as_json=given.json))

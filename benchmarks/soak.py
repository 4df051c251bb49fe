"""Steady load for a long time, far below what the machine can do: does memory, history or latency grow?

Sessions take questions, patches and queries at random moments, from one seed, and continue as new every minute or so.
Before the load, each runs as many tasks as it keeps records of, but for a quick run: what it carries is as large then
as it will be, but for the ids that it knows tasks by, thirteen bytes each.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from temporalio.service import RPCError

from benchmarks.command import options, progress, run
from benchmarks.completions import ANSWER_SECONDS
from benchmarks.contest import QUESTION
from benchmarks.drift import Drift, Sample, drift
from benchmarks.figures import percentile, table
from benchmarks.processes import WorkerProcess, database_server, resident_mib, serving
from starter.client import Session, SessionClient
from starter.client.calls import NoWorkerError
from starter.client.connection import connect
from starter.dev_server import EARLY
from workflows.contract import SESSION_TYPE
from workflows.wire import limits
from workflows.wire.errors import SessionError

QUEUE = "soak"

PATCH_SHARE, QUERY_SHARE = 0.1, 0.2
"""Of all calls; the others are questions that are waited for."""

KEYS = 20
"""Values of the context that patches set, over and over."""

WARM_SHARE = 0.2
"""Of the time under load that is not judged: caches and heaps find their size."""

NOTED_SECONDS = 2.0
"""Before the runs are listed at the end: the server notes their ends for lists within a fraction of that."""

SEED = 1


@dataclass(frozen=True)
class Load:
    """Who calls, how often (calls a second of all sessions), for how long; `run_events` is what a run may hold."""

    seconds: float
    sessions: int = 10
    rate: float = 7.0  # five of them tasks: a seventh of what two cores do
    every: float = 5.0  # seconds between samples
    run_events: int = 400  # thirty tasks: a run lasts a minute or so
    fill: int = limits.RECORDS  # tasks of each session before the load


QUICK = Load(seconds=20.0, sessions=4, every=1.0, run_events=60, fill=10)


@dataclass
class Seen:
    """What callers saw, and what was sampled. Times in seconds since the load began."""

    started: float = field(default_factory=time.monotonic)
    wall: float = field(default_factory=time.time)
    tasks: int = 0
    failed: list[str] = field(default_factory=list)
    window: list[float] = field(default_factory=list)
    series: dict[str, list[Sample]] = field(default_factory=dict)

    @property
    def now(self) -> float:
        """Seconds under load."""
        return time.monotonic() - self.started

    def note(self, name: str, value: float, at: float | None = None) -> None:
        """Add to a figure's series."""
        self.series.setdefault(name, []).append((self.now if at is None else at, value))


async def filled(session: Session, tasks: int) -> None:
    """Run so many tasks, so that the session keeps no more of any after them."""
    for number in range(tasks):
        await session.submit(QUESTION, task_id=f"fill-{number:04}")
    await session.result(f"fill-{tasks - 1:04}")
    progress(f"{session.id} is filled")


async def calls(session: Session, load: Load, seen: Seen, chance: Random) -> None:
    """One session's callers: a call, a pause, until the time is over."""
    number = 0
    while True:
        await asyncio.sleep(chance.expovariate(load.rate / load.sessions))
        if seen.now >= load.seconds:
            return
        drawn, number = chance.random(), number + 1
        begun = time.monotonic()
        try:
            if drawn < PATCH_SHARE:
                await session.patch_context({"set": {f"value-{number % KEYS}": f"{number:06}"}})
            elif drawn < PATCH_SHARE + QUERY_SHARE:
                await session.snapshot()
            else:
                await session.ask(QUESTION, wait=ANSWER_SECONDS, task_id=f"task-{number:06}")
                seen.tasks += 1
                seen.window.append(1_000 * (time.monotonic() - begun))
        except (SessionError, NoWorkerError, RPCError, TimeoutError) as error:
            seen.failed.append(f"{session.id}: {type(error).__name__}: {error}")


async def samples(sessions: Sequence[Session], load: Load, seen: Seen, worker: int, server: int) -> None:
    """Look every few seconds, and say what is seen."""
    while seen.now < load.seconds:
        await asyncio.sleep(load.every)
        worker_mib, server_mib = resident_mib(worker), resident_mib(server)
        seen.note("worker_mib", worker_mib)
        seen.note("server_mib", server_mib)
        window, seen.window = seen.window, []
        p50, p95 = (percentile(window, share) if window else 0.0 for share in (0.5, 0.95))
        if window:
            seen.note("p50_ms", p50)
            seen.note("p95_ms", p95)
        found = [await one.temporal.get_workflow_handle(one.id).describe() for one in sessions]
        events = max(run.history_length for run in found)
        size = max(run.raw_description.workflow_execution_info.history_size_bytes for run in found)
        progress(
            f"{seen.now:4.0f} of {load.seconds:.0f} s under load: {seen.tasks} tasks, p50 {p50:.0f} ms,"
            f" p95 {p95:.0f} ms, worker {worker_mib:.0f} MiB, server {server_mib:.0f} MiB,"
            f" longest run {events} events, {size / limits.KIB:.0f} KiB"
        )


async def ended_runs(client: SessionClient, seen: Seen) -> None:
    """Note what each run held that continued as new under load."""
    await asyncio.sleep(NOTED_SECONDS)
    ended = f"WorkflowType = '{SESSION_TYPE}' AND ExecutionStatus = 'ContinuedAsNew'"
    async for found in client.temporal.list_workflows(ended):
        at = found.close_time.timestamp() - seen.wall if found.close_time else -1.0
        if at >= 0:
            seen.note("run_events", found.history_length, at)
            seen.note("run_bytes", found.raw_info.history_size_bytes, at)


async def soaked(load: Load) -> Seen:
    """Start a server on a file and a worker, in processes of their own, load both, and stop them."""
    async with database_server(settings={EARLY: load.run_events}) as server:
        worker = WorkerProcess(server.address, QUEUE)
        async with serving(worker):
            client = SessionClient(await connect(server.address), QUEUE)
            sessions = [await client.open(f"soak-{number:02}") for number in range(load.sessions)]
            progress(f"fills {load.sessions} sessions with {load.fill} tasks each")
            await asyncio.gather(*(filled(session, load.fill) for session in sessions))
            seen = Seen()
            async with asyncio.TaskGroup() as group:
                for number, session in enumerate(sessions):
                    group.create_task(calls(session, load, seen, Random(SEED * load.sessions + number)))
                group.create_task(samples(sessions, load, seen, worker.pid, server.pid))
            await ended_runs(client, seen)
            return seen


def drifts(seen: Seen, load: Load) -> list[Drift]:
    """Every figure, judged from when all is warm. Latency is told and never fails a run: others use the machine too."""
    full = load.fill >= limits.RECORDS  # else what sessions carry still grows, as it may
    gates = {"worker_mib": True, "server_mib": True, "run_events": True, "run_bytes": full}
    names = gates | {"p50_ms": False, "p95_ms": False}
    begin = WARM_SHARE * load.seconds
    return [drift(name, seen.series.get(name, []), begin, load.seconds, gates=fails) for name, fails in names.items()]


def report(found: Sequence[Drift], seen: Seen, load: Load, *, as_json: bool) -> None:
    """Print the judgements, and the calls that failed."""
    for failed in seen.failed:
        print(f"failed: {failed}", file=sys.stderr)
    if as_json:
        for one in found:
            print(one.as_json())
        return
    rows = []
    for one in found:
        thirds = [f"{third:,.0f}" for third in one.thirds] if one.thirds else ["", "", ""]
        rows.append((one.figure, *thirds, f"{one.ratio:.3f}" if one.ratio else "", one.word))
    title = f"{load.sessions} sessions, {seen.tasks} tasks in {load.seconds / 60:.1f} minutes"
    table(title, ("figure", "first third", "middle", "last third", "ratio", "judgement"), rows)
    runs = len(seen.series.get("run_events", []))
    print(f"The first {WARM_SHARE:.0%} is not judged. {runs} runs continued as new; {len(seen.failed)} calls failed.")


async def main(load: Load, *, as_json: bool) -> int:
    """The command; its exit code is 1 where memory or history grows."""
    seen = await soaked(load)
    found = drifts(seen, load)
    report(found, seen, load, as_json=as_json)
    return int(any(one.fails for one in found))


if __name__ == "__main__":
    parser = options("benchmarks.soak", __doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="under load (default 30)")
    given = parser.parse_args()
    run(main(QUICK if given.quick else Load(seconds=60 * given.minutes), as_json=given.json))

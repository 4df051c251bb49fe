"""One, two and four worker processes on one server with a database file: what more workers bring, and what binds."""

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from temporalio.client import Client

from benchmarks.command import options, progress, run
from benchmarks.contest import Burst, Contestant, burst
from benchmarks.figures import Figure, show
from benchmarks.processes import WorkerProcess, cpu_seconds, database_server, serving
from starter.client.connection import connect
from starter.dev_server import DevServer
from workflows.contract import SESSION_TYPE

WORKERS = (1, 2, 4)


@dataclass(frozen=True)
class Size:
    """Rounds; sessions that are answered at the same time, and the tasks of each."""

    rounds: int = 3
    sessions: int = 40
    tasks: int = 10


WHOLE, QUICK = Size(), Size(rounds=1, sessions=20, tasks=5)


@dataclass(frozen=True)
class Load:
    """A burst, and the seconds of processor time a second that its caller used and that nobody used."""

    burst: Burst
    caller_cores: float
    idle_cores: float


async def loaded(temporal: Client, server: DevServer, workers: int, size: Size) -> Load:
    """One burst on so many fresh workers, on a task queue of their own."""
    queue = f"scaling-{workers}"
    processes = [WorkerProcess(server.address, queue) for _ in range(workers)]
    contestant = Contestant(queue, SESSION_TYPE, queue, processes)
    async with serving(*processes):
        await burst(temporal, contestant, server, sessions=4 * workers, tasks=1)  # each has imported what it needs
        started, used, idle = time.perf_counter(), cpu_seconds(os.getpid()), psutil.cpu_times().idle
        found = await burst(temporal, contestant, server, size.sessions, size.tasks)
        seconds = time.perf_counter() - started
        caller = (cpu_seconds(os.getpid()) - used) / seconds
        return Load(found, caller, (psutil.cpu_times().idle - idle) / seconds)


def figures(loads: dict[int, list[Load]], cores: int) -> list[Figure]:
    """Medians of all rounds by the number of workers; `cores`: what the machine has."""
    throughput = {n: statistics.median(load.burst.throughput for load in of) for n, of in loads.items()}
    fewest = throughput[min(throughput)]
    found = [Figure(f"throughput_per_s_at_{n}", value) for n, value in throughput.items()]
    found += [Figure(f"throughput_gain_at_{n}", value / fewest) for n, value in throughput.items()]
    for name in _numbers(loads[min(loads)][0]):
        found += [
            Figure(f"{name}_at_{n}", statistics.median(_numbers(load)[name] for load in of)) for n, of in loads.items()
        ]
    return [*found, Figure("machine_cores", cores)]


def _numbers(load: Load) -> dict[str, float]:
    burst = load.burst
    return {
        "worker_cpu_ms_per_task": 1_000 * burst.worker_cpu,
        "server_cpu_ms_per_task": 1_000 * burst.server_cpu,
        "worker_cores": burst.worker_cpu * burst.throughput,
        "server_cores": burst.server_cpu * burst.throughput,
        "caller_cores": load.caller_cores,
        "idle_cores": load.idle_cores,
    }


async def measure(counts: Sequence[int], size: Size) -> dict[int, list[Load]]:
    """All rounds, the numbers of workers in turn, on one server."""
    loads: dict[int, list[Load]] = {n: [] for n in counts}
    async with database_server() as server:
        temporal = await connect(server.address)
        for number in range(size.rounds):
            for n in counts if number % 2 == 0 else reversed(counts):
                loads[n].append(await loaded(temporal, server, n, size))
                rate = loads[n][-1].burst.throughput
                progress(f"round {number + 1} of {size.rounds}: {n} workers, {rate:.0f} tasks a second")
    return loads


async def main() -> int:
    """The command; nothing gates."""
    chosen = options("benchmarks.scaling", __doc__).parse_args()
    found = figures(await measure(WORKERS, QUICK if chosen.quick else WHOLE), os.cpu_count() or 1)
    show("Workers on one server", found, as_json=chosen.json)
    return 0


if __name__ == "__main__":
    run(main())

"""What was tried to take less of the machine: each trial against the product as it is, on a server of its own."""

import os
import statistics
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from temporalio.client import Client

from benchmarks.command import options, progress, run
from benchmarks.contest import Contestant, burst, closed_loop
from benchmarks.figures import Figure, percentile, show, table
from benchmarks.processes import WORKER, WorkerProcess, database_server, serving
from starter.client.connection import connect
from starter.dev_server import DevServer
from workflows.contract import SESSION_TYPE

QUEUE = "trial"
WARM_UP_TASKS = 5


@dataclass(frozen=True)
class Trial:
    """One difference: in the server's settings, environment or database, or in the worker."""

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    pragmas: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    worker: str = WORKER
    variables: Mapping[str, str] = field(default_factory=dict)


def _of_worker(name: str) -> Trial:
    return Trial(name, worker="benchmarks.trial_worker", variables={"BENCHMARK_TRIAL": name})


AS_IT_IS = Trial("as-it-is")
TRIALS = (
    # The task.
    _of_worker("local-activity"),
    _of_worker("no-activity"),
    # The worker.
    _of_worker("all-in-sandbox"),
    _of_worker("no-page"),
    _of_worker("autoscaled-pollers"),
    Trial("two-pollers", variables={"SESSIONS_POLLERS": "2"}),
    # The server.
    Trial("eager-activities", settings={"system.enableActivityEagerExecution": "true"}),
    Trial(
        "one-partition",
        settings={"matching.numTaskqueueReadPartitions": 1, "matching.numTaskqueueWritePartitions": 1},
    ),
    Trial("new-matcher", settings={"matching.useNewMatcher": "true"}),
    Trial("no-transition-history", settings={"history.enableTransitionHistory": "false"}),
    Trial("rarer-acknowledgements", settings={"history.transferProcessorUpdateAckInterval": '"30s"'}),
    Trial("rarer-garbage-collection", environment={"GOGC": "400"}),
    Trial("one-core", environment={"GOMAXPROCS": "1"}),
    # Its database.
    Trial("larger-cache", pragmas={"cache_size": "-65536", "mmap_size": "268435456", "temp_store": "2"}),
    Trial("no-sync", pragmas={"synchronous": "0"}),
    Trial("rarer-checkpoints", pragmas={"wal_autocheckpoint": "20000"}),
)


@dataclass(frozen=True)
class Size:
    """Rounds; tasks of one session in closed loop; sessions of a burst and the tasks of each; which trials."""

    rounds: int = 3
    loop: int = 40
    sessions: int = 20
    tasks: int = 10
    trials: Sequence[Trial] = TRIALS


WHOLE, QUICK = Size(), Size(rounds=1, loop=15, sessions=5, tasks=5, trials=TRIALS[:6])
FIGURES = ("p50_ms", "throughput_per_s", "worker_cpu_ms", "server_cpu_ms")


@dataclass(frozen=True, eq=False)
class Running:
    """A trial, or the product as it is, with its server and worker."""

    temporal: Client
    server: DevServer
    contestant: Contestant

    async def measured(self, size: Size) -> Sequence[float]:
        """One round, in the order of FIGURES."""
        loop = await closed_loop(self.temporal, self.contestant, size.loop)
        load = await burst(self.temporal, self.contestant, self.server, size.sessions, size.tasks)
        return 1_000 * percentile(loop.seconds, 0.5), load.throughput, 1_000 * load.worker_cpu, 1_000 * load.server_cpu


@asynccontextmanager
async def running(trial: Trial) -> AsyncIterator[Running]:
    """The trial on a server of its own, warm."""
    async with AsyncExitStack() as stack:
        with _environment(trial.environment):
            server = await stack.enter_async_context(database_server(settings=trial.settings, pragmas=trial.pragmas))
        worker = WorkerProcess(server.address, QUEUE, trial.worker, settings=trial.variables)
        await stack.enter_async_context(serving(worker))
        found = Running(await connect(server.address), server, Contestant(trial.name, SESSION_TYPE, QUEUE, [worker]))
        await closed_loop(found.temporal, found.contestant, WARM_UP_TASKS)
        yield found


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables for the processes that are started meanwhile."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def compared(size: Size) -> dict[str, tuple[Sequence[float], Sequence[float]]]:
    """The medians of each trial, and those of the product as it is in the same rounds."""
    found = {}
    for trial in size.trials:
        # Both fresh: a server with more in its file is slower.
        async with running(AS_IT_IS) as ours, running(trial) as other:
            rounds: dict[Running, list[Sequence[float]]] = {ours: [], other: []}
            for number in range(size.rounds):
                progress(f"{trial.name}: round {number + 1} of {size.rounds}")
                for one in (ours, other) if number % 2 else (other, ours):
                    rounds[one].append(await one.measured(size))
        found[trial.name] = (_medians(rounds[other]), _medians(rounds[ours]))
    return found


def _medians(rounds: Sequence[Sequence[float]]) -> Sequence[float]:
    return [statistics.median(of) for of in zip(*rounds, strict=True)]


async def main(size: Size, *, as_json: bool) -> int:
    """Measure and report."""
    found = await compared(size)
    if as_json:
        show("", list(figures(found)), as_json=True)
        return 0
    rows = [
        (name, *(f"{tried:.1f} ({tried / ours:.2f})" for tried, ours in zip(*pair, strict=True)))
        for name, pair in found.items()
    ]
    title = f"Medians of {size.rounds} rounds; in brackets by what the product as it is took in the same rounds"
    table(title, ("trial", "p50, ms", "tasks/s", "worker, ms", "server, ms"), rows)
    return 0


def figures(found: dict[str, tuple[Sequence[float], Sequence[float]]]) -> Iterator[Figure]:
    """What each trial took, and that by what the product took in the same rounds."""
    for trial, pair in found.items():
        for name, tried, ours in zip(FIGURES, *pair, strict=True):
            yield Figure(f"{name}_of_{trial}", tried)
            yield Figure(f"{name}_of_{trial}_by_ours", tried / ours)


if __name__ == "__main__":
    given = options("benchmarks.trials", __doc__).parse_args()
    run(main(QUICK if given.quick else WHOLE, as_json=given.json))

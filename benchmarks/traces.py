"""What traces cost: sessions whose callers and workers are traced, against the same without, in alternation.

The collector only reads. Off is the default: no interceptor is there then.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from unittest.mock import patch

from temporalio.client import Client

from benchmarks.command import options, progress, run
from benchmarks.contest import Contestant, burst, closed_loop
from benchmarks.figures import Figure, percentile, show
from benchmarks.processes import WORKER, WorkerProcess, database_server, serving
from starter.client.connection import connect
from starter.dev_server import DevServer
from starter.tracing.setting import ENDPOINTS
from workflows.contract import SESSION_TYPE


@dataclass(frozen=True)
class Size:
    """Rounds; tasks of the one session in closed loop; sessions of a burst and the tasks of each."""

    rounds: int = 5
    loop: int = 40
    sessions: int = 20
    tasks: int = 10


WHOLE, QUICK = Size(), Size(rounds=2, loop=15, sessions=10, tasks=5)


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def _collecting() -> Iterator[Mapping[str, str]]:
    """What turns traces on, with a collector that is there meanwhile."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {ENDPOINTS[1]: f"http://127.0.0.1:{server.server_port}"}
    finally:
        server.shutdown()
        server.server_close()


async def _clients(server: DevServer, on: Mapping[str, str]) -> dict[str, Client]:
    off = await connect(server.address)
    with patch.dict(os.environ, on):
        return {"off": off, "on": await connect(server.address)}


async def measured(size: Size) -> dict[str, list[dict[str, float]]]:
    """All rounds of both on one server with a database file of its own."""
    rounds: dict[str, list[dict[str, float]]] = {"off": [], "on": []}
    with _collecting() as on:
        async with database_server() as server:
            settings = {"off": {}, "on": on}
            both = [
                Contestant(name, SESSION_TYPE, name, [WorkerProcess(server.address, name, WORKER, settings=given)])
                for name, given in settings.items()
            ]
            clients = await _clients(server, on)
            async with serving(*(worker for one in both for worker in one.workers)):
                for one in both:
                    await closed_loop(clients[one.name], one, 5)
                for number in range(size.rounds):
                    for one in both if number % 2 else reversed(both):
                        progress(f"round {number + 1} of {size.rounds}: {one.name}")
                        loop = await closed_loop(clients[one.name], one, size.loop)
                        load = await burst(clients[one.name], one, server, size.sessions, size.tasks)
                        rounds[one.name].append(
                            {
                                "p50_ms": 1_000 * percentile(loop.seconds, 0.5),
                                "throughput_per_s": load.throughput,
                                "worker_cpu_ms_per_task": 1_000 * load.worker_cpu,
                                "server_cpu_ms_per_task": 1_000 * load.server_cpu,
                                "events_per_task": loop.session_events + loop.child_events,
                                "bytes_per_task": loop.session_bytes + loop.child_bytes,
                            }
                        )
    return rounds


async def main(size: Size, *, as_json: bool) -> int:
    """Measure and report: `ours` is traced, `bare` is not."""
    rounds = await measured(size)
    found = [
        Figure(name, median(one[name] for one in rounds["on"]), median(one[name] for one in rounds["off"]))
        for name in rounds["on"][0]
    ]
    title = f"traced (ours) and not (bare), {size.rounds} rounds: one session x {size.loop} tasks, then {size.sessions}"
    show(f"{title} sessions x {size.tasks}", found, as_json=as_json)
    return 0


if __name__ == "__main__":
    given = options("benchmarks.traces", __doc__).parse_args()
    run(main(QUICK if given.quick else WHOLE, as_json=given.json))

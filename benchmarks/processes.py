"""The processes that benchmarks start, kill and measure."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from starter.dev_server import DevServer

ROOT = Path(__file__).resolve().parents[1]
WORKER = "worker"
"""The module that serves sessions as its users run it (`python worker.py`)."""

STOP_SECONDS = 15.0
"""Time for a worker to end after SIGTERM: its own grace for running activities, and some."""


class WorkerProcess:
    """A worker, run as `python -m module`, with the address and the task queue in its environment.

    `settings`: further variables; of the caller's own none named `SESSIONS_` is passed on.
    `arguments`: what comes after the module; `python`: that of another environment.
    """

    def __init__(
        self,
        address: str,
        queue: str,
        module: str = WORKER,
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        python: Path | str = sys.executable,
    ) -> None:
        # The offline model and the default settings are what is measured with.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SESSIONS_")}
        ours = {"TEMPORAL_ADDRESS": address, "SESSIONS_TASK_QUEUE": queue}
        self._environment = {**inherited, **ours, **(settings or {})}
        self._command: Sequence[Path | str] = (python, "-m", module, *arguments)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError while it does not run."""
        if self._process is None:
            raise RuntimeError("the worker is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it; it is ready when it answers."""
        said = self._log.open("ab") if self._log else asyncio.subprocess.DEVNULL
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=ROOT,
                env=self._environment,
                stdout=said,  # where the SDK's core logs
                stderr=said,
                start_new_session=True,
            )
        finally:
            if not isinstance(said, int):
                said.close()

    async def kill(self) -> None:
        """End it as a crash would (SIGKILL); none is no error."""
        process, self._process = self._process, None
        if process and process.returncode is None:
            process.kill()
            await process.wait()

    async def stop(self) -> None:
        """End it and wait; none is no error."""
        process, self._process = self._process, None
        if process and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def database_server(
    *, tuned: bool = True, settings: Mapping[str, object] | None = None, pragmas: Mapping[str, str] | None = None
) -> AsyncIterator[DevServer]:
    """A server on free ports with a database file of its own, which is gone with it; options as DevServer has them."""
    with TemporaryDirectory(prefix="sessions-benchmark-") as folder:
        database = Path(folder) / "temporal.db"
        server = DevServer(
            database,
            port=0,
            ui_port=0,
            http_port=0,
            settings=dict(settings or {}),
            pragmas=dict(pragmas or {}),
            tuned=tuned,
        )
        try:
            await server.start()
            yield server
        finally:
            server.stop()


@asynccontextmanager
async def serving(*workers: WorkerProcess) -> AsyncIterator[None]:
    """Workers that run meanwhile."""
    try:
        for worker in workers:
            await worker.start()
        yield
    finally:
        for worker in workers:
            await worker.stop()


def cpu_seconds(*pids: int) -> float:
    """Processor time that processes have used so far, user and system. The system counts it in steps of 10 ms."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return float(sum(used.user + used.system for used in times))


def resident_mib(pid: int) -> float:
    """Memory that a process holds now."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20

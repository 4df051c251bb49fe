"""The processes that benchmarks start, kill and measure."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
WORKER = "worker"
"""The module that serves sessions as its users run it (`python worker.py`)."""

STOP_SECONDS = 15.0
"""Time for a worker to end after SIGTERM: its own grace for running activities, and some."""


class WorkerProcess:
    """A worker, run as `python -m module`, with the address and the task queue in its environment."""

    def __init__(self, address: str, queue: str, module: str = WORKER, log: Path | None = None) -> None:
        self._environment = {**os.environ, "TEMPORAL_ADDRESS": address, "SESSIONS_TASK_QUEUE": queue}
        self._environment.pop("SESSIONS_MODEL", None)  # the offline model is what is measured with
        self._arguments: Sequence[str] = ("-m", module)
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
                sys.executable,
                *self._arguments,
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


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far, user and system."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def resident_mib(pid: int) -> float:
    """Memory that a process holds now."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20

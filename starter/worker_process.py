"""A worker, or another program of ours, as a process that can be stopped, killed and started again."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from starter.program import WORKER

STOP_SECONDS = 5.0
"""Time to end after SIGTERM, beyond the worker's own grace, before it is killed: closing takes well under a second."""


class WorkerProcess:
    """`worker.py`, or `command`, with `environment` on top of ours; its errors go to `log`, or where ours go."""

    def __init__(
        self, environment: Mapping[str, str], log: Path | None = None, command: Sequence[str] = WORKER
    ) -> None:
        self._command = command
        self._environment = {**os.environ, **environment}
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it is ready when it answers."""
        log: IO[bytes] | None = self._log.open("ab") if self._log else None
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environment, stderr=log, start_new_session=True
            )
        finally:
            if log:
                log.close()

    async def ended(self) -> int:
        """Wait for its end; the exit code, negative for a signal. Raises RuntimeError where it was never started."""
        if self._process is None:
            raise RuntimeError("the worker was never started")
        return await self._process.wait()

    async def stop(self, grace: float = 0.0) -> None:
        """Let it finish for `grace` seconds, which it has to know of, and wait for its end."""
        self._send(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace + STOP_SECONDS):
                await self._gone()
        await self.kill()

    async def kill(self) -> None:
        """End it as a crash would."""
        self._send(signal.SIGKILL)
        await self._gone()

    def _send(self, number: signal.Signals) -> None:
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _gone(self) -> None:
        if self._process:
            await self._process.wait()

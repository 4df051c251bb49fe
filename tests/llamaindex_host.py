"""Hosts for kinds of LlamaIndex: worker processes of an environment that has it, beside a worker with sessions."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from starter.client import Session
from tests.harness import WAIT, snapshot_when
from workflows.contract import Question, Snapshot, TaskRecord

KINDS = Path(__file__).parent / "framework_kinds/llamaindex"
LONG = 2 * WAIT
"""Seconds for a worker that has to start, with all that LlamaIndex imports, and for one that has to be missed."""


class Host:
    """A worker process for kinds of LlamaIndex, in a folder of its own."""

    def __init__(
        self, programs: Path, folder: Path, address: str, kinds: str, source: Path = KINDS, **environment: str
    ) -> None:
        self.folder, self.queue = folder, f"llamaindex-{folder.name}"
        self._command: list[str | Path] = [programs / "sessions", "worker", kinds, "--task-queue", self.queue]
        self._environment = {**os.environ, "TEMPORAL_ADDRESS": address, **environment}
        self._process: asyncio.subprocess.Process | None = None
        shutil.copytree(source, folder, dirs_exist_ok=True)

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(*self._command, cwd=self.folder, env=self._environment)

    async def restart(self) -> None:
        """Kill it, and start another one."""
        await self.kill()
        await self.start()

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    def steps(self) -> list[str]:
        """What ran, in any worker process, without its process id."""
        file = self.folder / "steps.log"
        return [line.partition(" ")[2] for line in file.read_text().splitlines()] if file.exists() else []

    async def ran(self, step: str) -> None:
        """Wait until a step has said so."""
        async with asyncio.timeout(LONG):
            while step not in self.steps():  # noqa: ASYNC110 (a file has no event)
                await asyncio.sleep(0.02)


_Host = TypeVar("_Host", bound=Host)


@asynccontextmanager
async def hosting(host: _Host) -> AsyncIterator[_Host]:
    await host.start()
    try:
        yield host
    finally:
        await host.kill()


async def asked(session: Session, *said: str) -> Question:
    """The question that a task of the session has put, after those of the ids that were `said`."""

    def question(snapshot: Snapshot) -> Question | None:
        found = snapshot.running.waiting_for if snapshot.running else None
        return found if found and found.id not in said else None

    found = question(await snapshot_when(session, lambda snapshot: question(snapshot) is not None))
    assert found is not None
    return found


def failure(record: TaskRecord) -> tuple[str, str]:
    """By which name it failed, and why."""
    assert record.error is not None, record
    return record.error.type, record.error.message

"""Workflows of LlamaIndex as kinds: in an environment of their own, hosted beside a worker with sessions."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from starter.client import Session
from tests.harness import Harness, run_task
from tests.servers import Server
from tests.wheels import INSTALL_SECONDS, environment_with
from workflows.contract import TaskRecord

KINDS_HERE = Path(__file__).parent / "framework_kinds/llamaindex"
BANANA, SUN = "What colour is a banana?", "How big is the sun?"

pytestmark = pytest.mark.timeout(INSTALL_SECONDS)


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment that has the wheel and LlamaIndex."""
    return environment_with(tmp_path_factory.mktemp("llamaindex"), wheel, "cli,llamaindex")


class Host:
    """A worker process for kinds of LlamaIndex, in a folder of its own."""

    def __init__(self, programs: Path, folder: Path, address: str, kinds: str) -> None:
        self.folder, self.queue = folder, f"llamaindex-{folder.name}"
        self._command: list[str | Path] = [programs / "sessions", "worker", kinds, "--task-queue", self.queue]
        self._environment = {**os.environ, "TEMPORAL_ADDRESS": address}
        self._process: asyncio.subprocess.Process | None = None
        shutil.copytree(KINDS_HERE, folder, dirs_exist_ok=True)

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(*self._command, cwd=self.folder, env=self._environment)

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    def steps(self) -> list[str]:
        """What ran, in any worker process, without its process id."""
        file = self.folder / "steps.log"
        return [line.partition(" ")[2] for line in file.read_text().splitlines()] if file.exists() else []

    async def run(self, session: Session, flow: str, task_input: object, **options: object) -> TaskRecord:
        """A task of the kind that runs any of the flows."""
        body = {"flow": flow, "input": task_input}
        return await run_task(session, body, kind="Flow", task_queue=self.queue, **options)


@asynccontextmanager
async def hosting(host: Host) -> AsyncIterator[Host]:
    await host.start()
    try:
        yield host
    finally:
        await host.kill()


@pytest.fixture(scope="module")
async def flows(programs: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    async with hosting(Host(programs, tmp_path_factory.mktemp("flows"), server.address, "flows:KINDS")) as host:
        yield host


@pytest.mark.parametrize("flow", ["Colours", "Fans", "Caches"])
async def test_the_sun_is_not_yellow_after_a_banana_in_the_same_session(
    harness: Harness, flows: Host, flow: str
) -> None:
    session = await harness.open()
    for _ in range(2):
        assert "yellow" == (await flows.run(session, flow, BANANA)).output
        assert "1,400,000 kilometres across" == (await flows.run(session, flow, SUN)).output
    assert {} == (await session.context()).values


@pytest.mark.parametrize(("flow", "error"), [("Rude", "LookupError"), ("Slow", "WorkflowTimeoutError")])
async def test_a_task_that_failed_leaves_nothing_to_the_next_one(
    harness: Harness, flows: Host, flow: str, error: str
) -> None:
    session = await harness.open()
    failed = await flows.run(session, flow, BANANA)
    assert ("failed", error) == (failed.status, failed.error.type if failed.error else None)
    assert "1,400,000 kilometres across" == (await flows.run(session, flow, SUN)).output

"""Processes die as they do in life: SIGKILL, in the middle of things, and come back on the same database file."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from starter.client import Session, SessionClient
from starter.client.connection import connect
from starter.dev_server import DevServer
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, progress_of
from tests.servers import NO_LISTS, Server
from workflows.contract import Config, task_workflow_id

ROOT = Path(__file__).resolve().parents[1]


class WorkerProcess:
    """`python worker.py` as its users run it, or another program in its place."""

    def __init__(
        self,
        address: str,
        queue: str,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = ("worker.py",),
    ) -> None:
        self._program = program
        ours = {"TEMPORAL_ADDRESS": address, "SESSIONS_TASK_QUEUE": queue}
        self._environment = {**os.environ, **ours, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 (our own arguments)
            [sys.executable, *self._program], cwd=ROOT, env=self._environment, stderr=subprocess.DEVNULL
        )

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def stopping(*things: WorkerProcess | DevServer) -> Iterator[None]:
    """End the processes whatever the test does."""
    try:
        yield
    finally:
        for thing in things:
            thing.kill()


async def _completed_once(temporal: Client, session: Session, tasks: list[str]) -> None:
    """Each task completed, in order, each in exactly one child run."""
    records = [await session.result(task_id, WAIT) for task_id in tasks]
    assert ["completed"] * len(tasks) == [record.status for record in records]
    assert tasks == [turn.task_id for turn in (await session.context()).transcript]
    for record in records:
        query = f"WorkflowId = '{task_workflow_id(session.id, record.task_id)}'"
        runs = [run async for run in temporal.list_workflows(query)]
        assert [(record.run_id, WorkflowExecutionStatus.COMPLETED)] == [(run.run_id, run.status) for run in runs]


@pytest.mark.rare
@pytest.mark.not_on_test_server(NO_LISTS)
async def test_a_task_whose_worker_is_killed_completes_after_a_restart(temporal: Client, server: Server) -> None:
    harness = Harness(temporal)
    worker = WorkerProcess(server.address, harness.queue)
    with stopping(worker):
        worker.start()
        session = await harness.open(Config(default_kind="Countdown"))
        await session.submit(ceil(4 * SLOWNESS), task_id="killed")
        await session.submit("What colour is a banana?", task_id="later", kind="Answer")
        await progress_of(session, "killed")
        worker.kill()
        worker.start()
        await _completed_once(temporal, session, ["killed", "later"])
        worker.kill()
    await harness.replay_all()


async def test_every_acknowledged_task_survives_the_death_of_server_and_worker(tmp_path: Path) -> None:
    server = DevServer(tmp_path / "temporal.db", port=0, ui_port=0, http_port=0)
    worker = WorkerProcess(server.address, "sessions")
    with stopping(worker, server):
        await server.start()
        worker.start()
        temporal = await connect(server.address)
        session = await SessionClient(temporal, "sessions").open("survivor")
        tasks = [await session.submit(ceil(3 * SLOWNESS), kind="Countdown", task_id="killed")]
        await progress_of(session, "killed")
        tasks += [await session.submit(f"My dish is number {n}", task_id=f"after-{n}") for n in range(20)]
        server.kill()
        worker.kill()
        await server.start()
        worker.start()
        await _completed_once(temporal, session, tasks)
        assert (await session.context()).values["dish"] == "number 19"


@pytest.mark.parametrize("program", ["worker.py"])
async def test_a_refused_connection_says_in_one_line_how_to_start_a_server(program: str) -> None:
    environment = {**os.environ, "TEMPORAL_ADDRESS": "127.0.0.1:1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), WAIT)
    assert process.returncode == 1
    assert len(errors.decode().splitlines()) == 1
    assert "`make dev` starts one" in errors.decode()

"""`python worker.py` as those see it who run it: metrics, log lines, how it stops. Real processes."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType, PendingActivityState
from temporalio.client import Client, WorkflowExecutionDescription

from activities.models.offline import OfflineModel
from starter.client import Session, SessionClient
from starter.client.connection import connect
from starter.dev_server import LOOPBACK, DevServer, free_port
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, ask, progress_of, run_task, snapshot_when
from tests.samples import NOW, accepted
from tests.servers import NO_NEXT_WORKER, Server
from tests.test_crashes import ROOT
from tests.test_strangers import reset
from worker import build_worker
from workflows.contract import Config, ErrorInfo, task_workflow_id
from workflows.state.ledger import final_record
from workflows.temporal import metrics
from workflows.wire import limits
from workflows.wire.fields import TaskStatus

REPEATED = {EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED, EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT}
STARTED = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
PAGE = (ROOT / "docs/operations.md").read_text()
ONLY_WITH_FAILURES = {
    "temporal_workflow_task_execution_failed_total",
    "temporal_activity_execution_failed_total",
    "sessions_refused_messages_total",
    "temporal_request_failure_total",
}
ONLY_WITH_A_MODEL = {"sessions_tokens_total"}
KEY = "sk-test-0123456789abcdefghij"
COUNTDOWN = Config(default_kind="Countdown")


class OperatedWorker:
    """A worker process with its log in a file and a metrics endpoint of its own."""

    def __init__(self, server: Server, queue: str, log: Path) -> None:
        self.metrics_address = f"{LOOPBACK}:{free_port()}"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **os.environ,
            "TEMPORAL_ADDRESS": server.address,
            "SESSIONS_TASK_QUEUE": queue,
            "SESSIONS_METRICS_ADDRESS": self.metrics_address,
            "SESSIONS_LOG_FORMAT": "json",
        }

    def start(self, **settings: str) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "worker.py"], cwd=ROOT, env=self._environment | settings, stdout=log, stderr=log
            )

    async def stop(self) -> int:
        """SIGTERM; the exit code once it has ended."""
        assert self._process
        self._process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """The exit code once it has ended."""
        assert self._process
        return await asyncio.to_thread(self._process.wait, WAIT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def lines(self) -> list[dict[str, Any]]:
        """The log so far; every line of it is a JSON object."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    async def metrics(self) -> dict[str, float]:
        """What Prometheus would read: values by name and labels."""
        url = f"http://{self.metrics_address}/metrics"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=WAIT).read().decode())
        samples = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in samples}


@pytest.fixture
def worker(temporal: Client, server: Server, tmp_path: Path) -> Iterator[tuple[Harness, OperatedWorker]]:
    """Sessions on a queue of their own, and a worker process for it, not started."""
    harness = Harness(temporal)
    process = OperatedWorker(server, harness.queue, tmp_path / "worker.log")
    yield harness, process
    process.kill()


def _tasks(samples: dict[str, float]) -> dict[tuple[str, str], float]:
    """How many tasks were counted, by kind and status."""
    found = [(re.match(r'sessions_tasks_total{kind="(.*?)",.*status="(.*?)"', name), n) for name, n in samples.items()]
    return {(match[1], match[2]): n for match, n in found if match}


async def _repeated(session: Session) -> int:
    """How many workflow tasks had to be repeated, as on a machine that is short of time: those may count twice."""
    history = await session.temporal.get_workflow_handle(session.id).fetch_history()
    return sum(event.event_type in REPEATED for event in history.events)


@pytest.mark.not_on_test_server("what it asks by a query is not marked as a replay, and counted again (4 of 3 tried)")
async def test_metrics_tell_kinds_statuses_and_times_once_however_often_is_replayed(
    worker: tuple[Harness, OperatedWorker],
) -> None:
    """And no name that somebody makes up becomes a label of ours; the SDK's series have it."""
    harness, process = worker
    process.start(SESSIONS_MAX_CACHED_WORKFLOWS="0")
    session = await harness.open()
    for number in range(3):
        await run_task(session, f"My dish is number {number}", stream=number == 0)
    await run_task(session, 2, kind="Countdown")
    await run_task(session, None, kind="Made-up")
    await run_task(session, None, kind="Countdown", task_id="fails")
    samples = await process.metrics()
    expected = {
        ("Answer", "completed"): 3,
        ("Countdown", "completed"): 1,
        ("Countdown", "failed"): 1,
        ("other", "failed"): 1,
    }
    repeated = await _repeated(session)
    assert expected == _tasks(samples) or repeated
    counted = {name: value for name, value in samples.items() if 'kind="Answer"' in name and "_count{" in name}
    times = {name.partition("{")[0]: value for name, value in counted.items()}
    assert 1 == times.pop("sessions_first_text_seconds_count")
    assert {"sessions_task_pending_seconds_count": 3, "sessions_task_run_seconds_count": 3} == times or repeated
    took = next(v for n, v in samples.items() if n.startswith('sessions_task_run_seconds_sum{kind="Countdown"'))
    assert 2 <= took < WAIT
    series = {re.sub(r"(_bucket|_sum|_count)?{.*", "", name) for name in samples}
    assert (
        set()
        == set(re.findall(r"`((?:temporal|sessions)_\w+)`", PAGE)) - series - ONLY_WITH_FAILURES - ONLY_WITH_A_MODEL
    )
    assert not [name for name in samples if name.startswith("sessions_") and "Made-up" in name]


async def test_every_line_about_a_task_names_its_session_and_task_and_no_secret(
    worker: tuple[Harness, OperatedWorker],
) -> None:
    harness, process = worker
    unreachable = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"http://{LOOPBACK}:1/v1"}
    process.start(SESSIONS_MODEL="openai:some-model", **unreachable)
    session = await harness.open()
    secret = "my PIN is 1234"  # noqa: S105 (nobody's)
    assert "failed" == (await run_task(session, secret, task_id="asked", timeout=14.0)).status
    await harness.temporal.get_workflow_handle(session.id).signal("no such signal", {"text": secret})
    await session.snapshot()
    lines = process.lines()
    assert "worker ready: model openai:some-model" in " ".join(line["message"] for line in lines)
    of_task = {line["message"]: line for line in lines if line["task_id"] == "asked"}
    assert {"Completing activity as failed", "task failed"} == set(of_task)
    assert {session.id} == {line["session_id"] for line in of_task.values()}
    assert ("answer_question", "WARNING") == (
        of_task["Completing activity as failed"]["activity"],
        of_task["Completing activity as failed"]["level"],
    )
    assert ("Answer", "APIConnectionError") == (of_task["task failed"]["kind"], of_task["task failed"]["error"])
    refused = next(line for line in lines if line["message"] == "refused a message: InvalidRequest")
    assert session.id == refused["session_id"]
    assert {"sessions_refused_messages_total", "temporal_activity_execution_failed_total"} <= {
        name.partition("{")[0] for name in await process.metrics()
    }
    text = json.dumps(lines)
    assert not [word for word in (KEY, KEY[3:], secret, "no such signal") if word in text]


async def _attempts(session: Session, task_id: str) -> list[int]:
    """The number of the attempt with which each activity of a task ended."""
    history = await session.temporal.get_workflow_handle(task_workflow_id(session.id, task_id)).fetch_history()
    started = [event.activity_task_started_event_attributes.attempt for event in history.events]
    return [attempt for attempt in started if attempt]


@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_a_worker_that_is_stopped_lets_running_activities_finish(worker: tuple[Harness, OperatedWorker]) -> None:
    harness, process = worker
    process.start()
    session = await harness.open(COUNTDOWN)
    await session.submit(4, task_id="counted")
    await progress_of(session, "counted")
    assert 0 == await process.stop()
    process.start()
    assert "completed" == (await session.result("counted", WAIT)).status
    assert [1] == await _attempts(session, "counted")


@pytest.mark.rare
@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_after_the_grace_an_activity_is_retried_from_its_last_report(
    worker: tuple[Harness, OperatedWorker],
) -> None:
    harness, process = worker
    process.start(SESSIONS_SHUTDOWN_GRACE="0")
    session = await harness.open(COUNTDOWN)
    await session.submit(ceil(12 * SLOWNESS), task_id="counted")
    await progress_of(session, "counted")
    began = time.monotonic()
    assert 0 == await process.stop()
    assert 6 * SLOWNESS > time.monotonic() - began
    process.start()
    assert "completed" == (await session.result("counted", WAIT)).status
    assert [2] == await _attempts(session, "counted")


def _watches(session: WorkflowExecutionDescription) -> bool:
    """Whether a worker waits for a task that the session has adopted."""
    pending = session.raw_description.pending_activities
    return any(activity.activity_type.name == "watch_child" and activity.state == STARTED for activity in pending)


@pytest.mark.not_on_test_server("it cannot reset (UNIMPLEMENTED)")
async def test_an_adopted_task_does_not_hold_up_a_worker_that_is_stopped(
    worker: tuple[Harness, OperatedWorker],
) -> None:
    harness, process = worker
    grace = 10.0 * SLOWNESS
    process.start(SESSIONS_SHUTDOWN_GRACE=str(grace))
    session = await harness.open()
    handle = harness.temporal.get_workflow_handle(session.id)
    await session.submit(None, task_id="adopted", kind="Any", task_queue="nobody-polls-this")
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    await reset(session)
    async with asyncio.timeout(WAIT):
        while not _watches(await handle.describe()):  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.1)
    began = time.monotonic()
    assert 0 == await process.stop()
    assert grace / 2 > time.monotonic() - began
    await harness.temporal.get_workflow_handle(f"{session.id}/adopted").terminate()


async def test_a_backup_of_the_running_server_goes_on_from_its_moment(tmp_path: Path) -> None:
    """By the very commands of the page: a copy while it runs, and put in the place of the old file when it is dead."""
    command = next(line.strip() for line in PAGE.splitlines() if line.strip().startswith("python -c"))
    program = command.removeprefix("python -c '").removesuffix("'").replace(".sessions/temporal.db", "temporal.db")
    server = DevServer(tmp_path / "temporal.db", port=0, ui_port=0, http_port=0)
    put_back = next(line.strip() for line in PAGE.splitlines() if line.strip().startswith("mv backup.db"))
    restored = DevServer(tmp_path / "temporal.db", port=0, ui_port=0, http_port=0)
    try:
        await server.start()
        temporal = await connect(server.address)
        async with build_worker(temporal, OfflineModel(), queue="sessions"):
            session = await SessionClient(temporal, "sessions").open("kept")
            await ask(session, "My dish is soup")
            await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], cwd=tmp_path, check=True)
            await ask(session, "My dish is too late", task_id="late")
        server.kill()
        assert (tmp_path / "temporal.db-wal").exists()
        words = put_back.replace(".sessions/", "")
        await asyncio.to_thread(subprocess.run, words, shell=True, cwd=tmp_path, check=True)  # noqa: S604 (the page's)
        await restored.start()
        temporal = await connect(restored.address)
        async with build_worker(temporal, OfflineModel(), queue="sessions"):
            session = SessionClient(temporal, "sessions").get("kept")
            assert "Your dish is soup." == await ask(session, "What is my dish?")
            assert await session.task("late") is None
    finally:
        server.kill()
        restored.kill()


async def test_a_metrics_address_that_is_taken_is_said_in_one_line(worker: tuple[Harness, OperatedWorker]) -> None:
    _, process = worker
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        address = f"{LOOPBACK}:{taken.getsockname()[1]}"
        process.start(SESSIONS_METRICS_ADDRESS=address)
        assert process._process
        assert 1 == await asyncio.to_thread(process._process.wait, WAIT)
    said = process._log.read_text()
    assert 1 == len(said.splitlines())
    assert f"worker: SESSIONS_METRICS_ADDRESS {address} cannot be used" in said


def _kind_label(kind: str, status: TaskStatus, error: str | None = None) -> str:
    record = final_record(accepted(kind=kind), status, NOW)
    return metrics._label(record.model_copy(update={"error": ErrorInfo(type=error, message="") if error else None}))


def test_a_kind_becomes_a_label_once_it_is_known_to_exist_and_not_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "_kinds", {"Answer"})
    assert "Answer" == _kind_label("Answer", "timed_out", "TaskTimedOut")
    for name in ("UnknownKind", "TaskTimedOut", "TaskCancelled", "TaskExpired", "TaskTerminated"):
        assert "other" == _kind_label("Reverse", "failed", name)
    assert "Reverse" == _kind_label("Reverse", "failed", "KeyError")
    assert "Reverse" == _kind_label("Reverse", "timed_out", "TaskTimedOut")
    labels = {_kind_label(f"kind-{number}", "completed") for number in range(2 * limits.KIND_LABELS)}
    assert limits.KIND_LABELS == len((labels | {"Answer", "Reverse"}) - {"other"})

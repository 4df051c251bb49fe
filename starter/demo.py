"""`make demo`: three questions, one worker killed in mid-task; exit code 0 only if all of it came right."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from starter.client import Session, SessionClient
from starter.client.watching import task_progress
from starter.dev_server import DevServer
from starter.program import COMMAND
from starter.worker_process import WorkerProcess
from workflows.contract import TaskRecord, task_workflow_id

_Result = TypeVar("_Result")
BANANA, SUN, FIRST = "What colour is a banana?", "How big is the sun?", "What did I ask first?"
COUNTDOWN_SECONDS = 6
"""Long enough to kill its worker in the middle, short enough to watch."""

TASK_SECONDS = 45.0
"""The longest wait for one task: a killed worker is noticed after five seconds, or ten if it had a workflow task."""


@dataclass
class Row:
    """One line of the table, and whether it is what it has to be."""

    question: str
    record: TaskRecord
    attempts: int
    seconds: float
    right: bool


async def run(console: Console, *, keep: bool) -> bool:
    """Run the demo and say whether everything came right."""
    with TemporaryDirectory(prefix="sessions-demo-") as folder:
        server = DevServer(Path(folder) / "temporal.db", port=0, ui_port=0, http_port=0)
        # The answers below are the offline model's.
        environment = {"TEMPORAL_ADDRESS": server.address, "SESSIONS_TASK_QUEUE": "sessions", "SESSIONS_MODEL": ""}
        worker = WorkerProcess(environment, Path(folder) / "worker.log")
        try:
            await _step(console, "starting Temporal", server.start())
            await _step(console, "starting a worker", worker.start())
            client = await SessionClient.connect(server.address)
            session = await client.open("demo")
            rows = await _conversation(console, session, worker)
            right = _report(console, rows)
            console.print(f"\nThe session in the Web UI:\n{server.ui}/namespaces/default/workflows/{session.id}")
            if keep:
                console.print("Everything stays up until Ctrl-C. From another terminal:")
                console.print(f"TEMPORAL_ADDRESS={server.address} {COMMAND} show {session.id}")
                await _until_interrupted()
        finally:
            await worker.kill()
            server.stop()
    return right


async def _conversation(console: Console, session: Session, worker: WorkerProcess) -> list[Row]:
    expected = {BANANA: "yellow", SUN: "1.39 million km", FIRST: BANANA}
    rows = []
    for question, words in expected.items():
        row = await _step(console, question, _asked(session, question))
        others = [other for other in expected.values() if other not in words]
        row.right = words in str(row.record.output) and not any(other in str(row.record.output) for other in others)
        rows.append(row)
    rows.append(await _step(console, "a countdown whose worker is killed", _killed(session, worker)))
    return rows


async def _asked(session: Session, question: str) -> Row:
    started = time.monotonic()
    record = await session.result(await session.submit(question), TASK_SECONDS)
    return Row(question, record, await _attempts(session, record), time.monotonic() - started, right=False)


async def _killed(session: Session, worker: WorkerProcess) -> Row:
    started = time.monotonic()
    task_id = await session.submit(COUNTDOWN_SECONDS, kind="Countdown")
    async with asyncio.timeout(TASK_SECONDS):
        while not await task_progress(session, task_id):  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.1)
    await worker.kill()
    await worker.start()
    record = await session.result(task_id, TASK_SECONDS)
    attempts = await _attempts(session, record)
    counted = sum(turn.task_id == task_id for turn in (await session.context()).transcript)
    right = record.output == 0 and attempts > 1 and counted == 1
    seconds = time.monotonic() - started
    return Row(f"count down from {COUNTDOWN_SECONDS} (worker killed)", record, attempts, seconds, right)


async def _attempts(session: Session, record: TaskRecord) -> int:
    """How often the task's activity was started."""
    child = session.temporal.get_workflow_handle(task_workflow_id(session.id, record.task_id), run_id=record.run_id)
    history = await child.fetch_history()
    started = [event.activity_task_started_event_attributes.attempt for event in history.events]
    return max(started)


def _report(console: Console, rows: list[Row]) -> bool:
    table = Table("question", "answer", "status", title="One session, four tasks", show_lines=True)
    table.add_column("run", overflow="fold", min_width=12)  # a third of an id a line: whole ids even on 80 columns
    table.add_column("attempts", justify="right")
    table.add_column("time", justify="right", no_wrap=True, min_width=6)
    for row in rows:
        status = Text(row.record.status, style="green" if row.right and row.record.status == "completed" else "red")
        answer = Text(str(row.record.output))
        table.add_row(Text(row.question), answer, status, row.record.run_id, str(row.attempts), f"{row.seconds:.1f} s")
    console.print(table)
    runs = {row.record.run_id for row in rows}
    checks = {
        "every answer is right for its question": all(row.right for row in rows[:-1]),
        f"{len(runs)} tasks, {len(runs)} runs of their own": len(runs) == len(rows),
        "the killed task completed exactly once": rows[-1].right,
        "every task completed": all(row.record.status == "completed" for row in rows),
    }
    for fact, holds in checks.items():
        console.print(f"[green]✓[/] {fact}" if holds else f"[red]✗ not so:[/] {fact}")
    return all(checks.values())


async def _step(console: Console, name: str, work: Awaitable[_Result]) -> _Result:
    with console.status(Text(name)):
        return await work


async def _until_interrupted() -> None:
    await asyncio.Event().wait()


def main() -> int:
    """Read the command line and run; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m starter.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave server and worker running until Ctrl-C")
    keep = parser.parse_args().keep
    try:
        return 0 if asyncio.run(run(Console(), keep=keep)) else 1
    except KeyboardInterrupt:
        return 0 if keep else 130
    except TimeoutError:
        Console(stderr=True).print("demo: a task did not end in time")
        return 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK's runtime may crash the interpreter while it shuts down; everything is closed by now.
    os._exit(code)

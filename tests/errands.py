"""Kinds whose tools take their time and say nothing. What is done is written down, where `ERRANDS` says."""

import asyncio
import os
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.plugin import SimplePlugin

with workflow.unsafe.imports_passed_through():
    from activities import progress
    from workflows.contract import TaskInput, TaskOutput

LOG = "ERRANDS"
"""The environment variable with the file."""

HEARTBEAT_SECONDS = 5.0


@dataclass(frozen=True)
class Note:
    """Something done: at which time, in which process."""

    at: float
    pid: int
    what: str


def note(what: str) -> None:
    """Write it down."""
    with Path(os.environ[LOG]).open("a") as file:
        file.write(f"{time.time()} {os.getpid()} {what}\n")


def noted(path: Path) -> list[Note]:
    """What was done, in order."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Note(float(at), int(pid), what) for at, pid, what in (line.split(" ", 2) for line in lines)]


@activity.defn
async def think(thought: str) -> str:
    """A model's part."""
    note(f"think {thought}")
    return thought


@activity.defn
async def fetch(seconds: float) -> str:
    """A tool that is a coroutine."""
    note("fetch")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note("cancelled")
        raise
    note("fetched")
    return "fetched"


@activity.defn
def fetch_in_a_thread(seconds: float) -> str:
    """A tool that is none."""
    note("fetch")
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(0.05)
    except BaseException as error:
        note("cancelled" if "CancelledError" in type(error).__name__ else f"ended by {error!r}")
        raise
    note("fetched")
    return "fetched"


@activity.defn
async def report_once(seconds: float) -> str:
    """A tool that reports when it begins, and then nothing."""
    progress.report(seconds, 10, "halfway")
    await asyncio.sleep(seconds)
    return "reported"


@activity.defn
async def say_and_change(seconds: float) -> Any:
    """Say where it stands and go on with the same object, for two attempts; the third returns what it was left with."""
    info = activity.info()
    if info.attempt > 2:
        return list(info.heartbeat_details)
    state = info.heartbeat_details[0] if info.heartbeat_details else {"step": 1}
    if info.attempt == 1:
        activity.heartbeat(state)
    state["step"] = "not done yet"
    await asyncio.sleep(seconds)
    raise RuntimeError(state["step"])


@activity.defn
async def say_for_certain(seconds: float) -> Any:
    """Beat in all ways, the last time by a call that waits until it is kept; the second attempt returns what was."""
    info = activity.info()
    if info.attempt > 1:
        return list(info.heartbeat_details)
    timeout = info.heartbeat_timeout.total_seconds() if info.heartbeat_timeout else 0
    activity.heartbeat({"step": 0})  # sent at once
    activity.heartbeat({"step": 1})  # held back by the SDK, for 0.8 of the timeout
    await asyncio.sleep(0.73 * timeout)  # beats for it come at 0.67 and 1 of it
    await activity.client().get_async_activity_handle(task_token=info.task_token).heartbeat({"step": 2})
    await asyncio.sleep(seconds)
    raise RuntimeError("over")


def _options(task: TaskInput) -> dict[str, Any]:
    return {
        "start_to_close_timeout": timedelta(seconds=300),
        "heartbeat_timeout": timedelta(seconds=task.input.get("heartbeat", HEARTBEAT_SECONDS)),
        "cancellation_type": workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    }


@workflow.defn(name="Errand", failure_exception_types=[Exception])
class ErrandWorkflow:
    """Input: `{"tool", "seconds", "heartbeat"?}`. Thinks, uses the tool that long, thinks again."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        await workflow.execute_activity(think, "before", **_options(task))
        output = await workflow.execute_activity(task.input["tool"], task.input["seconds"], **_options(task))
        await workflow.execute_activity(think, "after", **_options(task))
        return TaskOutput(output=output)


@workflow.defn(name="Errands", failure_exception_types=[Exception])
class ErrandsWorkflow:
    """Input: `{"tools": [[tool, seconds], ...], "heartbeat"}`. Uses all at once, each begun half a second later."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        running = []
        for tool, seconds in task.input["tools"]:
            running.append(workflow.start_activity(tool, seconds, **_options(task)))
            await workflow.sleep(0.5)
        return TaskOutput(output=await asyncio.gather(*running))


KINDS = SimplePlugin(
    "errands",
    workflows=[ErrandWorkflow, ErrandsWorkflow],
    activities=[think, fetch, fetch_in_a_thread, report_once, say_and_change, say_for_certain],
)

"""The kind of `benchmarks.fairness`: it says when it began, waits for a gate and holds its place for some time."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.plugin import SimplePlugin

with workflow.unsafe.imports_passed_through():
    from workflows.contract import TaskInput, TaskOutput

LOOK_SECONDS = 0.02


@activity.defn
async def hold(folder: str, name: str, seconds: float) -> None:
    """Adds its name to the file `begun` of the folder; from when `open` is there it takes so many seconds."""
    begun = os.open(Path(folder) / "begun", os.O_WRONLY | os.O_APPEND | os.O_CREAT)  # one line a write, never mixed
    os.write(begun, f"{name}\n".encode())
    os.close(begun)
    while not (Path(folder) / "open").exists():  # noqa: ASYNC110 (nothing else tells another process)
        await asyncio.sleep(LOOK_SECONDS)
    await asyncio.sleep(seconds)


@workflow.defn(name="Hold", sandboxed=False, failure_exception_types=[Exception])
class HoldWorkflow:
    """Input: `{"folder", "name", "seconds"}`."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        """Hold a place."""
        await workflow.execute_activity(
            hold,
            args=[task.input["folder"], task.input["name"], task.input["seconds"]],
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=timedelta(seconds=30),
        )
        return TaskOutput(output=None)


KINDS = SimplePlugin("benchmarks.fairness", workflows=[HoldWorkflow], activities=[hold])

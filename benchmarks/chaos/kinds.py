"""The kind whose tasks fill a chaos run: what one does, its input says."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from benchmarks.chaos.plans import DONE_KEY
    from workflows.contract import ContextPatch, TaskInput, TaskOutput
    from workflows.kinds.waiting import ask_person

CHAOS_KIND = "Chaos"
BEAT_SECONDS = 0.2
LOST_SECONDS = 3.0
"""Silence after which the worker of a piece of work counts as lost."""


@workflow.defn(name=CHAOS_KIND, failure_exception_types=[Exception])
class ChaosWorkflow:
    """Input: `{"act", "seconds"}`, an act of `plans.ACTS`."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        patch = ContextPatch(append={DONE_KEY: [task.task_id]})
        await workflow.execute_activity(
            work,
            float(task.input["seconds"]),
            start_to_close_timeout=timedelta(seconds=30),
            heartbeat_timeout=timedelta(seconds=LOST_SECONDS),
        )
        match task.input["act"]:
            case "raise":
                raise ApplicationError("out of tea", type="OutOfTea", non_retryable=True)
            case "overreach":  # half of its patch could be applied
                return TaskOutput(output=None, patch=ContextPatch(append={DONE_KEY: [task.task_id], "text": ["x"]}))
            case "hang":
                await workflow.wait_condition(lambda: False)
            case "linger":  # takes its cancellation for a reason to return a result all the same
                try:
                    await workflow.wait_condition(lambda: False)
                except asyncio.CancelledError:
                    return TaskOutput(output="late", patch=patch)
            case "ask":
                return TaskOutput(output=await ask_person(task, "Go on?", choices=["yes"]), patch=patch)
        return TaskOutput(output="done", patch=patch)


@activity.defn(name="chaos_work")
async def work(seconds: float) -> None:
    """Take that long, beating all the while; a retry begins anew, as work with side effects would."""
    while seconds > 0:
        activity.heartbeat()
        await asyncio.sleep(min(BEAT_SECONDS, seconds))
        seconds -= BEAT_SECONDS

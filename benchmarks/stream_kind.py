"""The kind of `benchmarks.stream`: it says tokens at a model's pace, each of them the moment at which it was said."""

import asyncio
import time
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.plugin import SimplePlugin

with workflow.unsafe.imports_passed_through():
    from activities.stream import emitting
    from workflows.contract import TaskInput, TaskOutput


@activity.defn
async def say_moments(tokens: int, a_second: float) -> str:
    """Says so many tokens, and returns them: seconds since the epoch, with milliseconds."""
    said = []
    async with emitting() as out:
        begin = time.monotonic()
        for number in range(tokens):
            await asyncio.sleep(begin + number / a_second - time.monotonic())
            said.append(f"{time.time():.3f} ")
            out.text(said[-1])
    return "".join(said)


@workflow.defn(name="Moments", sandboxed=False, failure_exception_types=[Exception])
class MomentsWorkflow:
    """Input: `{"tokens", "a_second"}`. Output: their text."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        """Have them said."""
        text = await workflow.execute_activity(
            say_moments,
            args=[task.input["tokens"], task.input["a_second"]],
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=timedelta(seconds=10),
        )
        return TaskOutput(output=text)


KINDS = SimplePlugin("benchmarks.stream", workflows=[MomentsWorkflow], activities=[say_moments])

"""`worker.py` with a kind whose activity exits in an asyncio task of its own: `python -m tests.worker_that_exits`."""

import asyncio
import functools
import os
import sys
from datetime import timedelta

from temporalio import activity, workflow

import worker
from workflows.contract import TaskInput, TaskOutput


@activity.defn
async def exit_in_a_task() -> None:
    """Exit where nothing but the event loop is around."""

    async def leave() -> None:
        sys.exit(0)

    await asyncio.create_task(leave())


@workflow.defn(name="Exit", sandboxed=False, failure_exception_types=[Exception])
class ExitWorkflow:
    """Runs that activity."""

    @workflow.run
    async def run(self, _task: TaskInput) -> TaskOutput:
        await workflow.execute_activity(exit_in_a_task, start_to_close_timeout=timedelta(seconds=60))
        raise AssertionError


if __name__ == "__main__":
    worker.build_worker = functools.partial(worker.build_worker, kinds=[ExitWorkflow], activities=[exit_in_a_task])
    os._exit(worker.main())

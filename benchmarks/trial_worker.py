"""A worker that differs from the product's in one way, named by BENCHMARK_TRIAL."""

import asyncio
import os
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.worker import PollerBehaviorAutoscaling
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

import workflows.state.details
from activities.answer import AnswerActivities
from activities.models.offline import OfflineModel
from activities.models.protocol import ModelRequest
from starter.client.connection import connect, task_queue
from starter.serving.registration import register_search_attributes
from worker import KINDS, build_worker
from workflows.contract import TaskInput, TaskOutput
from workflows.wire.limits import MODEL_TIMEOUT_SECONDS


@workflow.defn(name="Answer", sandboxed=False, failure_exception_types=[Exception])
class LocalAnswer:
    """Asks the model in a local activity: no event and no transaction of its own, and nothing to see of it."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        reply = await workflow.execute_local_activity_method(
            AnswerActivities.answer_question,
            ModelRequest.of(task.input, task.context),
            start_to_close_timeout=timedelta(seconds=MODEL_TIMEOUT_SECONDS),
        )
        return TaskOutput(output=reply.text)


@workflow.defn(name="Answer", sandboxed=False, failure_exception_types=[Exception])
class IdleAnswer:
    """Asks nothing: what is left is the session and the start of a child."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return TaskOutput(output=f"I do not know {task.input}")


def options_of(trial: str) -> dict[str, Any]:
    """What of the worker's options the trial is. Raises KeyError for one that is not here."""
    polling = PollerBehaviorAutoscaling()
    trials: dict[str, dict[str, Any]] = {
        "all-in-sandbox": {"unsandboxed_workflow_runner": SandboxedWorkflowRunner()},
        "autoscaled-pollers": {"workflow_task_poller_behavior": polling, "activity_task_poller_behavior": polling},
        "no-page": {},
        "local-activity": {"kinds": [LocalAnswer]},
        "no-activity": {"kinds": [IdleAnswer]},
    }
    return trials[trial]


async def main() -> None:
    """Serve until killed."""
    client = await connect()
    findable = await register_search_attributes(client)
    trial = os.environ["BENCHMARK_TRIAL"]
    options = {"kinds": KINDS, **options_of(trial)}
    if trial == "no-page":
        workflows.state.details.render = lambda state: ""  # noqa: ARG005 (by its name)
    await build_worker(client, OfflineModel(), queue=task_queue(), search_attributes=findable, **options).run()


if __name__ == "__main__":
    asyncio.run(main())

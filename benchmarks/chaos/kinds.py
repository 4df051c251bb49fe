"""The kind whose tasks fill a chaos run: its input says what one does, and what it answers depends on all it was given.

`model.py` computes the same from the plan. Neither knows of the other.
"""

import asyncio
import time
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from benchmarks.chaos.log import BEGAN, DONE, Effect, Log
    from benchmarks.chaos.plans import DONE_KEY, NOTE_KEY, SUM_KEY
    from workflows.contract import ContextPatch, TaskInput, TaskOutput
    from workflows.kinds.waiting import ask_person

CHAOS_KIND = "Chaos"
BEAT_SECONDS = 0.2
LOST_SECONDS = 5.0
"""Silence after which the worker of a piece of work counts as lost: more than a loaded machine keeps one waiting."""


class Work:
    """The activity, with the log in which it leaves its effects."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @activity.defn(name="chaos_work")
    async def work(self, seconds: float, amount: int) -> None:
        """Take that long, beating all the while; a retry begins anew, as work with side effects would."""
        self._leave(BEGAN, amount)
        while seconds > 0:
            activity.heartbeat()
            await asyncio.sleep(min(BEAT_SECONDS, seconds))
            seconds -= BEAT_SECONDS
        self._leave(DONE, amount)

    def _leave(self, what: str, amount: int) -> None:
        info = activity.info()
        session, _, task_id = (info.workflow_id or "").partition("/")
        self._log.write(Effect(time.time(), what, session, task_id, info.workflow_run_id or "", info.attempt, amount))


@workflow.defn(name=CHAOS_KIND, failure_exception_types=[Exception])
class ChaosWorkflow:
    """Input: `{"act", "seconds", "amount", "word"}`, an act of `plans.ACTS`."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        await workflow.execute_activity_method(
            Work.work,
            args=[float(task.input["seconds"]), int(task.input["amount"])],
            start_to_close_timeout=timedelta(seconds=30),
            heartbeat_timeout=timedelta(seconds=LOST_SECONDS),
        )
        answer, late = None, False
        match task.input["act"]:
            case "raise":
                raise ApplicationError("out of tea", type="OutOfTea", non_retryable=True)
            case "hang":
                await workflow.wait_condition(lambda: False)
            case "linger":  # takes its cancellation for a reason to return a result all the same
                try:
                    await workflow.wait_condition(lambda: False)
                except asyncio.CancelledError:
                    late = True
            case "ask":
                answer = await ask_person(task, f"What is the word of {task.task_id}?")
        return TaskOutput(output=_output(task, answer, late=late), patch=_patch(task))


def _output(task: TaskInput, answer: Any, *, late: bool) -> dict[str, Any]:
    values, turns = task.context.values, task.context.transcript
    return {
        "task": task.task_id,
        "word": task.input["word"],
        "sum": values[SUM_KEY] + task.input["amount"],
        "after": len(values[DONE_KEY]),
        "heard": [turns[-1].task_id, turns[-1].output["word"]] if turns else None,
        "answer": answer,
        "late": late,
    }


def _patch(task: TaskInput) -> ContextPatch:
    patch = ContextPatch(
        set={SUM_KEY: task.context.values[SUM_KEY] + task.input["amount"]}, append={DONE_KEY: [task.task_id]}
    )
    if task.input["amount"] % 2:
        patch.set[NOTE_KEY] = task.input["word"]
    else:
        patch.unset = [NOTE_KEY]
    if task.input["act"] == "overreach":  # half of its patch could be applied
        patch.append["text"] = ["x"]
    return patch

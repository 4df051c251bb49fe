"""`Countdown`: a task that takes its time. It shows progress, and a killed worker costs it no second twice."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.countdown import count_down
    from workflows.contract import TaskInput, TaskOutput
    from workflows.wire.limits import COUNTDOWN_HEARTBEAT_SECONDS, COUNTDOWN_MAX_SECONDS


@workflow.defn(name="Countdown", sandboxed=False, failure_exception_types=[Exception])
class CountdownWorkflow:
    """Input: a number of whole seconds. Output: the number reached, always zero."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        """Count down in an activity that resumes from its last heartbeat."""
        seconds = int(task.input) if str(task.input).isdecimal() else 0
        if not 0 < seconds <= COUNTDOWN_MAX_SECONDS:
            raise ValueError(f"input must be from 1 to {COUNTDOWN_MAX_SECONDS} seconds")
        workflow.set_current_details(f"**Counts down** {seconds} seconds; Pending Activities shows how far it is")
        await workflow.execute_activity(
            count_down,
            seconds,
            start_to_close_timeout=timedelta(seconds=2 * COUNTDOWN_MAX_SECONDS),
            heartbeat_timeout=timedelta(seconds=COUNTDOWN_HEARTBEAT_SECONDS),
            summary=f"{seconds} seconds",
        )
        workflow.set_current_details(f"**Counted down** {seconds} seconds")
        return TaskOutput(output=0)

"""The barest session there can be: signal, child workflow, one activity, result. The limit that ours is measured by.

No models, no validation, no failure handled, nothing remembered but the newest answer.
"""

from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def answer(question: str) -> str:
    """The cheapest answer."""
    return f"I do not know {question}"


@workflow.defn
class BareTask:
    """One activity."""

    @workflow.run
    async def run(self, question: str) -> str:
        return await workflow.execute_activity(answer, question, start_to_close_timeout=timedelta(seconds=10))


@workflow.defn
class BareSession:
    """One child at a time, in the order of the signals."""

    def __init__(self) -> None:
        self.pending: list[dict[str, str]] = []
        self.closing = False
        self.newest: list[str] = []

    @workflow.run
    async def run(self) -> None:
        while True:
            await workflow.wait_condition(lambda: bool(self.pending) or self.closing)
            if not self.pending:
                return
            task = self.pending.pop(0)
            task_id = f"{workflow.info().workflow_id}/{task['task_id']}"
            said = await workflow.execute_child_workflow(BareTask.run, task["input"], id=task_id)
            self.newest = [task["task_id"], said]

    @workflow.query
    def answer(self, task_id: str) -> str | None:
        """What the newest task said, if it is that one."""
        return self.newest[1] if self.newest[:1] == [task_id] else None

    @workflow.signal
    def submit(self, task: dict[str, str]) -> None:
        """Take a task."""
        self.pending.append(task)

    @workflow.signal
    def close(self) -> None:
        """End once nothing waits."""
        self.closing = True

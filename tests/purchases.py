"""A kind that tells the tools it calls, and asks leave for one of them, as an agent does."""

from datetime import timedelta

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from activities import stream
    from workflows.contract import TaskInput, TaskOutput
    from workflows.kinds.approval import ask_approval

PRICE = {"what": "price"}
MINUTE = timedelta(minutes=1)


@activity.defn
async def decide() -> None:
    """Look the price up, and decide to pay it."""
    async with stream.emitting() as out:
        out.text("Let me see.")
        out.event("tool_call", {"name": "look_up", "arguments": PRICE, "id": "c1"})
        out.event("tool_result", {"id": "c1", "content": "3"})
        out.event("tool_call", {"name": "pay", "arguments": {"amount": 3}, "id": "c2"})


@activity.defn
async def pay(amount: int) -> str:
    """Pay, and say so."""
    async with stream.emitting() as out:
        out.event("tool_result", {"id": "c2", "content": {"paid": amount}})
        out.text(f"Paid {amount}.")
    return f"Paid {amount}."


@workflow.defn(name="Tools", failure_exception_types=[Exception])
class ToolsWorkflow:
    """Looks a price up, asks whether to pay it, and pays what the person says."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        await workflow.execute_activity(decide, start_to_close_timeout=MINUTE, heartbeat_timeout=MINUTE)
        said = await ask_approval(task, "pay", {"amount": 3})
        if not said.approved:
            return TaskOutput(output="Not paid.")
        paid = await workflow.execute_activity(
            pay, said.arguments["amount"], start_to_close_timeout=MINUTE, heartbeat_timeout=MINUTE
        )
        return TaskOutput(output=paid)

"""Kinds that misbehave in the ways a task can, and one that shows what it was given."""

import asyncio
import builtins
import contextlib
import contextvars
import sys
import time
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from anyio import to_thread

    from tests.conformance.caller import SLOWNESS
    from tests.framework_kinds.slow_once import slow_once
    from workflows.contract import Compaction, ContextPatch, TaskInput, TaskOutput
    from workflows.kinds.approval import ask_approval
    from workflows.kinds.threads import inline_threads
    from workflows.kinds.waiting import ask_person


@workflow.defn(name="Raise", failure_exception_types=[Exception])
class RaiseWorkflow:
    """Raises: a named failure for the input "named", else what Python raises for a missing key."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        if task.input == "named":
            raise ApplicationError("out of tea", type="OutOfTea", non_retryable=True)
        empty: dict[str, str] = {}
        return TaskOutput(output=empty["tea"])


@workflow.defn(name="Hang", failure_exception_types=[Exception])
class HangWorkflow:
    """Never ends by itself."""

    @workflow.run
    async def run(self, _task: TaskInput) -> TaskOutput:
        await workflow.wait_condition(lambda: False)
        raise AssertionError


@workflow.defn(name="Remember", failure_exception_types=[Exception])
class RememberWorkflow:
    """Puts its input, a patch, into the context; its output says what it was."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return TaskOutput(output="remembered", patch=ContextPatch.model_validate(task.input))


@workflow.defn(name="Show", failure_exception_types=[Exception])
class ShowWorkflow:
    """Answers with all it was given (but for earlier outputs, which would contain each other) and its own run."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        shown = task.model_dump(mode="json", exclude={"context": {"transcript": {"__all__": {"output"}}}})
        return TaskOutput(output=shown | {"run_id": workflow.info().run_id})


@workflow.defn(name="Note", failure_exception_types=[Exception])
class NoteWorkflow:
    """Answers with the context it was given, and leaves its input, a patch or nothing."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        patch = None if task.input is None else ContextPatch.model_validate(task.input)
        return TaskOutput(output=task.context, patch=patch)


@workflow.defn(name="Return", failure_exception_types=[Exception])
class ReturnWorkflow:
    """Returns its input as its result, fit or unfit."""

    @workflow.run
    async def run(self, task: TaskInput) -> object:
        return task.input


@workflow.defn(name="Repeat", failure_exception_types=[Exception])
class RepeatWorkflow:
    """Returns as many letters as its input says."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return TaskOutput(output="x" * task.input)


@workflow.defn(name="Stubborn", failure_exception_types=[Exception])
class StubbornWorkflow:
    """Does not end, even when asked to."""

    @workflow.run
    async def run(self, _task: TaskInput) -> TaskOutput:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await workflow.wait_condition(lambda: False)


@workflow.defn(name="Slow", failure_exception_types=[Exception])
class SlowWorkflow:
    """Leaves a patch after the seconds its input names."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        await workflow.sleep(task.input["seconds"])
        return TaskOutput(output="remembered", patch=ContextPatch(set=task.input["set"]))


@workflow.defn(name="Squeeze", failure_exception_types=[Exception])
class SqueezeWorkflow:
    """Compacts in the way that the context value `way` names; asked "well", or nothing, it does what it is for."""

    @workflow.run
    async def run(self, task: TaskInput) -> object:
        through, text = task.input["through"], f"through {task.input['through']}"
        match task.context.values.get("way"):
            case "hangs":
                await workflow.wait_condition(lambda: False)
            case "fails":
                raise ApplicationError("out of tea", type="OutOfTea", non_retryable=True)
            case "returns nothing":
                return TaskOutput(output=None)
            case "returns no result":
                return {"answer": "under another name"}
            case "returns more":
                text = "x" * 100_000
            case "goes too far":
                through = task.context.version + 1
            case "asks":
                text = str(await ask_person(task, "How shall I put it?"))
        patch = ContextPatch(set={"summary": text}, compact=Compaction(through=through))
        return TaskOutput(output=text, patch=patch)


class Way(BaseException):
    """No Exception."""


@activity.defn
async def leave(way: str) -> None:
    """Exit, or raise what is no Exception."""
    raise {"activity": SystemExit(3), "activity way": Way("out")}[way]


@workflow.defn(name="Leave", failure_exception_types=[Exception])
class LeaveWorkflow:
    """Exits, or raises what is no Exception, in the place that its input names."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        await workflow.sleep(0.01)
        match task.input:
            case "run":
                sys.exit(3)
            case "way":
                raise Way("out")
            case "interrupt":
                raise KeyboardInterrupt
            case "task":
                await asyncio.gather(asyncio.create_task(self._exit()), workflow.sleep(60))
            case "condition":
                await workflow.wait_condition(self._exits)
            case "activity" | "activity way":
                await workflow.execute_activity(leave, task.input, start_to_close_timeout=timedelta(seconds=5))
        await workflow.wait_condition(lambda: False)
        raise AssertionError

    @workflow.signal
    def go(self) -> None:
        """Exit in a handler."""
        sys.exit(3)

    @workflow.query
    def look(self) -> None:
        """Exit in a query."""
        sys.exit(3)

    async def _exit(self) -> None:
        sys.exit(3)

    def _exits(self) -> bool:
        sys.exit(3)


@workflow.defn(name="Late", failure_exception_types=[Exception])
class LateWorkflow:
    """Raises after a moment, or returns what is no result, or its input."""

    @workflow.run
    async def run(self, task: TaskInput) -> object:
        await workflow.sleep(1.0 * SLOWNESS)
        if task.input == "raise":
            raise ApplicationError("out of tea", type="OutOfTea", non_retryable=True)
        return {"answer": "under another name"} if task.input == "unfit" else task.input


@workflow.defn(name="Approve", failure_exception_types=[Exception])
class ApproveWorkflow:
    """Asks a person whether to do what its input says, and does it or not. Input may be `{"what", "wait": seconds}`."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        asked = task.input if isinstance(task.input, dict) else {"what": task.input}
        wait = timedelta(seconds=asked["wait"]) if "wait" in asked else None
        answer = await ask_person(task, f"{asked['what']}?", choices=["yes", "no"], timeout=wait)
        if answer == "no":
            return TaskOutput(output="left alone")
        why = await ask_person(task, "Why?")
        return TaskOutput(
            output={"did": asked["what"], "why": why}, patch=ContextPatch(append={"done": [asked["what"]]})
        )


@workflow.defn(name="Leave a call", failure_exception_types=[Exception])
class LeaveCallWorkflow:
    """Asks leave to call the `tool` of its input with its `arguments`, for `wait` seconds; or asks what no one can."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        match task.input:
            case "a set":
                await ask_person(task, "Which?", data={"of": {1, 2}})
            case "a long text":
                await ask_person(task, "x" * 3_000)
        wait = timedelta(seconds=task.input["wait"]) if "wait" in task.input else None
        said = await ask_approval(task, task.input["tool"], task.input["arguments"], timeout=wait)
        return TaskOutput(output=[said.approved, said.arguments, said.changed, said.reason])


NAMED: contextvars.ContextVar[str] = contextvars.ContextVar("named")


def _piece(way: str) -> str:
    """A synchronous piece of a framework."""
    match way:
        case "raises":
            raise ApplicationError("out of tea", type="OutOfTea", non_retryable=True)
        case "stops":
            raise StopIteration
        case "slow":
            slow_once()
    return f"{NAMED.get()}, {workflow.info().workflow_type}"


@workflow.defn(name="Inline", failure_exception_types=[Exception])
class InlineWorkflow:
    """Hands a synchronous piece to a thread by the `by` of its input, inline where it says so, several at once."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        if task.input.get("inline", True):
            inline_threads()
        NAMED.set("named")
        pieces = range(task.input.get("at_once", 3))
        said = await asyncio.gather(*(self._hand_over(task.input["by"], task.input["piece"]) for _ in pieces))
        await workflow.sleep(0.01)
        return TaskOutput(output=[*said, await self._hand_over(task.input["by"], task.input["piece"])])

    async def _hand_over(self, by: str, piece: str) -> Any:
        match by:
            case "to_thread":
                return await asyncio.to_thread(_piece, piece)
            case "anyio":
                return await to_thread.run_sync(_piece, piece)
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(None, context.run, _piece, piece)


@activity.defn
async def note_length(text: str) -> int:
    """How long `text` is."""
    return len(text)


@activity.defn
async def raise_named(name: str) -> None:
    """Raise the built-in error of that name."""
    error: Exception = getattr(builtins, name)("on purpose")
    raise error


@workflow.defn(name="Mistake", failure_exception_types=[Exception])
class MistakeWorkflow:
    """Runs an activity that raises the built-in error of its input's name, or is called without its argument."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        arguments = [task.input] if task.input else []
        await workflow.execute_activity(raise_named, args=arguments, start_to_close_timeout=timedelta(seconds=5))
        raise AssertionError


@workflow.defn(name="Overdo", failure_exception_types=[Exception])
class OverdoWorkflow:
    """Asks more of the server than it does, in the way its input names."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        await workflow.sleep(0.01)  # so that what is refused is not the first workflow task
        large, seconds = "x" * (3 * 1024 * 1024), timedelta(seconds=5)
        match task.input:
            case "result":
                return TaskOutput(output=large)
            case "failure":
                raise ApplicationError(large, type="TooMuch")
            case "argument":
                await workflow.execute_activity(note_length, large, start_to_close_timeout=seconds)
            case "activities":
                # The server takes 2,000 at once.
                some = (workflow.execute_activity(note_length, "", start_to_close_timeout=seconds) for _ in range(2100))
                await asyncio.gather(*some)
            case "queue":
                await workflow.execute_activity(note_length, "", task_queue="/_sys/a/1", start_to_close_timeout=seconds)
            case "signal":
                await workflow.get_external_workflow_handle("x" * 2000).signal("any")
        raise AssertionError


HALF = "half \ud83d"


@workflow.defn(name="Halve", failure_exception_types=[Exception])
class HalveWorkflow:
    """Cuts an emoji in two and puts the half where its input says: into its `answer`, a `question`, an `error`."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        workflow.set_current_details(HALF)
        if task.input == "error":
            raise ApplicationError(HALF, HALF, type="Half")
        answer = await ask_person(task, HALF, choices=[HALF]) if task.input == "question" else HALF
        return TaskOutput(output={HALF: answer}, patch=ContextPatch(set={HALF: [HALF]}))


@workflow.defn(name="Clock", failure_exception_types=[Exception])
class ClockWorkflow:
    """Looks at a clock, which no workflow may."""

    @workflow.run
    async def run(self, _task: TaskInput) -> TaskOutput:
        return TaskOutput(output=time.time())


@workflow.defn(name="Fragile")
class FragileWorkflow:
    """A kind that leaves it to its plugin which exceptions fail it."""

    @workflow.run
    async def run(self, _task: TaskInput) -> TaskOutput:
        raise LookupError("lost")


TEST_KINDS = [
    ApproveWorkflow,
    ClockWorkflow,
    HalveWorkflow,
    HangWorkflow,
    InlineWorkflow,
    LateWorkflow,
    LeaveCallWorkflow,
    LeaveWorkflow,
    MistakeWorkflow,
    NoteWorkflow,
    OverdoWorkflow,
    RaiseWorkflow,
    RememberWorkflow,
    RepeatWorkflow,
    ReturnWorkflow,
    ShowWorkflow,
    SlowWorkflow,
    SqueezeWorkflow,
    StubbornWorkflow,
]

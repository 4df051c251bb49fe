"""The kinds of this suite: plain Temporal workflows that speak the contract's JSON, most of them badly behaved."""

import asyncio
import contextlib
import json
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

Json = dict[str, Any]


@workflow.defn(name="Echo", failure_exception_types=[Exception])
class Echo:
    """Says what it was asked."""

    @workflow.run
    async def run(self, task: Json) -> Json:
        return {"output": task["input"]}


@workflow.defn(name="Show", failure_exception_types=[Exception])
class Show:
    """Says all it was given. Its transcript comes without outputs, which would contain each other."""

    @workflow.run
    async def run(self, task: Json) -> Json:
        context = task["context"]
        turns = [{name: value for name, value in turn.items() if name != "output"} for turn in context["transcript"]]
        return {"output": task | {"context": context | {"transcript": turns}}}


@workflow.defn(name="Return", failure_exception_types=[Exception])
class Return:
    """Returns its input as its whole result, fit or unfit."""

    @workflow.run
    async def run(self, task: Json) -> Any:
        return task["input"]


@workflow.defn(name="Spell", failure_exception_types=[Exception])
class Spell:
    """Returns its input, a text, as the very bytes of its whole result."""

    @workflow.run
    async def run(self, task: Json) -> RawValue:
        return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=task["input"].encode()))


@workflow.defn(name="Gate", failure_exception_types=[Exception])
class Gate:
    """Runs until the signal `go`; then returns its input as its whole result."""

    def __init__(self) -> None:
        self._open = False

    @workflow.run
    async def run(self, task: Json) -> Any:
        await workflow.wait_condition(lambda: self._open)
        return task["input"]

    @workflow.signal
    def go(self) -> None:
        self._open = True


@workflow.defn(name="Tidy", failure_exception_types=[Exception])
class Tidy:
    """Runs until it is cancelled; then takes a moment to clean up and returns its input as its whole result."""

    @workflow.run
    async def run(self, task: Json) -> Any:
        with contextlib.suppress(asyncio.CancelledError):
            await workflow.wait_condition(lambda: False)
        await workflow.sleep(0.2)
        return task["input"]


@workflow.defn(name="Stubborn", failure_exception_types=[Exception])
class Stubborn:
    """Does not end, whatever it is asked."""

    @workflow.run
    async def run(self, _task: Json) -> Any:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await workflow.wait_condition(lambda: False)


@workflow.defn(name="Fail", failure_exception_types=[Exception])
class Fail:
    """Fails in the way its input names."""

    @workflow.run
    async def run(self, task: Json) -> Any:
        match task["input"]:
            case "named":
                raise ApplicationError("out of tea", type="OutOfTea")
            case "FileTooLarge" | "FileNotFound" | "FilesUnavailable":
                raise ApplicationError("no file", type=task["input"])
            case "nameless":
                raise ApplicationError("no tea at all")
            case "unreadable":
                payload = Payload(metadata={"encoding": b"no/such"}, data=b"\x00")
                raise ApplicationError("tea in another code", RawValue(payload), type="Foreign")
            case "caused":
                raise ApplicationError("no tea", type="OutOfTea") from ApplicationError("no water", type="OutOfWater")
        raise KeyError("tea")


@workflow.defn(name="Oversize", failure_exception_types=[Exception])
class Oversize:
    """Returns more than it was asked for: `letters` of output, `levels` of nesting, a patch of `value` letters."""

    @workflow.run
    async def run(self, task: Json) -> Any:
        wanted = task["input"]
        output: Any = "x" * wanted.get("letters", 0)
        for _ in range(wanted.get("levels", 0)):
            output = [output]
        return {"output": output, "patch": {"set": {"large": "x" * wanted.get("value", 0)}}}


@workflow.defn(name="Measure", failure_exception_types=[Exception])
class Measure:
    """Says how much it was given: bytes of values, as JSON, and turns."""

    @workflow.run
    async def run(self, task: Json) -> Json:
        values = json.dumps(task["context"]["values"], separators=(",", ":"))
        return {"output": {"values": len(values), "turns": len(task["context"]["transcript"])}}


@workflow.defn(name="Ask", failure_exception_types=[Exception])
class Ask:
    """Asks a person what its input says, one question after the other, and returns the answers."""

    def __init__(self) -> None:
        self._answers: list[Json] = []
        self._due = 0

    @workflow.run
    async def run(self, task: Json) -> Json:
        session = workflow.get_external_workflow_handle(task["session_id"])
        for question in task["input"]:
            await session.signal("task_waiting", {"task_id": task["task_id"], "question": question})
            self._due += 1
            await workflow.wait_condition(lambda: len(self._answers) >= self._due)
        return {"output": self._answers}

    @workflow.signal
    def respond(self, answer: Json) -> None:
        self._answers.append(answer)


@workflow.defn(name="Fold", failure_exception_types=[Exception])
class Fold:
    """Puts the turns up to the version that its input names into a value, and says how many it was given."""

    @workflow.run
    async def run(self, task: Json) -> Json:
        through, turns = task["input"]["through"], len(task["context"]["transcript"])
        patch = {"set": {"folded": through}, "compact": {"through": through}}
        return {"output": {"turns": turns, "values": task["context"]["values"]}, "patch": patch}


KINDS = [Ask, Echo, Fail, Fold, Gate, Measure, Oversize, Return, Show, Spell, Stubborn, Tidy]

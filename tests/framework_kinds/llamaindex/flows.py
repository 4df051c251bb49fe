"""Workflows of LlamaIndex as their authors write them, and the kinds that run them. They log what runs to `steps.log`.

For an environment with the wheel and LlamaIndex, and a folder of its own: see `tests/test_llamaindex.py`.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from durable_sessions import TaskInput, TaskOutput, llamaindex
from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step
from temporalio import workflow
from temporalio.plugin import SimplePlugin

ANSWERS = {"What colour is a banana?": "yellow", "How big is the sun?": "1,400,000 kilometres across"}
NAP = 0.05
"""Seconds that an answer takes: with a step that awaits nothing the bug of the origin did not show."""


def log(what: str) -> None:
    """One line in one write, so that a killed worker leaves whole ones."""
    with Path("steps.log").open("a") as file:
        file.write(f"{os.getpid()} {what}\n")


class Colours(Workflow):
    @step
    async def answer(self, ev: StartEvent) -> StopEvent:
        await asyncio.sleep(NAP)
        return StopEvent(result=ANSWERS[ev.input])


class Guess(Event):
    text: str


class Fans(Workflow):
    """Asks three times, takes the first two answers and leaves the third in its buffer."""

    @step
    async def fan_out(self, ctx: Context, ev: StartEvent) -> Guess | None:
        for _ in range(3):
            ctx.send_event(Guess(text=ANSWERS[ev.input]))
        return None

    @step
    async def collect(self, ctx: Context, ev: Guess) -> StopEvent | None:
        await asyncio.sleep(NAP)
        found = ctx.collect_events(ev, [Guess, Guess])
        return StopEvent(result=found[0].text) if found else None


class Rude(Workflow):
    """Does not speak of bananas."""

    @step
    async def answer(self, ev: StartEvent) -> StopEvent:
        await asyncio.sleep(NAP)
        if "banana" in ev.input:
            raise LookupError("no bananas")
        return StopEvent(result=ANSWERS[ev.input])


class Slow(Workflow):
    """Is over its time with bananas."""

    @step
    async def answer(self, ev: StartEvent) -> StopEvent:
        await asyncio.sleep(60 if "banana" in ev.input else NAP)
        return StopEvent(result=ANSWERS[ev.input])


class Caches(Workflow):
    """Answers from its store what it has answered before, whatever the question was."""

    @step
    async def answer(self, ctx: Context, ev: StartEvent) -> StopEvent:
        if (known := await ctx.store.get("answer", default=None)) is None:
            await asyncio.sleep(NAP)
            known = ANSWERS[ev.input]
            await ctx.store.set("answer", known)
        return StopEvent(result=known)


FLOWS = {flow.__name__: llamaindex.flow(flow) for flow in (Colours, Fans, Rude, Caches)} | {
    "Slow": llamaindex.flow(lambda: Slow(timeout=0.5), name="Slow")
}


@workflow.defn(name="Flow", sandboxed=False, failure_exception_types=[Exception])
class FlowKind:
    """Runs the flow that its input names."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        given: dict[str, Any] = task.input
        return await FLOWS[given["flow"]].run(task.model_copy(update={"input": given["input"]}))


colours = FLOWS["Colours"]


@workflow.defn(name="Colours", sandboxed=False, failure_exception_types=[Exception])
class ColoursKind:
    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return await colours.run(task)


KINDS = SimplePlugin(
    "flows",
    workflows=[ColoursKind, FlowKind],
    activities=[activity for flow in FLOWS.values() for activity in flow.activities],
)

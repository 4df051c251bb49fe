"""Workflows of LlamaIndex as their authors write them, and the kinds that run them. They log what runs to `steps.log`.

For an environment with the wheel and LlamaIndex, and a folder of its own: see `tests/test_llamaindex.py`.
"""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from durable_sessions import TaskInput, TaskOutput, llamaindex
from llama_index.core.workflow import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from llama_index.core.workflow.retry_policy import ConstantDelayRetryPolicy
from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.plugin import SimplePlugin

ANSWERS = {"What colour is a banana?": "yellow", "How big is the sun?": "1,400,000 kilometres across"}
NAP = 0.05
"""Seconds that an answer takes: with a step that awaits nothing the bug of the origin did not show."""

SLOWNESS = float(os.environ.get("SESSIONS_TEST_SLOWNESS") or 1)
"""As in `tests/conformance/caller.py`, which is not here."""

WORK = 1.0 * SLOWNESS
"""Seconds that a step takes whose worker is to be killed meanwhile."""

THREE = 3


def log(what: str) -> None:
    """One line in one write, so that a killed worker leaves whole ones."""
    with Path("steps.log").open("a") as file:
        file.write(f"{os.getpid()} {what}\n")


def logged(what: str) -> int:
    """How often."""
    return Path("steps.log").read_text().count(what)


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


class Next(Event):
    number: int


class Three(Workflow):
    """Three steps, each of which writes before it works."""

    @step
    async def work(self, ctx: Context, ev: StartEvent | Next) -> Next | StopEvent:
        number = ev.number if isinstance(ev, Next) else 1
        log(f"begin {number}")
        async with ctx.store.edit_state() as state:
            state["done"] = [*state.get("done", []), number]
        await asyncio.sleep(WORK)
        log(f"end {number}")
        return Next(number=number + 1) if number < THREE else StopEvent(result=await ctx.store.get("done"))


class Branch(Event):
    name: str
    seconds: float


class Done(Event):
    name: str


class Branches(Workflow):
    """Three branches at once, of which each counts its runs: under a key of its own, before it works."""

    @step
    async def fan_out(self, ctx: Context, ev: StartEvent) -> Branch | None:
        for name, seconds in (("a", WORK), ("b", 4 * WORK), ("c", 4 * WORK)):
            ctx.send_event(Branch(name=name, seconds=seconds))
        return None

    @step(num_workers=THREE)
    async def branch(self, ctx: Context, ev: Branch) -> Done:
        log(f"begin {ev.name}")
        await self.count(ctx, ev.name)
        await asyncio.sleep(ev.seconds)
        log(f"end {ev.name}")
        return Done(name=ev.name)

    async def count(self, ctx: Context, name: str) -> None:
        async with ctx.store.edit_state() as state:
            state[name] = state.get(name, 0) + 1

    @step
    async def collect(self, ctx: Context, ev: Done) -> StopEvent | None:
        if ctx.collect_events(ev, [Done] * THREE) is None:
            return None
        return StopEvent(result=await self.counted(ctx))

    async def counted(self, ctx: Context) -> object:
        return {name: await ctx.store.get(name) for name in "abc"}


class OneList(Branches):
    """The branches write to one list; the one that ends first writes last."""

    async def count(self, ctx: Context, name: str) -> None:
        await asyncio.sleep(WORK / 2 if name == "a" else 0)
        async with ctx.store.edit_state() as state:
            state["runs"] = [*state.get("runs", []), name]

    async def counted(self, ctx: Context) -> object:
        return sorted(await ctx.store.get("runs"))


class Sends(Workflow):
    """A step sends an event to another one, and goes on for long."""

    @step
    async def send(self, ctx: Context, ev: StartEvent) -> Done | Branch:
        log("begin send")
        ctx.send_event(Branch(name="sent", seconds=0))
        await asyncio.sleep(4 * WORK)
        log("end send")
        return Done(name="sender")

    @step
    async def take(self, ctx: Context, ev: Branch) -> None:
        log("take")
        await ctx.store.set("taken", await ctx.store.get("taken", default=0) + 1)

    @step
    async def end(self, ctx: Context, ev: Done) -> StopEvent:
        return StopEvent(result=await ctx.store.get("taken"))


class Stays(Workflow):
    """Works until it is stopped."""

    @step
    async def work(self, ev: StartEvent) -> StopEvent:
        log("begin")
        try:
            await asyncio.sleep(3600)
        finally:
            log("stopped")
        return StopEvent(result=None)


class Leaves(Workflow):
    """Exits, in the event loop or in a thread."""

    @step
    async def work(self, ev: StartEvent) -> Next:
        if ev.input == "loop":
            raise SystemExit(3)
        return Next(number=1)

    @step
    def work_in_a_thread(self, ev: Next) -> StopEvent:
        raise SystemExit(4)


class Returns(Workflow):
    """Asks by an event that a step returns, and takes the answer in another step."""

    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent:
        return InputRequiredEvent(prefix="Who are you?", choices=["Ada", "Bob"])

    @step
    async def greet(self, ev: HumanResponseEvent) -> StopEvent:
        return StopEvent(result=f"hello {ev.response}")


class Waits(Workflow):
    @step
    async def greet(self, ctx: Context, ev: StartEvent) -> StopEvent:
        asking = InputRequiredEvent(prefix="Who are you?", choices=["Ada", "Bob"])
        said = await ctx.wait_for_event(HumanResponseEvent, waiter_event=asking)
        return StopEvent(result=f"hello {said.response}")


class Writes(Workflow):
    """Writes its question to the stream, as older guides have it."""

    @step
    async def greet(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(InputRequiredEvent(prefix="Who are you?", choices=["Ada", "Bob"]))
        said = await ctx.wait_for_event(HumanResponseEvent)
        return StopEvent(result=f"hello {said.response}")


class Approval(HumanResponseEvent):
    approved: bool
    reason: str = ""


class Approves(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        asking = InputRequiredEvent(message="Refund 42 euros?")
        said = await ctx.wait_for_event(Approval, waiter_event=asking, timeout=None)
        return StopEvent(result=f"{said.approved}: {said.reason}")


class Age(HumanResponseEvent):
    age: int


class Person(Event):
    name: str


class Known(Event):
    name: str
    age: int


class TwoAtOnce(Workflow):
    @step
    async def fan_out(self, ctx: Context, ev: StartEvent) -> Person | None:
        for name in ("Ada", "Bob"):
            ctx.send_event(Person(name=name))
        return None

    @step
    async def ask(self, ctx: Context, ev: Person) -> Known:
        asking = InputRequiredEvent(prefix=f"Age of {ev.name}?")
        said = await ctx.wait_for_event(Age, waiter_event=asking, waiter_id=ev.name, requirements={"of": ev.name})
        return Known(name=ev.name, age=said.age)

    @step
    async def collect(self, ctx: Context, ev: Known) -> StopEvent | None:
        known = ctx.collect_events(ev, [Known, Known])
        return StopEvent(result={person.name: person.age for person in known}) if known else None


class Impatient(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        try:
            await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent(prefix="Well?"), timeout=1)
        except TimeoutError:
            return StopEvent(result="nobody said anything")
        return StopEvent(result="somebody did")


class Stuck(Workflow):
    """Collects two guesses of which there is one."""

    @step
    async def guess(self, ev: StartEvent) -> Guess:
        return Guess(text="?")

    @step
    async def collect(self, ctx: Context, ev: Guess) -> StopEvent | None:
        return StopEvent(result=1) if ctx.collect_events(ev, [Guess, Guess]) else None


class LongAnswer(Workflow):
    """Takes its time over the answer."""

    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent:
        log("ask")
        return InputRequiredEvent(prefix="Who are you?")

    @step
    async def greet(self, ev: HumanResponseEvent) -> StopEvent:
        log(f"begin {ev.response}")
        await asyncio.sleep(WORK)
        log(f"end {ev.response}")
        return StopEvent(result=f"hello {ev.response}")


class Guests(Workflow):
    """Keeps what a guest likes in the session, and what it needs meanwhile to itself."""

    @step
    async def remember(self, ctx: Context, ev: StartEvent) -> StopEvent:
        if ev.dish == "cake":
            await ctx.store.clear()
        async with ctx.store.edit_state() as state:
            state["scratch"] = ev.dish
            state["dishes"] = [*state.get("dishes", []), ev.dish]
        return StopEvent(result=sorted(state))


class House(BaseModel):
    guest: str = "nobody"
    visits: int = 0


class Typed(Workflow):
    """Has a store with a type."""

    @step
    async def come(self, ctx: Context[House], ev: StartEvent) -> StopEvent:
        async with ctx.store.edit_state() as state:
            state.visits += 1
        return StopEvent(result=f"{state.guest} came")


class Order(StartEvent):
    dish: str
    guests: int = 1


class Takes(Workflow):
    """Has a start event with fields."""

    @step
    async def take(self, ev: Order) -> StopEvent:
        return StopEvent(result=f"{ev.dish} for {ev.guests}")


class Hoards(Workflow):
    """Keeps, hands on or returns what its input says."""

    @step
    async def work(self, ctx: Context, ev: StartEvent) -> Guess | StopEvent:
        if ev.input == "store":
            await ctx.store.set("text", "x" * 1_100_000)
        if ev.input == "object":
            return Guess(text="", thing=object())
        if ev.input == "kept":
            await ctx.store.set("kept", "x" * 300_000)
        results = {"result": "x" * 200_000, "no JSON": object(), "kept": None}
        return StopEvent(result=results[ev.input]) if ev.input in results else Guess(text="")

    @step
    async def end(self, ev: Guess) -> StopEvent:
        return StopEvent(result=ev.text)


class Sleeps(Workflow):
    """A step that is longer than the silence after which its worker counts as lost."""

    @step
    async def sleep(self, ev: StartEvent) -> StopEvent:
        log("begin sleep")
        await asyncio.sleep(9)
        return StopEvent(result="awake")


class Bill(StopEvent):
    total: int


class Bills(Workflow):
    """Ends by an event of its own."""

    @step
    async def bill(self, ev: StartEvent) -> Bill:
        return Bill(total=42)


class Flaky(Workflow):
    """Fails twice, which LlamaIndex sits out, and once more, which is Temporal's to mend."""

    @step
    async def begin(self, ev: StartEvent) -> Next:
        log("begin")
        return Next(number=1)

    @step(retry_policy=ConstantDelayRetryPolicy(delay=0.1, maximum_attempts=3))
    async def work(self, ev: Next) -> StopEvent:
        log("work")
        runs = logged("work")
        if runs < THREE:
            raise ConnectionError("not yet")
        if runs == THREE:
            raise ApplicationError("not here", type="NotHere")
        return StopEvent(result=runs)


ASKED = (Colours, Fans, Rude, Caches, Takes, Bills, Returns, Waits, Writes, Approves, TwoAtOnce, Impatient, Stuck)
WORKING = (Three, Flaky, Branches, OneList, Sends, Stays, Leaves, LongAnswer)
FLOWS = {
    "Guests": llamaindex.flow(Guests, keep=["dishes", "diet"]),
    "Typed": llamaindex.flow(Typed, keep=["guest", "visits"]),
    "Untyped": llamaindex.flow(Typed, name="Untyped", keep=["guests"]),
    "Hoards": llamaindex.flow(Hoards, keep=["kept"]),
    "Sleeps": llamaindex.flow(Sleeps, heartbeat=timedelta(seconds=2)),
    **{flow.__name__: llamaindex.flow(flow) for flow in ASKED},
    **{flow.__name__: llamaindex.flow(flow, heartbeat=timedelta(seconds=5)) for flow in WORKING},
    "Slow": llamaindex.flow(lambda: Slow(timeout=0.5 * SLOWNESS), name="Slow"),
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

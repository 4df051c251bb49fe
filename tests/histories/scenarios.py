"""What the recorded histories are of: every way a session can go, each in one short scenario.

A scenario ends when nothing is in flight any more: a history that breaks off inside a workflow task cannot be replayed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError

from starter.client import Session
from tests.deployments import make_current, version
from tests.harness import WAIT, Harness, ask, run_task, snapshot_when
from workflows.contract import ISOLATED, Compact, Config, ContextPolicy, InjectedContext, TaskInput, task_workflow_id

BANANA, SUN = "What colour is a banana?", "How big is the sun?"

Scenario = Callable[[Harness], Awaitable[None]]


async def conversation(harness: Harness) -> None:
    session = await harness.open(Config(owner="ada", title="Talk", labels={"of": "test"}), {"name": "Ada"})
    await ask(session, BANANA)
    await ask(session, "What did I ask first?")
    await ask(session, SUN, context=ISOLATED)
    await ask(session, "My dish is soup", context=ContextPolicy(read=["name"], transcript=1))
    await ask(session, {"text": "What is my dish?"}, labels={"l": "1"}, timeout=60.0)


async def failures(harness: Harness) -> None:
    session = await harness.open()
    await run_task(session, "named", kind="Raise")
    await run_task(session, "plain", kind="Raise")
    await run_task(session, None, kind="NoSuchKind")
    await run_task(session, "no output", kind="Return")
    await run_task(session, {"set": {"tea": 1}}, kind="Remember", context=ContextPolicy(write=False))
    await run_task(session, 200_000, kind="Repeat")
    await run_task(session, {"set": {"x": "x" * 300_000}}, kind="Remember")
    await run_task(session, None, kind="Hang", timeout=1.0)
    await run_task(session, None, task_queue="nobody-polls-this", timeout=1.0)
    await session.submit(None, kind="Hang", task_id="terminated")
    await _runs(session)
    await harness.temporal.get_workflow_handle(task_workflow_id(session.id, "terminated")).terminate("operator")
    await session.result("terminated", WAIT)
    await ask(session, BANANA)


async def cancels(harness: Harness) -> None:
    session = await harness.open(Config(cancel_grace=1.0))
    for kind in ("Hang", "Stubborn", "Countdown"):
        running = await session.submit(30, kind=kind)
        waiting = await session.submit(BANANA)
        await _runs(session)
        await session.cancel(waiting, "changed my mind")
        await session.cancel(running)
        await session.cancel(running)
        await session.result(running, WAIT)
    await session.cancel("never-sent")
    at_once = await session.submit(None, kind="Hang")
    await session.cancel(at_once)
    await session.result(at_once, WAIT)


async def busy(harness: Harness) -> None:
    session = await harness.open(Config(max_pending=2))
    for on_busy in ("reject", "replace_pending", "enqueue", "interrupt"):
        hanging = await session.submit(None, kind="Hang")
        await _runs(session)
        queued = await session.submit(BANANA)
        late = await session.submit(SUN, on_busy=on_busy)
        await session.submit(SUN)
        await session.submit(SUN)
        if on_busy != "interrupt":
            await session.cancel(hanging)
        for task_id in (hanging, queued, late):
            await session.result(task_id, WAIT)
        await _rests(session)


async def delays(harness: Harness) -> None:
    session = await harness.open()
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    delayed = await session.submit(BANANA, not_before=soon)
    expires = await session.submit(BANANA, not_before=soon + timedelta(days=1), expires_at=soon)
    await session.submit(BANANA, task_id="next-year", not_before=soon + timedelta(days=365))
    await ask(session, SUN)
    for task_id in (delayed, expires):
        await session.result(task_id, WAIT)


async def pauses(harness: Harness) -> None:
    session = await harness.open(Config(on_failure="pause"))
    await session.pause()
    task_id = await session.submit(BANANA)
    await session.resume()
    await session.result(task_id, WAIT)
    await run_task(session, "named", kind="Raise")
    await session.submit(BANANA)
    await snapshot_when(session, lambda s: s.status == "paused" and bool(s.pending))


async def compactions(harness: Harness) -> None:
    summed = await harness.open(Config(compact=Compact(kind="Summarise", turns=2)))
    for number in range(4):
        await ask(summed, f"My number is {number}")
    await _rests(summed)
    await summed.rollback(3)
    await ask(summed, "What is my number?")
    await _rests(summed)
    for way in ("fails", "hangs", "returns nothing", "asks"):
        session = await harness.open(
            Config(compact=Compact(kind="Squeeze", turns=1), task_timeout=1.0, on_failure="pause"), {"way": way}
        )
        for _ in range(3):
            await run_task(session, None, kind="Note", timeout=60.0)
        await _rests(session)
    interrupted = await harness.open(Config(compact=Compact(kind="Squeeze", turns=1)), {"way": "hangs"})
    for _ in range(2):
        await run_task(interrupted, None, kind="Note")
    await _runs(interrupted)
    await run_task(interrupted, None, kind="Note", on_busy="interrupt")
    await _runs(interrupted)
    await interrupted.close("now")
    await interrupted.finished(WAIT)


async def closes(harness: Harness) -> None:
    for mode in ("drain", "discard", "now"):
        session = await harness.open()
        await session.submit(1, kind="Countdown")
        await session.submit(BANANA)
        await session.submit(BANANA, not_before=datetime.now(UTC) + timedelta(seconds=2))
        await _runs(session)
        await session.pause()
        await session.close("drain")
        await session.submit(BANANA)
        await session.close(mode)
        await session.finished(WAIT)
    idle, cancelled, forgotten = [await harness.open() for _ in range(3)]
    await idle.close(reason="done")
    await idle.finished(WAIT)
    await cancelled.submit(None, kind="Hang")
    await _runs(cancelled)
    await harness.temporal.get_workflow_handle(cancelled.id).cancel()
    await cancelled.finished(WAIT)
    await harness.temporal.get_workflow_handle(forgotten.id).terminate("operator")


async def idle_timeout(harness: Harness) -> None:
    session = await harness.open(Config(idle_timeout=1.0))
    await ask(session, BANANA)
    await session.submit(1, kind="Countdown")
    await session.finished(WAIT)


async def changes_from_outside(harness: Harness) -> None:
    session = await harness.open(context={"tea": 1})
    handle = harness.temporal.get_workflow_handle(session.id)
    await session.patch_context({"set": {"tea": 2}, "append": {"list": [1]}}, expected_version=0)
    await session.configure(task_timeout=60.0, title="Changed")
    task_id = await session.submit({"seconds": 1, "set": {"tea": "task"}}, kind="Slow")
    await _runs(session)
    await session.patch_context({"set": {"tea": "outside"}})
    await session.result(task_id, WAIT)
    await session.rollback(1)
    for _ in range(2):
        await handle.execute_update("patch_context", {"patch": {"unset": ["tea"]}, "request_id": "same"})
        await handle.execute_update("submit_task", {"task_id": "by-update", "input": BANANA})
    await session.result("by-update", WAIT)
    for name, body in (("rollback_context", {"version": 99}), ("submit_task", "text"), ("configure", {"owner": 1})):
        with contextlib.suppress(WorkflowUpdateFailedError):
            await handle.execute_update(name, body)


async def bad_messages(harness: Harness) -> None:
    session = await harness.open()
    handle = harness.temporal.get_workflow_handle(session.id)
    for body in (None, "text", {"task_id": "a/b", "input": 1}, {"task_id": "a", "input": 1, "colour": "red"}):
        await handle.signal("submit", body)
    await handle.signal("submit", args=[{"task_id": "a", "input": 1}, 2])
    await handle.signal("no_such_signal", {"any": "thing"})
    await handle.signal("pause", "argument")
    await session.submit(BANANA, task_id="same")
    await session.submit(BANANA, task_id="same")
    await session.submit(SUN, task_id="same")
    await session.submit("x" * 65_536)
    await session.result("same", WAIT)
    await snapshot_when(session, lambda s: s.counters.rejected > 7)


async def starts(harness: Harness) -> None:
    unfit: list[list[Any]] = [[{"config": {"max_pending": 0}}], ["text"], [{}, {}]]
    for number, arguments in enumerate(unfit):
        handle = await harness.temporal.start_workflow(
            "Session", args=arguments, id=f"{harness.queue}-{number}", task_queue=harness.queue
        )
        with contextlib.suppress(WorkflowFailureError):
            await handle.result()
    raw = await harness.temporal.start_workflow("Session", None, id=harness.queue, task_queue=harness.queue)
    await ask(harness.client.get(raw.id), BANANA)


async def forks(harness: Harness) -> None:
    source = await harness.open(context={"tea": 1})
    await ask(source, BANANA)
    await source.close()
    await source.finished(WAIT)
    start = {"context": {"own": True}, "fork_of": {"session_id": source.id, "version": 1}}
    fork = await harness.temporal.start_workflow("Session", start, id=f"{source.id}-f", task_queue=harness.queue)
    await ask(harness.client.get(fork.id), "What did I ask last?")
    start["fork_of"] = {"session_id": "nowhere"}
    lost = await harness.temporal.start_workflow("Session", start, id=f"{source.id}-l", task_queue=harness.queue)
    with contextlib.suppress(WorkflowFailureError):
        await lost.result()


async def questions(harness: Harness) -> None:
    session = await harness.open()
    for answers in (["perhaps", "yes", {"because": "it is Tuesday"}], ["no"]):
        task_id = await session.submit("deploy", kind="Approve")
        for answer in answers:
            await _asks(session)
            await session.respond(task_id, answer)
        await session.result(task_id, WAIT)
    await session.respond(task_id, "too late")
    await run_task(session, {"what": "deploy", "wait": 1}, kind="Approve")
    task_id = await session.submit("deploy", kind="Approve")
    await _asks(session)
    await session.cancel(task_id)
    await session.result(task_id, WAIT)
    await session.submit("deploy", kind="Approve")
    await _asks(session)


async def an_adopted_child(harness: Harness) -> None:
    """A task whose id somebody has taken before its session starts it."""
    session = await harness.open()
    given = TaskInput(
        session_id=session.id,
        task_id="there",
        input=BANANA,
        context=InjectedContext(version=0, write=True, values={}, transcript=[]),
    )
    child_id = task_workflow_id(session.id, "there")
    await harness.temporal.start_workflow("Answer", given, id=child_id, task_queue=harness.queue)
    await run_task(session, BANANA, task_id="there")


async def no_search_attributes(harness: Harness) -> None:
    """On a worker that could not register them."""
    apart = Harness(harness.temporal, f"{harness.queue}-apart")
    async with apart.worker(search_attributes=False):
        await ask(await apart.open(), BANANA)


async def a_backlog(harness: Harness) -> None:
    """More messages at once than one workflow task takes."""
    apart = Harness(harness.temporal, f"{harness.queue}-apart")
    session = await apart.open()
    for _ in range(12):
        await asyncio.gather(*(session.resume() for _ in range(50)))
    task_id = await session.submit(BANANA)
    async with apart.worker():
        await snapshot_when(session, lambda s: s.counters.submitted == 1)
        await session.result(task_id, WAIT)


async def another_version(harness: Harness) -> None:
    """From one version of the worker to another, with a task that goes on."""
    apart = Harness(harness.temporal, f"{harness.queue}-apart")
    async with apart.worker(deployment_config=version("1")), apart.worker(deployment_config=version("2")):
        await make_current(harness.temporal, "1")
        session = await apart.open()
        await ask(session, BANANA)
        task_id = await session.submit("deploy", kind="Approve")
        await _asks(session)
        await make_current(harness.temporal, "2")
        await session.configure()
        await session.respond(task_id, "no")
        await session.result(task_id, WAIT)
        await ask(session, SUN)


async def hand_overs_between_tasks(harness: Harness) -> None:
    session = await harness.open(Config(idle_timeout=3600.0), {"kept": True})
    for number in range(12):
        await ask(session, f"My dish is number {number}")
    await session.submit(SUN, task_id="later", not_before=datetime.now(UTC) + timedelta(days=365))
    await session.pause()
    await _hands_over(session)
    await _hands_over(session)


async def hand_overs_with_a_task(harness: Harness) -> None:
    session = await harness.open(Config(cancel_grace=1.0))
    task_id = await session.submit("deploy", kind="Approve")
    await _asks(session)
    await _hands_over(session)
    await _hands_over(session)
    await session.respond(task_id, "no")
    await session.result(task_id, WAIT)
    for kind in ("Hang", "Stubborn"):
        task_id = await session.submit(None, kind=kind)
        await _runs(session)
        await _hands_over(session)
        await session.cancel(task_id, "enough")
        await session.result(task_id, WAIT)
    task_id = await session.submit({"seconds": 2, "set": {"tea": "task"}}, kind="Slow")
    await _runs(session)
    await _hands_over(session)
    await session.result(task_id, WAIT)
    await session.close()
    await session.finished(WAIT)


async def rests(harness: Harness) -> None:
    """A run long enough to be handed over once its session has nothing to do for a while."""
    session = await harness.open(Config(idle_timeout=3600.0))
    for number in range(17):
        await run_task(session, {"set": {"number": number}}, kind="Remember")
    handle = harness.temporal.get_workflow_handle(session.id)
    run_id = (await handle.describe()).run_id
    async with asyncio.timeout(WAIT):
        while run_id == (await handle.describe()).run_id:  # noqa: ASYNC110 (the server has no event)
            await asyncio.sleep(0.1)
    await ask(session, BANANA)


SCENARIOS: list[Scenario] = [
    a_backlog,
    an_adopted_child,
    another_version,
    bad_messages,
    busy,
    cancels,
    changes_from_outside,
    closes,
    compactions,
    conversation,
    delays,
    failures,
    forks,
    idle_timeout,
    no_search_attributes,
    pauses,
    questions,
    rests,
    starts,
]
SHORT_RUNS: list[Scenario] = [hand_overs_between_tasks, hand_overs_with_a_task]
"""Those that need a server which suggests continue-as-new early."""


async def _runs(session: Session) -> None:
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)


async def _rests(session: Session) -> None:
    await snapshot_when(session, lambda s: s.status == "idle")


async def _asks(session: Session) -> None:
    await snapshot_when(session, lambda s: s.running is not None and s.running.waiting_for is not None)


async def _hands_over(session: Session) -> None:
    """Send messages that change nothing until the session has continued as new."""
    handle = session.temporal.get_workflow_handle(session.id)
    run_id = (await handle.describe()).run_id
    async with asyncio.timeout(WAIT):
        while run_id == (await handle.describe()).run_id:
            await asyncio.gather(*(session.cancel("nobody") for _ in range(10)))
            await session.snapshot()

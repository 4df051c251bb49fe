"""SessionClient: what a program meets that opens, waits, comes too late or asks for what is not there."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from math import ceil
from types import MappingProxyType
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from starter.client import Session, SessionClient
from starter.client.calls import UNANSWERED, NoWorkerError, SessionCalls, _HandedOver
from starter.client.connection import NoServerError
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, ask, run_task, snapshot_when, timeless
from tests.servers import NO_LISTS
from workflows.contract import (
    Config,
    ContextPatch,
    ContextPolicy,
    InjectedContext,
    TaskInput,
    task_workflow_id,
)
from workflows.wire.errors import SessionError


@pytest.mark.rare
async def test_fifty_callers_wait_in_one_session(harness: Harness) -> None:
    """More than the ten in-flight updates a workflow may have: waiting holds none."""
    session = await harness.open(Config(default_kind="Show"))
    answers = await asyncio.gather(*(ask(session, number) for number in range(50)))
    assert list(range(50)) == [answer["input"] for answer in answers]


async def test_a_result_asked_for_again_later_is_the_same_record(harness: Harness) -> None:
    session = await harness.open()
    first = await run_task(session, "What colour is a banana?", task_id="kept", labels={"from": "test"})
    assert first.labels == {"from": "test"}
    assert first == await harness.client.get(session.id).result("kept", WAIT)
    await session.close()
    await session.finished(WAIT)
    assert timeless(first) == timeless(await session.result("kept", WAIT))


async def test_a_caller_does_not_sleep_over_the_end_of_a_task_that_waited_its_turn(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starter.client.session.LONGEST_LOOK", WAIT)
    monkeypatch.setattr("starter.client.session.FIRST_LOOK", 0.05)
    session = await harness.open(Config(default_kind="Countdown"))
    seconds = ceil(2 * SLOWNESS)
    await session.submit(seconds)
    record = await session.result(await session.submit(seconds), WAIT)
    assert record.finished_at
    # The looks before were, for two seconds, 1.6 and 3.2 s apart.
    assert datetime.now(UTC) - record.finished_at < timedelta(seconds=seconds)


async def test_an_output_the_session_has_no_room_for_is_read_from_the_task(harness: Harness) -> None:
    session = await harness.open(Config(default_kind="Repeat", transcript=0))
    policy = ContextPolicy(write=False)
    first = await run_task(session, 100_000, context=policy)
    await run_task(session, 100_000, context=policy)
    record = await session.task(first.task_id)
    assert record
    assert (record.output, record.truncated) == (None, True)
    assert first.output == (await session.result(first.task_id, WAIT)).output


async def test_an_answer_that_the_session_has_forgotten_still_says_that_it_is_not_whole(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.wire.limits.RECORDS", 1)
    session = await harness.open(Config(default_kind="Return"))
    first = await run_task(session, {"output": "so far", "finish_reason": "length"})
    await run_task(session, {"output": "all"})
    forgotten = await session.task(first.task_id)
    assert forgotten
    assert ("", None, None) == (forgotten.kind, forgotten.output, forgotten.finish_reason)
    record = await session.result(first.task_id, WAIT)
    assert ("so far", "length") == (record.output, record.finish_reason)


async def test_opening_an_open_session_joins_it_and_a_closed_one_is_refused(harness: Harness) -> None:
    session = await harness.open(Config(title="first"))
    joined = await harness.client.open(session.id, Config(title="second"))
    assert (await joined.snapshot()).config.title == "first"
    await session.close("now")
    await session.finished(WAIT)
    for late in (harness.client.open(session.id), session.submit("too late"), session.close()):
        with pytest.raises(SessionError) as refusal:
            await late
        assert refusal.value.type == "SessionClosed"


async def test_a_session_a_task_and_a_version_that_are_not_there_have_named_errors(harness: Harness) -> None:
    nowhere = harness.client.get("never-opened")
    session = await harness.open()
    for missing, error in (
        (nowhere.submit("hello"), "SessionNotFound"),
        (nowhere.snapshot(), "SessionNotFound"),
        (session.result("never-sent"), "UnknownTask"),
        (session.context(7), "UnknownVersion"),
    ):
        with pytest.raises(SessionError) as refusal:
            await missing
        assert error == refusal.value.type
    assert None is await session.task("never-sent")


@pytest.mark.parametrize("session_id", ["", "-x", "a/b", "a b", "ä", "x" * 129, "x\n"])
async def test_a_bad_id_is_refused_before_anything_is_sent(harness: Harness, session_id: str) -> None:
    with pytest.raises(SessionError, match="InvalidRequest"):
        await harness.client.open(session_id)


async def test_options_that_do_not_fit_are_refused_before_anything_is_sent(harness: Harness) -> None:
    session = await harness.open()
    for options in ({"timeout": 0}, {"kind": ""}, {"colour": "red"}, {"not_before": "tomorrow"}):
        with pytest.raises(SessionError, match="InvalidRequest"):
            await session.submit("hello", **options)
    assert (await session.snapshot()).counters.rejected == 0


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
NO_JSON = [object(), {1, 2}, b"tea", {1: "tea"}, float("nan"), 10**5_000, datetime.now(UTC), ENDLESS, ContextPolicy]


@pytest.mark.parametrize("value", NO_JSON, ids=lambda value: type(value).__name__)
async def test_what_is_no_json_is_refused_before_anything_is_sent_by_every_verb(temporal: Client, value: Any) -> None:
    """No worker runs: what is sent has no answer."""
    harness, new = Harness(temporal), f"new-{uuid.uuid4().hex[:8]}"
    session = await harness.open()
    before = (await session.temporal.get_workflow_handle(session.id).describe()).history_length
    for refused in (
        session.submit({"tea": [value]}),
        session.ask(value),
        session.respond("a", value),
        session.patch_context({"set": {"tea": value}}),
        session.patch_context(ContextPatch(set={"tea": (value,)})),
        session.patch_context(value),
        session.configure(title=value),
        session.rollback(value),
        session.context(value),
        session.task(value),
        session.cancel(value),
        harness.client.open(new, context={"tea": value}),
        harness.client.open(new, config={"title": value}),
        harness.client.open(new, context=value),
    ):
        with pytest.raises(SessionError) as refusal:
            await refused
        assert "InvalidRequest" == refusal.value.type
    assert before == (await session.temporal.get_workflow_handle(session.id).describe()).history_length
    with pytest.raises(SessionError, match="SessionNotFound"):
        await harness.client.get(new).snapshot()


async def test_what_json_has_a_form_for_is_sent_in_that_form(harness: Harness) -> None:
    session = await harness.open(Config(default_kind="Show"))
    half, whole = "half \ud83d", "half \ufffd"
    given = {"tuple": (1, half), "model": ContextPolicy(read=[half]), half: MappingProxyType({})}
    model = {"read": [whole], "transcript": None, "write": None}
    assert {"tuple": [1, whole], "model": model, whole: {}} == (await ask(session, given))["input"]


async def test_a_message_larger_than_any_session_reads_is_refused_before_it_is_sent(harness: Harness) -> None:
    """The server takes no 3 MiB, and says so in its own words."""
    session = await harness.open()
    for refused in (session.submit("x" * 3_000_000), session.patch_context({"set": {"tea": "x" * 3_000_000}})):
        with pytest.raises(SessionError, match="InputTooLarge"):
            await refused


async def test_a_refused_task_shows_in_its_record(harness: Harness) -> None:
    session = await harness.open()
    record = await run_task(session, "x" * 65_536, task_id="heavy")
    assert record.error
    assert (record.status, record.error.type) == ("rejected", "InputTooLarge")
    assert (await run_task(session, "What colour is a banana?", task_id="heavy")).status == "completed"


async def test_waiting_ends_after_the_time_given_and_the_task_goes_on(harness: Harness) -> None:
    session = await harness.open()
    task_id = await session.submit(2, kind="Countdown")
    with pytest.raises(TimeoutError):
        await session.result(task_id, wait=0.3)
    async with asyncio.timeout(WAIT / 2):
        with pytest.raises(TimeoutError):
            await session.finished(wait=0.3)
    assert (await session.result(task_id, WAIT)).output == 0


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_sessions_are_listed_newest_first(harness: Harness) -> None:
    opened = [(await harness.open()).id for _ in range(3)]
    async with asyncio.timeout(WAIT):
        while opened[::-1] != [s.session_id async for s in harness.client.list(limit=3)]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # the server writes its list a moment after the start


async def test_a_session_ended_from_outside_has_a_named_error(harness: Harness) -> None:
    session = await harness.open()
    await harness.temporal.get_workflow_handle(session.id).terminate("operator")
    with pytest.raises(SessionError, match="SessionClosed"):
        await session.finished(WAIT)


async def _waiters(session: Session, *task_ids: str) -> list[Any]:
    """What those hear who wait for the tasks, in a few seconds."""
    waiting = (session.result(task_id, WAIT / 2) for task_id in task_ids)
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_nobody_waits_for_the_tasks_of_a_terminated_session(harness: Harness) -> None:
    session = await harness.open(Config(default_kind="Show"))
    done = await run_task(session, 1, task_id="done")
    await session.submit(None, kind="Hang", task_id="runs")
    await session.submit(1, task_id="waits")
    asked = asyncio.create_task(ask(session, "?"))
    running = await snapshot_when(session, lambda s: bool(s.running and s.running.run_id and len(s.pending) == 2))
    early = asyncio.create_task(_waiters(session, "runs", "waits"))
    await asyncio.sleep(0.5)
    await harness.temporal.get_workflow_handle(session.id).terminate(reason="operator")
    for heard in (await early, await _waiters(session, "runs", "waits")):
        assert [f"SessionClosed: session {session.id!r} was terminated: operator; "] * 2 == [
            str(error)[: str(error).index(";") + 2] for error in heard
        ]
        assert f"task 'runs' still runs, as the workflow '{session.id}/runs'" in heard[0].message
        assert "task 'waits' had not started" in heard[1].message
    with pytest.raises(SessionError, match=r"SessionClosed: .* was terminated: operator"):
        await asked
    assert [done] == await _waiters(session, "done")
    (unknown,) = await _waiters(session, "never-sent")
    assert "UnknownTask" == unknown.type
    snapshot = await session.snapshot()
    assert "terminated" == snapshot.status
    assert timeless(running) == timeless(snapshot.model_copy(update={"status": running.status}))
    late = (session.submit(1), session.patch_context({}), session.close(), harness.client.open(session.id))
    for refusal in await asyncio.gather(*late, return_exceptions=True):
        assert f"SessionClosed: session {session.id!r} was terminated: operator" == str(refusal)
    await harness.temporal.get_workflow_handle(task_workflow_id(session.id, "runs")).terminate()


async def test_a_task_that_outlives_its_terminated_session_has_its_own_end(harness: Harness) -> None:
    ends = []
    for task in (
        {"kind": "Slow", "task_input": {"seconds": 1, "set": {"tea": 1}}},
        {"kind": "Late", "task_input": "raise"},
        {"kind": "Late", "task_input": "unfit"},
        {"kind": "Late", "task_input": {"output": "so far", "usage": {"tokens": 1}, "finish_reason": "length"}},
    ):
        session = await harness.open()
        await session.submit(task_id="t", **task)
        await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
        await harness.temporal.get_workflow_handle(session.id).terminate()
        child = harness.temporal.get_workflow_handle(task_workflow_id(session.id, "t"))
        with contextlib.suppress(WorkflowFailureError):
            await child.result()
        (record,) = await _waiters(session, "t")
        assert record.finished_at
        ends.append((record.status, record.output, record.error and record.error.type, record.context_version.after))
    assert [("completed", "remembered", None, None), ("failed", None, "OutOfTea", None)] == ends[:2]
    assert ("failed", None, "InvalidOutput", None) == ends[2]
    assert ("completed", "so far", {"tokens": 1}, "length") == (
        record.status,
        record.output,
        record.usage,
        record.finish_reason,
    )


async def test_a_question_of_a_task_that_outlives_its_terminated_session_is_over_with_it(harness: Harness) -> None:
    session = await harness.open()
    await session.submit("tea", task_id="t", kind="Approve")
    await snapshot_when(session, lambda s: s.status == "waiting")
    await harness.temporal.get_workflow_handle(session.id).terminate()
    await harness.temporal.get_workflow_handle(task_workflow_id(session.id, "t")).terminate()
    (record,) = await _waiters(session, "t")
    assert ("failed", "TaskTerminated", None) == (record.status, record.error.type, record.waiting_for)


async def test_a_session_that_temporal_has_cancelled_is_told_as_what_it_is(harness: Harness) -> None:
    """Ours close instead; one of another implementation, or of older code, may not."""
    session = harness.client.get(f"session-{uuid.uuid4().hex[:12]}")
    context = InjectedContext(version=0, write=True, values={}, transcript=[])
    task = TaskInput(session_id="s", task_id="t", input=None, context=context)
    handle = await harness.temporal.start_workflow("Hang", task, id=session.id, task_queue=harness.queue)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    with pytest.raises(SessionError, match=r"SessionClosed: .* was cancelled"):
        await session.submit(1)


@pytest.mark.parametrize(("start", "end"), [("unfit", "failed"), (None, "timed_out")])
async def test_a_session_that_failed_or_timed_out_is_told_as_what_it_is(
    harness: Harness, start: str | None, end: str
) -> None:
    timeout = timedelta(seconds=1) if end == "timed_out" else None
    session_id = f"session-{uuid.uuid4().hex[:12]}"
    handle = await harness.temporal.start_workflow(
        "Session", start, id=session_id, task_queue=harness.queue, execution_timeout=timeout
    )
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    session = harness.client.get(session_id)
    assert end == (await session.snapshot()).status
    with pytest.raises(SessionError, match=r"SessionClosed: .* has (failed: InvalidRequest|timed out)"):
        await session.submit(1)
    (heard,) = await _waiters(session, "t")
    assert "UnknownTask" == heard.type


async def test_a_terminated_session_is_told_without_a_worker(temporal: Client) -> None:
    harness = Harness(temporal)
    session = await harness.open()
    await session.submit(1, task_id="t")
    await temporal.get_workflow_handle(session.id).terminate(reason="operator")
    (heard,) = await _waiters(session, "t")
    assert f"SessionClosed: session {session.id!r} was terminated: operator" == str(heard)


async def test_an_update_without_a_worker_is_given_up(temporal: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("starter.client.calls.UPDATE_SECONDS", 1.0)
    session = await Harness(temporal).open()
    with pytest.raises(NoWorkerError):
        await session.patch_context({"set": {"tea": 1}})


@pytest.mark.parametrize("kind", sorted(UNANSWERED))
async def test_an_update_that_nobody_refused_is_sent_again(temporal: Client, kind: str) -> None:
    """Which of these a race brings is the server's choice; chaos runs meet them all."""

    async def call() -> None:
        raise WorkflowUpdateFailedError(ApplicationError("its run is over", type=kind))

    with pytest.raises(_HandedOver):
        await SessionCalls(temporal, "s").calling(call())


@pytest.mark.parametrize(
    "failure",
    [
        NoWorkerError("no worker"),
        RPCError("transport error", RPCStatusCode.UNAVAILABLE, b""),
        RPCError("Current and request branch tokens don't match.", RPCStatusCode.INVALID_ARGUMENT, b""),
    ],
    ids=str,
)
async def test_a_caller_who_waits_sits_it_out(temporal: Client, failure: Exception) -> None:
    """The last was seen once, of a server under load."""
    failures = [failure]

    async def call() -> str:
        if failures:
            raise failures.pop()
        return "yellow"

    assert "yellow" == await SessionCalls(temporal, "s").patiently(call, 0.01)


async def test_a_caller_who_waits_for_the_end_of_a_session_sits_it_out(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starter.client.session.LONGEST_LOOK", 0.01)
    session = await harness.open()
    await session.close()
    failures, calling = [RPCError("transport error", RPCStatusCode.UNAVAILABLE, b"")], SessionCalls.calling

    async def once_away(calls: SessionCalls, call: Awaitable[object]) -> object:
        answer = await calling(calls, call)
        if failures:
            raise failures.pop()
        return answer

    monkeypatch.setattr(SessionCalls, "calling", once_away)
    assert "closed" == (await session.finished(WAIT)).status
    assert [] == failures


async def test_a_caller_who_waits_is_told_what_does_not_pass(temporal: Client) -> None:
    async def call() -> None:
        raise RPCError("bad query", RPCStatusCode.INVALID_ARGUMENT, b"")

    with pytest.raises(RPCError, match="bad query"):
        await SessionCalls(temporal, "s").patiently(call, 0.01)


async def test_without_a_worker_the_client_says_so_and_a_waiting_caller_waits(harness: Harness) -> None:
    unserved = Harness(harness.temporal)
    session = await unserved.open()
    with pytest.raises(NoWorkerError, match=r"python worker\.py"):
        await session.snapshot()
    waiting = asyncio.create_task(ask(session, "What colour is a banana?"))
    await asyncio.sleep(0.5)
    async with unserved.worker():
        assert "yellow" in await waiting


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:no-port", "127.0.0.1:1."])
async def test_a_refused_connection_names_the_way_to_a_server(address: str) -> None:
    with pytest.raises(NoServerError, match="`make dev` starts one"):
        await SessionClient.connect(address)


async def test_a_submission_that_is_waited_for_says_how_it_stands_and_why_it_is_refused(harness: Harness) -> None:
    session = await harness.open()
    taken = await session.submitted("x", task_id="one", kind="Hang")
    queued = await session.submitted("x", task_id="two", kind="Hang")
    assert ("one", "pending", 0) == (taken.task_id, taken.status, taken.position)
    assert ("two", "pending") == (queued.task_id, queued.status)
    assert "two" == (await session.submitted("x", task_id="two", kind="Hang")).task_id
    refusals: list[tuple[str, dict[str, Any], str]] = [
        ("two", {"kind": "Raise"}, "TaskIdConflict"),
        ("three", {"on_busy": "reject"}, "Busy"),
        ("no id", {}, "InvalidRequest"),
    ]
    for task_id, options, name in refusals:
        with pytest.raises(SessionError, match=f"^{name}: "):
            await session.submitted("x", task_id=task_id, **options)
    snapshot = await session.snapshot()
    assert (2, []) == (snapshot.counters.submitted, snapshot.rejected)
    await session.close("now")

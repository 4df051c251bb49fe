"""What a session promises of its tasks: own runs, own answers, order, and failures that stay inside."""

import asyncio
import json

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from starter.client import Session
from tests.harness import WAIT, Harness, ask, run_task, snapshot_when
from workflows.contract import ISOLATED, Config, task_workflow_id

BANANA, SUN = "What colour is a banana?", "How big is the sun?"


async def test_two_tasks_of_one_session_give_two_answers_from_two_runs(harness: Harness) -> None:
    session = await harness.open()
    banana, sun = await run_task(session, BANANA), await run_task(session, SUN)
    assert "yellow" in banana.output
    assert "yellow" not in sun.output
    assert "1.39 million km" in sun.output
    assert banana.run_id != sun.run_id
    for record in (banana, sun):
        child = await harness.temporal.get_workflow_handle(task_workflow_id(session.id, record.task_id)).describe()
        assert record.run_id == child.run_id


async def test_a_third_task_quotes_the_first_and_an_isolated_one_knows_nothing(harness: Harness) -> None:
    session = await harness.open()
    await ask(session, BANANA)
    await ask(session, SUN)
    assert await ask(session, "What did I ask first?") == 'You first asked: "What colour is a banana?"'
    isolated = await run_task(session, "Anything", kind="Show", context=ISOLATED)
    assert isolated.output["context"] == {"version": 3, "write": False, "values": {}, "transcript": []}
    assert "banana" not in await ask(session, "What did I ask first?", context=ISOLATED)


async def _raises(session: Session) -> None:
    assert (await run_task(session, BANANA, kind="Raise")).status == "failed"


async def _times_out(session: Session) -> None:
    assert (await run_task(session, BANANA, kind="Hang", timeout=1.0)).status == "timed_out"


async def _is_cancelled(session: Session) -> None:
    task_id = await session.submit(BANANA, kind="Hang")
    snapshot = await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    assert snapshot.running
    child = session.temporal.get_workflow_handle(task_workflow_id(session.id, task_id))
    await child.cancel()
    record = await session.result(task_id, WAIT)
    assert (record.status, record.error and record.error.type) == ("cancelled", "TaskCancelled")


async def _leaves_something(session: Session) -> None:
    assert (await run_task(session, {"set": {"answer": "yellow"}}, kind="Remember")).status == "completed"


async def _answers(session: Session) -> None:
    assert "yellow" in await ask(session, BANANA)


@pytest.mark.parametrize("first", [_answers, _raises, _times_out, _is_cancelled, _leaves_something])
async def test_the_second_task_answers_its_own_question_whatever_became_of_the_first(harness: Harness, first) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """The five everyday cases of the origin bug."""
    session = await harness.open()
    await first(session)
    banana, sun = await run_task(session, BANANA), await run_task(session, SUN)
    assert "yellow" in banana.output
    assert "1.39 million km" in sun.output
    assert banana.run_id != sun.run_id


@pytest.mark.parametrize(
    ("task_input", "options", "status", "error"),
    [
        ("named", {"kind": "Raise"}, "failed", ("OutOfTea", "out of tea")),
        ("missing", {"kind": "Raise"}, "failed", ("KeyError", "'tea'")),
        (
            "",
            {"kind": "Hang", "timeout": 1.0},
            "timed_out",
            ("TaskTimedOut", "the task did not end within its timeout"),
        ),
        ("", {"kind": "Nope"}, "failed", ("UnknownKind", "no kind 'Nope' on this worker")),
        (
            "",
            {"kind": "Answer"},
            "failed",
            ("InvalidRequest", 'input must be a question: a string or {"text": ...}, with "files" if there are any'),
        ),
        ("no output", {"kind": "Return"}, "failed", ("InvalidOutput", None)),
        ({"output": 1, "patch": {"put": 1}}, {"kind": "Return"}, "failed", ("InvalidOutput", None)),
        (131_072, {"kind": "Repeat"}, "failed", ("OutputTooLarge", None)),
        ({"output": 1, "patch": {}}, {"kind": "Return", "context": ISOLATED}, "failed", ("PatchNotAllowed", None)),
    ],
    ids=["named", "python", "hangs", "unknown", "bad-input", "no-output", "bad-patch", "too-large", "read-only"],
)
async def test_a_failure_is_the_tasks_own_record_and_the_next_task_runs(
    harness: Harness, task_input: object, options: dict[str, object], status: str, error: tuple[str, str | None]
) -> None:
    session = await harness.open()
    record = await run_task(session, task_input, **options)
    assert record.error
    assert (status, error[0], error[1] or record.error.message) == (
        record.status,
        record.error.type,
        record.error.message,
    )
    assert (record.context_version.before, record.context_version.after) == (0, None)
    assert "yellow" in await ask(session, BANANA)
    assert [turn.input for turn in (await session.context()).transcript] == [BANANA]


async def test_the_same_task_id_twice_is_one_task(harness: Harness) -> None:
    session = await harness.open()
    for _ in range(3):
        await session.submit(BANANA, task_id="once")
    first = await session.result("once", WAIT)
    await session.submit(BANANA, task_id="once", kind="Answer", on_busy="enqueue")
    assert first == await session.result("once", WAIT)
    await session.submit(SUN, task_id="once")
    assert first == await session.result("once", WAIT)
    snapshot = await session.snapshot()
    assert 1 == snapshot.counters.submitted == snapshot.counters.completed
    assert [entry.error.type for entry in snapshot.rejected] == ["TaskIdConflict"]


async def test_a_bug_of_the_kind_fails_its_task_at_once() -> None:
    """Every kind on our worker fails on any exception; without it a bug would be retried until the timeout."""
    from worker import KINDS  # noqa: PLC0415

    for kind in KINDS:
        assert [Exception] == list(kind.__temporal_workflow_definition.failure_exception_types), kind  # type: ignore[attr-defined]


async def test_every_workflow_task_may_replay_from_the_start(harness: Harness) -> None:
    """No state hides outside the history: with no cached workflows, each step replays the session."""
    replaying = Harness(harness.temporal)
    async with replaying.worker(max_cached_workflows=0):
        session = await replaying.open()
        answers = [await ask(session, question) for question in (BANANA, SUN, "What did I ask last?")]
        await session.close()
        final = await session.finished(WAIT)
    assert f'You last asked: "{SUN}"' == answers[2]
    assert (final.status, final.counters.completed) == ("closed", 3)
    await replaying.replay_all()


UNREADABLE = RawValue(Payload(metadata={"encoding": b"no/such"}, data=b"\x00"))
BROKEN = RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b"{not json"))


async def test_a_bad_start_fails_the_run_with_a_named_error(harness: Harness) -> None:
    bodies: list[object] = ["text", [], {"config": {"task_timeout": -1}}, {"surprise": 1}, UNREADABLE, BROKEN]
    starts: list[list[object]] = [*([body] for body in bodies), [{}, {}], [{}, UNREADABLE], [BROKEN, None, BROKEN]]
    for number, args in enumerate(starts):
        handle = await harness.temporal.start_workflow(
            "Session", args=args, id=f"{harness.queue}-{number}", task_queue=harness.queue
        )
        with pytest.raises(WorkflowFailureError) as failure:
            await asyncio.wait_for(handle.result(), WAIT)
        assert isinstance(failure.value.cause, ApplicationError)
        assert failure.value.cause.type == "InvalidRequest"


@pytest.mark.parametrize(
    ("session_id", "args"),
    [
        ("of/a-task", []),
        ("x" * 129, []),
        ("poser", [{"state": {"session_id": "another", "config": {}, "started_at": "2026-11-23T09:00:00Z"}}]),
    ],
    ids=["no id", "long id", "state"],
)
async def test_a_session_is_not_started_under_a_tasks_name_or_in_anothers_place(
    harness: Harness, session_id: str, args: list[object]
) -> None:
    handle = await harness.temporal.start_workflow("Session", args=args, id=session_id, task_queue=harness.queue)
    with pytest.raises(WorkflowFailureError) as failure:
        await asyncio.wait_for(handle.result(), WAIT)
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "InvalidRequest"


async def test_a_closed_session_drains_and_leaves_its_final_snapshot(harness: Harness) -> None:
    session = await harness.open(Config(title="to be closed"))
    tasks = [await session.submit(question) for question in (BANANA, SUN)]
    await session.close()
    final = await session.finished(WAIT)
    assert ("closed", "to be closed", tasks) == (
        final.status,
        final.config.title,
        [record.task_id for record in final.recent],
    )
    assert "yellow" in (await session.result(tasks[0], WAIT)).output
    description = await harness.temporal.get_workflow_handle(session.id).describe()
    assert description.status == WorkflowExecutionStatus.COMPLETED


async def test_a_message_that_does_not_fit_is_kept_and_wedges_nothing(harness: Harness) -> None:
    session = await harness.open()
    handle = harness.temporal.get_workflow_handle(session.id)
    messages: list[tuple[str, list[object]]] = [
        ("submit", []),
        ("submit", [1, 2, 3]),
        ("submit", [BROKEN]),
        ("submit", [UNREADABLE, BROKEN]),
        ("submit", [{"task_id": "late", "input": 1, "colour": "red"}]),
        ("submit", [{"task_id": "bad id", "input": 1}]),
        ("submit", [{"task_id": "naive", "input": 1, "not_before": "2026-11-23T09:00:00"}]),
        ("submit", [{"task_id": "deep", "input": json.loads("[" * 120 + "]" * 120)}]),
        ("close", [{"mode": "sometime"}]),
        ("no_such_signal", [{"a": 1}]),
    ]
    for name, args in messages:
        await handle.signal(name, args=args)
    assert "yellow" in await ask(session, BANANA)
    rejected = (await session.snapshot()).rejected
    assert [name for name, _ in messages] == [entry.message for entry in rejected]
    assert {"InvalidRequest"} == {entry.error.type for entry in rejected}
    record = await session.task("deep")
    assert record
    assert "rejected" == record.status

"""Reading what a task says while it says it: places, parts, and streams on a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from temporalio import activity, workflow
from temporalio.client import WorkflowHandle

from activities.models.offline import OfflineModel
from starter.client import Session, streaming
from starter.client.calls import NoWorkerError
from starter.client.connection import connect
from starter.client.sessions import SessionClient
from starter.gateway import asking
from tests.harness import WAIT, Harness
from tests.kinds import TEST_KINDS
from tests.samples import NOW, request
from tests.servers import Server
from worker import KINDS, build_worker
from workflows.contract import Config, TaskEvent, TaskInput, TaskOutput, TaskRecord
from workflows.kinds.waiting import ask_person
from workflows.state.session_state import SessionState
from workflows.wire import limits
from workflows.wire.errors import SessionError
from workflows.wire.streaming import FROM_RECORD, Place, StreamDetails, StreamPart, news

TEXT = "Ripe 🍌\r\nare **yellow**, 文字 and e\u0301 too.\n\n| a | b |\n|---|---|\n"

_steps: dict[str, asyncio.Queue[Any]] = {}
"""What an activity is to tell next, by the id of its session: the test says it."""


def details(parts: list[Any], attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {**more, "stream": {"attempt": attempt, "every": 0.25, "parts": parts}}


@activity.defn
async def tell(session_id: str) -> Any:
    """Beats what the test says, and returns or raises what it says last."""
    while isinstance(step := await _steps[session_id].get(), dict):
        activity.heartbeat(step)
    if step is None:
        raise RuntimeError("lost")
    return step[0]


@workflow.defn(name="Tell", sandboxed=False, failure_exception_types=[Exception])
class TellWorkflow:
    """Lets the test say what it tells; asks a person first, or last, where its input says so."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        if task.input == "ask":
            await ask_person(task, "Really?")
        output = await workflow.execute_activity(
            tell,
            task.session_id,
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=timedelta(seconds=60),
            summary=str(task.stream),
        )
        if task.input == "ask last":
            await ask_person(task, "Really?")
        return TaskOutput(output=output)


@pytest.fixture
async def telling(elsewhere: Harness) -> AsyncIterator[Harness]:
    """Sessions whose tasks tell what the test says."""
    kinds, quick = [*KINDS, *TEST_KINDS, TellWorkflow], timedelta(milliseconds=20)
    async with build_worker(
        elsewhere.temporal,
        OfflineModel(),
        queue=elsewhere.queue,
        kinds=kinds,
        activities=[tell],
        max_heartbeat_throttle_interval=quick,
    ):
        yield elsewhere


async def started(harness: Harness, task_input: Any = "tell") -> tuple[Session, asyncio.Queue[Any]]:
    session = await harness.open(Config(default_kind="Tell", stream=True))
    steps = _steps[session.id] = asyncio.Queue()
    await session.submit(task_input, task_id="t")
    return session, steps


async def until(events: AsyncIterator[TaskEvent], found: Callable[[TaskEvent], object]) -> list[TaskEvent]:
    """The events up to the first one that is looked for."""
    seen = []
    async with asyncio.timeout(WAIT):
        async for event in events:
            seen.append(event)
            if found(event):
                return seen
    raise AssertionError(f"the stream ended before, with {seen}")


def told(events: Sequence[TaskEvent]) -> list[tuple[str, Any, str]]:
    """What was said, without what depends on the moment of a look."""
    return [(e.type, e.text or e.data, e.cursor) for e in events if e.type not in {"status", "ended"}]


def text_said(events: Sequence[TaskEvent]) -> str:
    """The texts since the last time that all began anew."""
    texts: list[str] = []
    for event in events:
        texts = [] if event.type == "restarted" else [*texts, event.text or ""]
    return "".join(texts)


def ended(event: TaskEvent) -> bool:
    return event.type == "ended"


@pytest.mark.parametrize(
    "cursor", ["", "1", "1.", ".1", "1.-1", "01.1", "1.2.3", "a.b", "1.1 ", "1.\u0661", 17 * "9" + ".1"]
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(SessionError, match="InvalidRequest"):
        Place.of(cursor)


PARTS = st.lists(st.text(min_size=1) | st.just(StreamPart(type="tool_call", data={"n": 1})))


def _units(pieces: Sequence[str | StreamPart]) -> list[str | StreamPart]:
    return [unit for piece in pieces for unit in (piece if isinstance(piece, str) else [piece])]


@given(PARTS, st.integers(0, 40))
@example(["a", StreamPart(type="tool_call", data=None), "b"], 2)
def test_reading_on_from_any_place_leaves_no_gap_and_no_double(parts: list[str | StreamPart], position: int) -> None:
    units, found = _units(parts), list(news(parts, position))
    assert units[position:] == _units([part for part, _ in found])
    assert not found or len(units) == found[-1][1]


def test_a_task_streams_where_its_request_or_else_the_session_says_so() -> None:
    for said, config, expected in [(None, False, False), (None, True, True), (True, False, True), (False, True, False)]:
        state = SessionState(session_id="s", config=Config(stream=config), started_at=NOW)
        state.submit(request(stream=said), NOW)
        task = state.pending.next_due(NOW)
        assert task
        assert expected is state.start(task, NOW).stream


def test_a_task_that_streams_is_another_one_than_the_same_that_does_not() -> None:
    state = SessionState(session_id="s", config=Config(), started_at=NOW)
    state.submit(request(), NOW)
    state.submit(request(stream=False), NOW)
    with pytest.raises(SessionError, match="TaskIdConflict"):
        state.submit(request(stream=True), NOW)


async def test_all_that_a_task_says_comes_in_its_order_with_the_place_behind_it(telling: Harness) -> None:
    session, steps = await started(telling)
    events = session.stream("t")
    await until(events, lambda e: e.data == {"status": "running"})
    steps.put_nowait(details(["Let me "]))
    seen = await until(events, lambda e: e.text)
    steps.put_nowait(details(["Let me see. ", {"type": "tool_call", "data": {"name": "look"}}, "Yes"], done=1, total=2))
    seen += await until(events, lambda e: e.type == "progress")
    steps.put_nowait(["Let me see. Yes: 🍌"])
    seen += await until(events, ended)
    assert [
        ("text", "Let me ", "1.7"),
        ("text", "see. ", "1.12"),
        ("tool_call", {"name": "look"}, "1.13"),
        ("text", "Yes", "1.16"),
        ("progress", {"done": 1, "total": 2, "note": None}, "1.16"),
        ("text", ": 🍌", "1.19"),
    ] == told(seen)
    assert seen[-1].record is not None
    assert ("completed", "Let me see. Yes: 🍌") == (seen[-1].record.status, seen[-1].record.output)


async def test_a_new_attempt_makes_void_what_was_shown(telling: Harness) -> None:
    session, steps = await started(telling)
    events = session.stream("t")
    steps.put_nowait(details(["The sky is gr"]))
    seen = await until(events, lambda e: e.text)
    steps.put_nowait(None)  # the attempt fails, and the server shows its words yet, as those of the next one
    steps.put_nowait(details(["The sky"], attempt=2))
    seen += await until(events, lambda e: e.type == "text")
    steps.put_nowait(["The sky is blue."])
    seen += await until(events, ended)
    assert [
        ("text", "The sky is gr", "1.13"),
        ("restarted", None, "2.0"),
        ("text", "The sky", "2.7"),
        ("text", " is blue.", "2.16"),
    ] == told(seen)


async def test_what_comes_after_a_cursor_of_an_older_attempt_begins_with_restarted(telling: Harness) -> None:
    session, steps = await started(telling)
    steps.put_nowait(details(["Again"], attempt=2))
    assert [("restarted", None, "2.0"), ("text", "Again", "2.5")] == told(
        await until(session.stream("t", after="1.900"), lambda e: e.text)
    )
    assert [("text", "Again", "2.5")] == told(await until(session.stream("t"), lambda e: e.text))
    behind = session.stream("t", after="2.2")
    seen = await until(behind, lambda e: e.text)
    steps.put_nowait(["Again."])
    assert [("text", "ain", "2.5"), ("text", ".", "2.6")] == told(seen + await until(behind, ended))


async def test_an_output_that_is_not_what_was_streamed_comes_whole_and_makes_that_void(telling: Harness) -> None:
    session, steps = await started(telling)
    events = session.stream("t")
    steps.put_nowait(details(["No idea"]))
    seen = await until(events, lambda e: e.text)
    steps.put_nowait(["Yellow."])
    seen += await until(events, ended)
    last = f"{FROM_RECORD}.7"
    assert [("text", "No idea", "1.7"), ("restarted", None, f"{FROM_RECORD}.0"), ("text", "Yellow.", last)] == told(
        seen
    )
    assert [] == told(await until(session.stream("t", after=last), ended))


@pytest.mark.parametrize(("output", "said"), [(TEXT, TEXT), ({"text": "Hi"}, "Hi"), ({"n": 1}, ""), ("", "")])
async def test_a_task_that_streams_nothing_says_all_at_its_end(telling: Harness, output: Any, said: str) -> None:
    session, steps = await started(telling)
    steps.put_nowait([output])
    events = await until(session.stream("t"), ended)
    assert said == text_said(events)
    assert [("text", said, f"{FROM_RECORD}.{len(said)}")] * bool(said) == told(events)
    assert told(events) == told(await until(session.stream("t"), ended))  # once it has ended, too
    assert [] == told(await until(session.stream("t", after=events[-1].cursor), ended))


async def test_a_task_that_fails_ends_with_its_record_and_no_more_text(telling: Harness) -> None:
    session, _ = await started(telling)
    await session.submit(None, task_id="wrong", kind="Raise")
    await session.cancel("t")
    for task_id, status in [("t", "cancelled"), ("wrong", "failed")]:
        events = await until(session.stream(task_id), ended)
        assert events[-1].record is not None
        assert status == events[-1].record.status
        assert [] == told(events)


async def test_a_question_comes_when_it_is_asked(telling: Harness) -> None:
    session, steps = await started(telling, "ask")
    events = session.stream("t")
    seen = await until(events, lambda e: e.type == "question")
    assert seen[-1].record is not None
    assert "Really?" == seen[-1].data["text"]
    await session.respond("t", "yes", seen[-1].data["id"])
    steps.put_nowait(["Good."])
    seen += await until(events, ended)
    assert 1 == sum(event.type == "question" for event in seen)


@pytest.mark.not_on_test_server("a workflow task of a burst failed there (invalid history builder state for action)")
async def test_a_question_that_waits_in_the_sessions_backlog_comes(
    telling: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task's history grows no more once it is asked, and the session is asked before the question is there."""
    monkeypatch.setattr(limits, "MESSAGES_AT_ONCE", 1)
    monkeypatch.setattr(streaming, "QUIET_ASK", 0.5)
    monkeypatch.setattr(streaming, "LONGEST_QUIET_ASK", 1.0)
    session, steps = await started(telling, "ask last")
    events = session.stream("t")
    steps.put_nowait(details(["Good"], done=1))
    await until(events, lambda e: e.type == "progress")
    handle = telling.temporal.get_workflow_handle(session.id)
    await asyncio.gather(*(handle.signal("noise", number) for number in range(8)))  # a second each: no timer is shorter
    steps.put_nowait(["Good."])
    seen = await until(events, lambda e: e.type == "question")
    assert "Really?" == seen[-1].data["text"]
    await session.close("now")


async def test_a_task_that_waits_for_its_turn_says_so_first(telling: Harness) -> None:
    session, steps = await started(telling)
    await session.submit("tell", task_id="later")
    events = session.stream("later")
    seen = await until(events, lambda e: e.type == "status")
    steps.put_nowait(["done"])
    seen += await until(events, lambda e: e.data == {"status": "running"})
    steps.put_nowait(["done"])
    seen += await until(events, ended)
    assert ["pending", "running"] == [e.data["status"] for e in seen if e.type == "status"]


async def test_an_end_that_the_session_knows_first_is_told_once(
    telling: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, result, ended_there = Session.task, Session.result, asyncio.Event()

    async def late(session: Session, task_id: str) -> TaskRecord | None:
        await result(session, task_id)
        record = await read(session, task_id)
        ended_there.set()
        return record

    async def later(session: Session, task_id: str) -> TaskRecord:
        await ended_there.wait()
        await asyncio.sleep(0.1)
        return await result(session, task_id)

    session, steps = await started(telling)
    monkeypatch.setattr(Session, "task", late)
    monkeypatch.setattr(Session, "result", later)
    events = session.stream("t")
    steps.put_nowait(details(["yes"]))
    seen = await until(events, lambda event: event.type == "text")
    steps.put_nowait(["yes"])
    seen += await until(events, ended)
    assert ended_there.is_set()
    assert ["text", "ended"] == [event.type for event in seen]


async def test_an_unknown_task_and_a_bad_cursor_have_named_errors(telling: Harness) -> None:
    session, _ = await started(telling)
    with pytest.raises(SessionError, match="UnknownTask"):
        await until(session.stream("never-sent"), ended)
    with pytest.raises(SessionError, match="InvalidRequest"):
        await until(session.stream("t", after="everything"), ended)
    await session.close("now")


async def test_a_gateways_stream_sits_out_that_no_worker_answers_when_a_task_begins_anew(
    telling: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> TaskRecord:
        raise NoWorkerError("a restart")

    session, steps = await started(telling)
    async with asyncio.timeout(WAIT):
        while (first := await session.task("t")) is None:  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.05)
    monkeypatch.setattr(asking, "present", away)
    events = asking.events_of(session, first)
    steps.put_nowait(details(["No"]))
    await until(events, lambda event: event.type == "text")
    steps.put_nowait(None)
    steps.put_nowait(details(["Ye"], attempt=2))
    await until(events, lambda event: event.type == "restarted")
    steps.put_nowait(["Yes"])
    assert "Yes" == text_said(await until(events, ended))


async def test_watchers_of_one_task_share_one_reader(telling: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    session, steps = await started(telling)
    looks = 0
    describe = WorkflowHandle.describe

    async def counted(handle: WorkflowHandle[Any, Any], **options: Any) -> Any:
        nonlocal looks
        looks += handle.id.endswith("/t")
        return await describe(handle, **options)

    monkeypatch.setattr(WorkflowHandle, "describe", counted)
    again = SessionClient(telling.temporal, telling.queue).get(session.id)
    watchers = [asyncio.create_task(until((session, again)[n % 2].stream("t"), ended)) for n in range(20)]
    begun = asyncio.get_running_loop().time()
    steps.put_nowait(details(["Yel"]))
    await asyncio.sleep(1)
    steps.put_nowait(["Yellow."])
    texts = [text_said(seen) for seen in await asyncio.gather(*watchers)]
    assert ["Yellow."] * 20 == texts
    assert looks < 20 + 15 * (
        asyncio.get_running_loop().time() - begun
    )  # of one reader; twenty would take 200 a second


async def test_another_process_goes_on_exactly_behind_a_cursor(telling: Harness, server: Server) -> None:
    """A connection of its own shares no reader."""
    session, steps = await started(telling)
    others = SessionClient(await connect(server.address), telling.queue).get(session.id)
    steps.put_nowait(details([TEXT[:20], {"type": "note", "data": None}, TEXT[20:40]]))
    said = told(await until(session.stream("t"), lambda e: e.text and e.cursor == "1.41"))
    assert ["1.20", "1.21", "1.41"] == [cursor for _, _, cursor in said]
    for place, cursor in enumerate(["0.0", "1.20", "1.21"]):
        rest = await until(others.stream("t", after=cursor), lambda e: e.text and e.cursor == "1.41")
        assert said[place:] == told(rest)
    steps.put_nowait([TEXT])
    assert TEXT == text_said(await until(others.stream("t"), ended))


def test_parts_of_details_are_mended_and_unknown_fields_ignored() -> None:
    found = StreamDetails.model_validate({"attempt": 1, "every": 1, "parts": ["half \ud83d", {"type": "x"}], "more": 1})
    assert ["half \ufffd", StreamPart(type="x")] == found.parts

"""AG-UI: runs, threads that remember, text, tools, state, and questions, over two gateways."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner

from activities.models.offline import OfflineModel
from starter.client import Session
from starter.gateway.agui.interrupts import answer_in
from starter.gateway.agui.streams import RunStream, messages_of
from starter.gateway.asking import NoAnswerError, session_id_of
from starter.gateway.keys import KeyFile
from starter.serving.registration import register_search_attributes
from tests.agui import Thread, names
from tests.gateways import Gateway, gateway
from tests.harness import Harness, snapshot_when
from tests.kinds import TEST_KINDS
from tests.samples import NOW
from tests.servers import Server
from tests.test_streaming import TellWorkflow, _steps, details, tell
from worker import KINDS, build_worker
from workflows.contract import Config, Question, TaskEvent, TaskRecord, Turn

BANANA, YELLOW = "What colour is a banana?", "A ripe banana is yellow."
SAID = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
END = ["STATE_SNAPSHOT", "RUN_FINISHED"]


class Place(NamedTuple):
    """Two gateways before the same sessions, a key of Ada's and one of Bob's."""

    harness: Harness
    one: Gateway
    other: Gateway
    ada: str
    bob: str

    def session(self, thread: Thread) -> Session:
        """Ada's session that a thread stands for."""
        return self.harness.client.get(session_id_of("agui-", "ada", thread.id))


@pytest.fixture(scope="module")
async def place(server: Server, temporal: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """All tests here have them together: a process of a gateway costs a second."""
    harness, path = Harness(temporal), tmp_path_factory.mktemp("agui") / "keys.json"
    keys = KeyFile(path)
    ada, bob = keys.add("ada", ["ada"]), keys.add("bob", ["bob"])
    settings = {"keys": str(path), "instructions": "Show"}
    async with (
        build_worker(
            temporal,
            OfflineModel(),
            queue=harness.queue,
            kinds=[*KINDS, *TEST_KINDS, TellWorkflow],
            activities=[tell],
            search_attributes=await register_search_attributes(temporal),
            workflow_runner=UnsandboxedWorkflowRunner(),  # a sandbox for each of these tasks costs seconds
            max_heartbeat_throttle_interval=timedelta(milliseconds=20),
        ),
        gateway(server, harness, **settings) as one,
        gateway(server, harness, **settings) as other,
    ):
        yield Place(harness, one, other, ada, bob)
        assert "unexpected" not in one.log + other.log


async def test_a_run_is_a_task_and_its_thread_remembers(place: Place) -> None:
    thread = Thread(place.ada)
    events = await thread.run(place.one, "My name is Ada.", run_id="r1")
    assert ["RUN_STARTED", *SAID, *END] == names(events)
    assert {"threadId": thread.id, "runId": "r1", "protocolVersion": "1.0"} == {
        name: value for name, value in events[0].items() if name != "type"
    }
    assert {"type": "success"} == events[-1]["outcome"]
    await thread.run(place.other, "What is my name?", run_id="r2")
    assert "Your name is Ada." == thread.messages[-1]["content"]
    assert ["user", "assistant", "user", "assistant"] == [message["role"] for message in thread.messages]
    assert 2 == (await place.session(thread).snapshot()).counters.submitted


async def test_a_run_that_is_sent_again_is_the_same_task_at_any_gateway(place: Place) -> None:
    thread = Thread(place.ada)
    first = await thread.run(place.one, BANANA, run_id="r")
    shown = thread.shown()
    again = await thread.run(place.other, run_id="r")
    assert shown == thread.shown() == [("user", BANANA), ("assistant", YELLOW)]
    assert first[-1] == again[-1]
    thread.say("another")
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await thread.run(place.other, run_id="r")
    assert (409, "task_id_conflict") == _refused(refused.value)
    assert 1 == (await place.session(thread).snapshot()).counters.submitted


def _refused(error: httpx.HTTPStatusError) -> tuple[int, str]:
    return error.response.status_code, error.response.json()["error"]["code"]


async def test_a_question_is_an_interrupt_and_answered_at_the_other_gateway(place: Place) -> None:
    thread = Thread(place.ada, "Approve")
    events = await thread.run(place.one, "deploy", run_id="asks")
    assert ["RUN_STARTED", *END] == names(events)
    asked = thread.interrupts[0]
    assert ("confirmation", "deploy?", {"type": "boolean"}) == (
        asked["reason"],
        asked["message"],
        asked["responseSchema"],
    )
    await thread.run(place.other, run_id="asks")
    assert [asked] == thread.interrupts
    await thread.answer(place.other, "perhaps")
    assert "That is none of the answers to what was asked.\n\ndeploy?" == thread.interrupts[0]["message"]
    entry = [{"interruptId": asked["id"], "status": "resolved", "payload": True}]
    await thread.run(place.other, resume=entry, run_id="yes")
    assert ("input_required", "Why?", {"type": "string"}) == tuple(
        thread.interrupts[0][name] for name in ("reason", "message", "responseSchema")
    )
    await thread.run(place.one, resume=entry, run_id="yes")  # repeated, as after a cut
    assert "Why?" == thread.interrupts[0]["message"]
    for other in ({"payload": False}, {"payload": "perhaps"}, {"status": "cancelled"}):
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await thread.run(place.one, resume=[{**entry[0], **other}])
        assert (409, "not_waiting") == _refused(refused.value)
    ended = await thread.answer(place.one, "it is Tuesday")
    assert {"did": "deploy", "why": "it is Tuesday"} == ended[-1]["result"] == json.loads(thread.shown()[-1][1])
    assert {"done": ["deploy"]} == thread.state
    assert ["user", "assistant"] == [message["role"] for message in thread.messages]


async def test_a_message_is_an_answer_too_and_one_that_is_none_says_so_and_asks_again(place: Place) -> None:
    thread = Thread(place.ada, "Approve")
    before = Thread(place.ada, thread_id=thread.id)
    await before.run(place.one, BANANA, run_id="before")
    await thread.run(place.one, "rain", run_id="asks")
    asked = thread.interrupts[0]
    fresh = Thread(place.ada, thread_id=thread.id)
    await fresh.run(place.other)
    assert [("user", BANANA), ("assistant", YELLOW), ("user", "rain")] == fresh.shown()
    assert [asked] == fresh.interrupts
    assert YELLOW == (await before.run(place.other, run_id="before"))[-1]["result"]  # repeated, it is no answer
    await thread.run(place.other, "hm")
    assert "That is none of the answers to what was asked.\n\nrain?" == thread.interrupts[0]["message"]
    assert asked["id"] == thread.interrupts[0]["id"]
    ended = await thread.run(place.other, " No.")
    assert ("left alone", []) == (ended[-1]["result"], thread.interrupts)
    fresh = Thread(place.ada, thread_id=thread.id)
    shown = await fresh.run(place.one)
    assert ["RUN_STARTED", "MESSAGES_SNAPSHOT", *END] == names(shown)
    assert [("user", BANANA), ("assistant", YELLOW), ("user", "rain"), ("assistant", "left alone")] == fresh.shown()
    assert 2 == (await place.session(thread).snapshot()).counters.submitted


@pytest.mark.parametrize(
    ("payload", "output", "results"),
    [
        ({"approved": False, "reason": "too much"}, [False, {"amount": 3}, False, "too much"], "too much"),
        ({"approved": True, "editedArgs": {"amount": 2}}, [True, {"amount": 2}, True, None], ""),
        ({"answer": "yes", "arguments": {"amount": 1}}, [True, {"amount": 1}, True, None], ""),
    ],
)
async def test_leave_for_a_tool_shows_its_call_and_takes_a_reason_or_other_arguments(
    place: Place, payload: Any, output: list[Any], results: str
) -> None:
    session = await place.harness.open(Config(owner="ada"))
    task_id = await session.submit({"tool": "pay", "arguments": {"amount": 3}}, kind="Leave a call")
    await snapshot_when(session, lambda snapshot: snapshot.status == "waiting")
    thread = Thread(place.ada, thread_id=f"session:{session.id}")
    events = await thread.run(place.one, "well?")
    call = ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END"]
    assert ["RUN_STARTED", *call, *END] == names(events)
    assert [("user", "well?"), ("assistant", [("pay", '{"amount":3}')])] == thread.shown()
    asked = thread.interrupts[0]
    assert ("tool_call", thread.messages[-1]["id"]) == (asked["reason"], asked["toolCallId"])
    assert {"choices": ["yes", "no"], "tool": "pay", "arguments": {"amount": 3}} == asked["metadata"]
    if not results:
        unfit: Any = {"approved": True, "editedArgs": []}
        assert ["RUN_STARTED", *END] == names(await thread.answer(place.other, unfit))
    ended = await thread.answer(place.other, payload)
    assert output == ended[-1]["result"]
    said = [event["content"] for event in ended if event["type"] == "TOOL_CALL_RESULT"]
    assert [results] == [json.loads(text)["reason"] if text else text for text in said]
    assert output == (await session.result(task_id)).output


async def test_an_interrupt_that_is_cancelled_cancels_its_task(place: Place) -> None:
    thread = Thread(place.ada, "Approve")
    await thread.run(place.one, "deploy")
    ended = await thread.answer(place.other, None, "cancelled")
    assert {"type": "cancelled"} == ended[-1]["outcome"]
    assert [] == thread.interrupts
    await thread.run(place.one, "rain")
    left = [{"interruptId": thread.interrupts[0]["id"], "status": "cancelled"}]
    thread.say("snow")  # instead of an answer
    for door in (place.other, place.one):  # repeated, as after a cut
        await thread.run(door, resume=left, run_id="instead")
        assert "snow?" == thread.interrupts[0]["message"]
    counters = (await place.session(thread).snapshot()).counters
    assert (3, 2) == (counters.submitted, counters.cancelled)


async def _until_told(thread: Thread, door: Gateway, text: str, **more: Any) -> None:
    """Run, and leave when that text is shown."""
    await thread.cut(door, lambda event: event.get("delta") and thread.messages[-1]["content"].endswith(text), **more)


def _steps_of(place: Place, thread: Thread) -> asyncio.Queue[Any]:
    """What the activity of that thread's task is to tell next."""
    queue: asyncio.Queue[Any] = asyncio.Queue()
    _steps[place.session(thread).id] = queue
    return queue


async def test_a_client_that_leaves_in_mid_stream_gets_the_whole_by_the_same_run(place: Place) -> None:
    thread = Thread(place.ada, "Tell")
    steps = _steps_of(place, thread)
    steps.put_nowait(details(["A ban"]))
    thread.say(BANANA)
    await _until_told(thread, place.one, "A ban", run_id="r")
    steps.put_nowait(details(["A banana is "]))
    await _until_told(thread, place.other, "banana is ", run_id="r")
    assert [("user", BANANA), ("assistant", "A banana is ")] == thread.shown()
    steps.put_nowait(["A banana is yellow."])
    events = await thread.run(place.one, run_id="r")
    assert [("user", BANANA), ("assistant", "A banana is yellow.")] == thread.shown()
    assert ["RUN_STARTED", "MESSAGES_SNAPSHOT", *SAID, *END] == names(events)
    assert 1 == (await place.session(thread).snapshot()).counters.submitted


async def test_an_attempt_that_begins_again_takes_back_what_was_said(place: Place) -> None:
    thread = Thread(place.ada, "Tell")
    steps = _steps_of(place, thread)
    steps.put_nowait(details(["It is green"]))
    thread.say(BANANA)
    seen: list[dict[str, Any]] = []
    async for event in thread.events(place.one):
        seen.append(event)
        if event.get("delta") == "It is green":
            steps.put_nowait(None)
            steps.put_nowait(details(["It is yel"], attempt=2))
        elif event.get("delta") == "It is yel":
            steps.put_nowait(["It is yellow."])
    assert ["RUN_STARTED", *SAID, "MESSAGES_SNAPSHOT", *SAID, *END] == names(seen)
    said: dict[str, str] = {}
    for event in seen:
        if event["type"] == "TEXT_MESSAGE_CONTENT":
            said[event["messageId"]] = said.get(event["messageId"], "") + event["delta"]
    assert ["It is green", "It is yellow."] == list(said.values())
    assert [("user", BANANA), ("assistant", "It is yellow.")] == thread.shown()


async def test_calls_of_tools_and_other_events_are_told_once(place: Place) -> None:
    thread = Thread(place.ada, "Tell")
    steps = _steps_of(place, thread)
    call = {"type": "tool_call", "data": {"name": "look_up", "arguments": {"what": "fruit"}}}
    found = {"type": "tool_result", "data": {"name": "look_up", "content": {"colour": "yellow"}}}
    more = {"type": "tool_call", "data": {"name": "ask", "arguments": "{}", "id": "c2"}}
    steps.put_nowait(details(["Look", call, {"type": "sources", "data": [1]}, found, more], done=1.0, total=2.0))
    thread.say(BANANA)
    seen = await thread.cut(
        place.one,
        lambda event: event["type"] == "TOOL_CALL_END" and event["toolCallId"].endswith("/c2"),
        run_id="r",
    )
    assert [("sources", [1])] == [
        (event["name"], event["value"])
        for event in seen
        if event["type"] == "CUSTOM" and event["name"] not in {"status", "progress"}
    ]
    seen = []
    async for event in thread.events(place.other, run_id="r"):
        seen.append(event)
        if event.get("name") == "progress":
            steps.put_nowait(details(["Yel"], attempt=2))
            steps.put_nowait(["Yellow."])
    assert [
        ("user", BANANA),
        ("assistant", [("look_up", '{"what":"fruit"}')]),
        ("tool", '{"colour":"yellow"}'),
        ("assistant", [("ask", "{}")]),
        ("assistant", "Yellow."),
        ("tool", ""),
    ] == thread.shown()
    assert "look_up" not in [event.get("toolCallName") for event in seen]


async def test_a_state_begins_a_session_and_is_told_after_each_run(place: Place) -> None:
    thread = Thread(place.ada, "Answer")
    thread.state = {"colour": "red"}
    await thread.run(place.one, "x")
    assert {"colour": "red"} == (await place.session(thread).context()).values == thread.state
    await place.session(thread).patch_context({"set": {"colour": "blue"}})
    thread.state = {"colour": "green"}
    begun = await thread.run(place.other, "y")
    assert ["RUN_STARTED", "STATE_SNAPSHOT"] == names(begun)[:2]
    assert {"colour": "blue"} == begun[1]["snapshot"] == thread.state == (await place.session(thread).context()).values
    assert names(await thread.run(place.one, "z"))[1] == "TEXT_MESSAGE_START"
    fresh = Thread(place.ada, thread_id=thread.id)
    await fresh.run(place.other)
    assert ({"colour": "blue"}, 6) == (fresh.state, len(fresh.shown()))


async def test_a_task_that_fails_is_an_error_of_its_name(place: Place) -> None:
    events = await Thread(place.ada, "Raise").run(place.one, "named")
    assert ("RUN_ERROR", "OutOfTea", "out of tea") == tuple(events[-1][name] for name in ("type", "code", "message"))


async def test_a_run_is_cancelled_by_its_id_or_as_what_runs_in_the_thread(place: Place) -> None:
    for more in ("&runId=r", ""):
        thread = Thread(place.ada, "Hang")
        thread.say("wait")
        ends: list[Any] = []
        async for event in thread.events(place.one, run_id="r"):
            if event.get("name") == "status" and event["value"]["status"] == "running":
                path = f"/agui?threadId={thread.id}{more}"
                assert 404 == (await place.other.send("DELETE", path, place.bob)).status_code
                assert 404 == (await place.other.send("DELETE", f"{path}1", place.ada)).status_code
                assert 202 == (await place.other.send("DELETE", path, place.ada)).status_code
            ends = [event.get("outcome")]
        assert [{"type": "cancelled"}] == ends


async def test_a_foreign_thread_is_another_one_and_a_foreign_session_is_not_there(place: Place) -> None:
    thread = Thread(place.ada, "Approve")
    await thread.run(place.one, "deploy")
    foreign = Thread(place.bob, "Approve", thread.id)
    await foreign.run(place.one, "rain")
    assert ("deploy?", "rain?") == (thread.interrupts[0]["message"], foreign.interrupts[0]["message"])
    session = await place.harness.open(Config(owner="ada"))
    unknown = Thread(place.bob, thread_id="session:none")
    for stranger, more in [
        (Thread(place.bob, thread_id=f"session:{session.id}"), {}),
        (Thread(place.bob, thread_id=f"session:{place.session(thread).id}"), {}),
        (Thread(place.bob), {"resume": [{"interruptId": thread.interrupts[0]["id"], "status": "resolved"}]}),
        (unknown, {}),
    ]:
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await stranger.run(place.other, "let me in", **more)
        assert (404, "session_not_found") == _refused(refused.value)
    foreign.interrupts = thread.interrupts
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await foreign.answer(place.other, "yes")
    assert (400, "invalid_value") == _refused(refused.value)
    assert 0 == (await session.snapshot()).counters.submitted


async def test_what_is_not_supported_is_refused_by_its_name(place: Place) -> None:
    tool = {"name": "confirm", "description": "", "parameters": {}}
    system = [{"id": "1", "role": "system", "content": "Be brief."}, {"id": "2", "role": "user", "content": "x"}]
    image = [{"type": "image", "source": {"type": "url", "value": "https://example.com"}}]
    entry = {"interruptId": "a/b", "status": "resolved"}
    thread, wrong = Thread(place.ada), list[Any]()
    cases: list[tuple[dict[str, Any], str, str | None]] = [
        ({"tools": [tool]}, "unsupported_parameter", "tools"),
        ({"context": [{"description": "a", "value": "b"}]}, "unsupported_parameter", "context"),
        ({"forwardedProps": {"a": 1}}, "unsupported_parameter", "forwardedProps"),
        ({"messages": system}, "unsupported_parameter", "messages of the system"),
        ({"messages": [{**system[1], "content": image}]}, "unsupported_parameter", "messages with anything but texts"),
        ({"messages": [{**system[1], "content": ""}]}, "invalid_value", "messages"),
        ({"messages": [{"id": "1", "role": "boss", "content": "x"}]}, "invalid_value", "messages.0"),
        ({"messages": "x"}, "invalid_value", "messages"),
        ({"state": [1]}, "invalid_type", "state"),
        ({"state": {"all": "x" * 300_000}}, "context_too_large", None),
        ({"threadId": ""}, "invalid_value", "threadId"),
        ({"runId": "r" * 256}, "invalid_value", "runId"),
        ({"threadId": 7}, "invalid_value", "threadId"),
        ({"resume": [entry, entry]}, "invalid_value", "resume"),
        ({"resume": [{**entry, "status": "maybe"}]}, "invalid_value", "resume.0.status"),
    ]
    assert 404 == (await place.one.send("POST", "/agui", place.ada, json=thread.body())).status_code
    thread.say("x")
    for more, code, param in cases:
        answered = await place.one.send("POST", "/agui", place.ada, json={**thread.body(), **more})
        error = answered.json()["error"]
        if (400, code, param) != (answered.status_code, error["code"], error["param"]):
            wrong.append((more, answered.status_code, error))
    assert [] == wrong
    told = await Thread(place.ada, "Show").run(
        place.one, run_id="i", messages=system, context=[{"description": "Unit", "value": "metre"}]
    )
    assert {"text": "x", "instructions": "Be brief.\n\nUnit: metre"} == told[-1]["result"]["input"]
    assert 400 == (await place.one.send("POST", "/agui/Session", place.ada, json=thread.body())).status_code
    assert 401 == (await place.one.send("POST", "/agui", json=thread.body())).status_code


async def _told(*events: TaskEvent, messages: Any = (), **record: Any) -> list[dict[str, Any]]:
    """What a run tells of a task that tells those events and then stands as `record` says."""
    known = {"kind": "K", "submitted_at": NOW, "input_preview": "", **record}
    stands = TaskRecord.model_validate({"task_id": "t", "status": "running", **known})

    async def happening() -> AsyncIterator[TaskEvent]:
        for event in events:
            yield event
        yield TaskEvent(type="ended", cursor="1.9", record=stands)

    async def state() -> None:
        return None

    stream = RunStream("thread", "r", "t", messages)
    return [json.loads(text.removeprefix("data: ")) async for text in stream.events(stands, happening(), state)]


async def test_a_call_and_its_result_that_are_told_again_are_not_told_twice() -> None:
    call = TaskEvent(type="tool_call", cursor="1.1", data={"name": "pay", "arguments": '{"amount": 3}', "id": "c"})
    result = TaskEvent(type="tool_result", cursor="2.1", data={"name": "pay", "content": [1], "id": "c"})
    other = TaskEvent(type="tool_result", cursor="2.2", data={"id": "unknown"})
    events = await _told(call, result, call, result, other, status="completed", output="")
    assert 1 == len([event for event in events if event["type"] == "TOOL_CALL_START"])
    assert ["[1]"] == [event["content"] for event in events if event["type"] == "TOOL_CALL_RESULT"]
    assert [{"id": "unknown"}] == [event["value"] for event in events if event["type"] == "CUSTOM"]


async def test_a_question_about_a_call_that_was_told_is_about_that_one() -> None:
    call = TaskEvent(type="tool_call", cursor="1.1", data={"name": "pay", "arguments": '{"amount": 3}', "id": "c"})
    data = {"tool": "pay", "arguments": {"amount": 3}}
    question = {"id": "q", "text": "Allow pay?", "choices": ["yes", "no"], "data": data, "expires_at": NOW}
    events = await _told(call, status="running", waiting_for=question)
    [asked] = events[-1]["outcome"]["interrupts"]
    assert ("t/q", "t/c", NOW.isoformat()) == (asked["id"], asked["toolCallId"], asked["expiresAt"])
    events = await _told(status="running", waiting_for={**question, "data": {**data, "arguments": {}}})
    assert "t/q" == events[-1]["outcome"]["interrupts"][0]["toolCallId"] == events[1]["toolCallId"]


@pytest.mark.parametrize(
    ("choices", "payload", "value"),
    [
        ("yes no", "Y", "yes"),
        ("yes no", False, "no"),
        ("yes no", {"approved": True, "reason": "fine"}, "yes"),
        ("left right", "2", "right"),
        ("", {"any": ["JSON"]}, {"any": ["JSON"]}),
        ("", 0, 0),
        ("yes no", None, NoAnswerError),
        ("yes no", {"approved": True, "editedArgs": {}}, NoAnswerError),  # about no tool
        ("yes no", {"answer": "yes", "arguments": {}}, NoAnswerError),
        ("left right", True, NoAnswerError),
        ("left right", ["left"], NoAnswerError),
        ("", None, NoAnswerError),
        ("", "", NoAnswerError),
    ],
)
def test_a_payload_answers_what_was_asked_or_nothing(choices: str, payload: Any, value: Any) -> None:
    question = Question(id="q", text="?", choices=choices.split() or None)
    if value is NoAnswerError:
        with pytest.raises(NoAnswerError):
            answer_in(question, payload)
    else:
        assert value == answer_in(question, payload)


def test_a_task_that_ended_between_two_looks_is_there_once() -> None:
    """The snapshot had it running, the context has its turn."""
    turn = Turn(task_id="t", version=1, input="How big?", output="So big.", finished_at=NOW)
    running = TaskRecord(task_id="t", kind="Answer", status="running", submitted_at=NOW, input_preview="How big?")
    assert [m.id for m in messages_of([turn], None)] == [m.id for m in messages_of([turn], running)]
    assert 3 == len(messages_of([turn], running.model_copy(update={"task_id": "next"})))

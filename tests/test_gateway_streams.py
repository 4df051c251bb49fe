"""Streams of OpenAI's protocol: whole, cut and resumed at another gateway, ended by a question or a failure."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI

from activities.models.offline import OfflineModel
from starter.gateway.openai.ids import RESPONSE, Ref, ref_in
from starter.gateway.openai.streams import AGAIN, NEVER, Place, ResponseStream, Said
from tests.gateways import gateway
from tests.harness import WAIT, Harness
from tests.kinds import TEST_KINDS
from tests.recitals import ReciteWorkflow, recite
from tests.samples import NOW
from tests.servers import Server
from tests.test_streaming import TellWorkflow, _steps, details, tell
from worker import KINDS, build_worker
from workflows.contract import Config, TaskEvent, TaskRecord
from workflows.wire.streaming import FROM_RECORD

BANANA = "What colour is a banana?"
DELTA = "response.output_text.delta"
Clients = tuple[AsyncOpenAI, AsyncOpenAI]


@pytest.fixture
async def clients(server: Server, harness: Harness) -> AsyncIterator[Clients]:
    """Of two gateways in front of the same sessions."""
    async with gateway(server, harness) as one, gateway(server, harness) as other:
        yield one.client(), other.client()


async def _events(stream: Any) -> list[dict[str, Any]]:
    return [found.model_dump(mode="json", exclude_unset=True) async for found in stream]


def _stable(events: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The text, in however many pieces, and all other events, without what only the request knew."""
    others = [
        {**found, "response": {**found["response"], "background": None}} if "response" in found else found
        for found in events
        if found["type"] != DELTA
    ]
    return "".join(found["delta"] for found in events if found["type"] == DELTA), others


async def test_a_response_is_streamed_and_resumed_at_the_other_gateway_after_any_event(clients: Clients) -> None:
    one, other = clients
    events = await _events(await one.responses.create(input=BANANA, stream=True))
    names = [found["type"].removeprefix("response.") for found in events]
    assert ["created", "in_progress", "output_item.added", "content_part.added"] == names[:4]
    assert ["output_text.done", "content_part.done", "output_item.done", "completed"] == names[-4:]
    assert {"output_text.delta"} == set(names[4:-4])
    text = "".join(found["delta"] for found in events if found["type"] == "response.output_text.delta")
    assert text == events[-1]["response"]["output"][0]["content"][0]["text"] == events[-4]["text"]
    assert "yellow" in text
    numbers = [found["sequence_number"] for found in events]
    assert sorted(set(numbers)) == numbers
    response_id = events[0]["response"]["id"]
    for place, number in enumerate(numbers):
        rest = await _events(await other.responses.retrieve(response_id, stream=True, starting_after=number))
        assert _stable(events[place + 1 :]) == _stable(rest)
    again = await _events(await other.responses.retrieve(response_id, stream=True))
    assert _stable(events) == _stable(again)


async def test_the_official_helper_collects_a_stream(clients: Clients) -> None:
    async with clients[0].responses.stream(model="Answer", input=BANANA) as stream:
        final = await stream.get_final_response()
    assert "yellow" in final.output_text
    async with clients[1].responses.stream(response_id=final.id, starting_after=1) as stream:
        names = [found.type async for found in stream]
    assert "response.completed" == names[-1]


async def test_a_stream_ends_with_the_question_that_is_asked_and_goes_on_with_its_answer(clients: Clients) -> None:
    one, other = clients
    events = await _events(await one.responses.create(model="Approve", input="deploy", stream=True))
    final = events[-1]["response"]
    assert ("response.completed", "mcp_approval_request") == (events[-1]["type"], final["output"][1]["type"])
    said = "".join(found["delta"] for found in events if found["type"] == "response.output_text.delta")
    assert "deploy?\n\n(yes / no)" == said
    assert final["output"][1] == events[-2]["item"]
    rest = await _events(
        await other.responses.create(input="no", previous_response_id=events[-1]["response"]["id"], stream=True)
    )
    assert "left alone" == rest[-1]["response"]["output"][0]["content"][0]["text"]


async def test_a_failure_ends_a_stream_by_its_name(clients: Clients) -> None:
    events = await _events(await clients[0].responses.create(model="Raise", input="named", stream=True))
    assert "response.failed" == events[-1]["type"]
    assert "OutOfTea: out of tea" == events[-1]["response"]["error"]["message"]
    with pytest.raises(openai.APIError, match="out of tea"):
        _ = [
            chunk
            async for chunk in await clients[0].chat.completions.create(
                model="Raise", messages=[{"role": "user", "content": "named"}], stream=True
            )
        ]
    with pytest.raises(openai.BadRequestError):
        await clients[0].responses.create(input=BANANA, stream=True, temperature=0.5)


async def test_a_chat_is_streamed_in_chunks(clients: Clients, harness: Harness) -> None:
    async def say(client: AsyncOpenAI, text: str, model: str = "Answer", **headers: str) -> tuple[str, Any]:
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": text}],
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=headers,
            )
        ]
        assert 1 == len({chunk.id for chunk in chunks})
        assert "assistant" == chunks[0].choices[0].delta.role
        assert [] == chunks[-1].choices
        texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
        return "".join(texts), chunks[-2].choices[0].finish_reason

    one, other = clients
    assert ("A ripe banana is yellow.", "stop") == await say(one, BANANA)
    chat = {"X-Conversation-Id": "s" + harness.queue}
    assert "deploy?\n\n(yes / no)" == (await say(one, "deploy", "Approve", **chat))[0]
    assert (await say(other, "hm", "Approve", **chat))[0].startswith("That is none of the answers")
    assert "Why?" == (await say(other, "yes", "Approve", **chat))[0]
    assert {"did": "deploy", "why": "it rains"} == json.loads((await say(one, "it rains", "Approve", **chat))[0])


def test_a_chat_is_not_sent_again_what_an_attempt_says_again() -> None:
    def said(*attempts: list[str]) -> str:
        so_far, sent = Said(), ""
        for number, texts in enumerate(attempts, 1):
            if number > 1:
                sent += so_far.more(TaskEvent(type="restarted", cursor=f"{number}.0"))
            for text in texts:
                sent += so_far.more(TaskEvent(type="text", cursor=f"{number}.0", text=text))
        return sent

    assert "one two" == said(["one", " two"])
    assert "one two" == said(["one"], ["on", "e t", "wo"])
    assert "one two three" == said(["one", " two"], ["one"], ["one two three"])
    assert f"one{AGAIN}other" == said(["one"], ["o", "ther"])
    assert "one" == said([], ["one"])


@pytest.fixture
async def told(server: Server, elsewhere: Harness) -> AsyncIterator[tuple[Harness, Clients]]:
    """Sessions whose tasks tell what the test says, behind two gateways."""
    async with (
        build_worker(
            elsewhere.temporal,
            OfflineModel(),
            queue=elsewhere.queue,
            kinds=[*KINDS, *TEST_KINDS, TellWorkflow, ReciteWorkflow],
            activities=[tell, recite],
            max_heartbeat_throttle_interval=timedelta(milliseconds=20),
        ),
        gateway(server, elsewhere) as one,
        gateway(server, elsewhere) as other,
    ):
        yield elsewhere, (one.client(), other.client())


async def _until(stream: Any, *names: str) -> list[Any]:
    """The events up to the first of that name, and of the next name after it; and then the stream is cut."""
    seen, left = [], list(names)
    async with asyncio.timeout(WAIT):
        async for found in stream:
            seen.append(found)
            if found.type == left[0]:
                del left[0]
            if not left:
                break
    await stream.close()
    return seen


def _said(events: list[Any]) -> str:
    return "".join(found.delta for found in events if found.type == DELTA)


async def test_a_stream_that_is_cut_in_the_middle_goes_on_at_the_other_gateway(told: tuple[Harness, Clients]) -> None:
    harness, (one, other) = told
    session = await harness.open(Config(default_kind="Tell"))
    steps = _steps[session.id] = asyncio.Queue()
    steps.put_nowait(details(["A banana "]))
    seen = await _until(await one.responses.create(input="x", conversation=session.id, stream=True), DELTA)
    response_id = seen[0].response.id
    steps.put_nowait(details(["A banana ", {"type": "tool_call", "data": {}}, "is 🍌"]))
    again = await other.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number)
    seen += await _until(again, DELTA)
    assert "A banana is 🍌" == _said(seen)
    steps.put_nowait(["A banana is 🍌, and yellow."])
    await harness.client.get(session.id).result((ref_in(response_id, RESPONSE) or Ref("", "")).task_id, WAIT)
    again = await one.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number)
    rest = await _until(again, "response.completed")
    assert "A banana is 🍌, and yellow." == _said(seen + rest) == rest[-1].response.output_text
    numbers = [found.sequence_number for found in seen + rest]
    assert sorted(set(numbers)) == numbers
    assert max(numbers) < 2**53


async def test_a_stream_that_is_cut_in_the_telling_of_a_second_activity_goes_on(told: tuple[Harness, Clients]) -> None:
    harness, (one, other) = told
    session = await harness.open(Config(default_kind="Recite"))
    words = [f"{number} " for number in range(20)]
    task_id = await session.submit({"words": words, "pause": 0.1, "times": 2}, task_id="t", stream=True)
    response_id = Ref(session.id, task_id).id(RESPONSE)
    stream: Any = await one.responses.retrieve(response_id, stream=True)
    seen = await _until(stream, "response.output_item.done", DELTA)
    cut = seen[-1].sequence_number
    assert 1001 == Place.of(cut).attempt
    for _ in range(2):  # while it goes on, and after its end
        resumed: Any = await other.responses.retrieve(response_id, stream=True, starting_after=cut)
        rest = await _until(resumed, "response.completed")
        assert "".join(words) == seen[-1].delta + _said(rest) == rest[-1].response.output_text
        numbers = [found.sequence_number for found in [*seen, *rest]]
        assert sorted(set(numbers)) == numbers
        assert max(numbers) < 2**53


async def test_what_nobody_told_before_the_end_has_the_same_numbers_after_it(told: tuple[Harness, Clients]) -> None:
    harness, (one, other) = told
    session = await harness.open(Config(default_kind="Tell"))
    steps = _steps[session.id] = asyncio.Queue()
    stream = await one.responses.create(input="x", conversation=session.id, stream=True)
    steps.put_nowait(["It is yellow."])  # its task was under way when the stream began
    events = await _events(stream)
    again = await _events(await other.responses.retrieve(events[0]["response"]["id"], stream=True))
    assert _stable(events) == _stable(again)


async def test_an_attempt_that_begins_again_is_a_new_item_and_the_old_one_incomplete(
    told: tuple[Harness, Clients],
) -> None:
    harness, (one, other) = told
    session = await harness.open(Config(default_kind="Tell"))
    steps = _steps[session.id] = asyncio.Queue()
    steps.put_nowait(details(["It is green"]))
    seen = await _until(await one.responses.create(input="x", conversation=session.id, stream=True), DELTA)
    response_id, cut = seen[0].response.id, seen[-1].sequence_number
    steps.put_nowait(None)
    steps.put_nowait(details(["It is yel"], attempt=2))
    steps.put_nowait(["It is yellow."])
    for client in (one, other):  # while it goes on, and after its end
        rest = await _until(
            await client.responses.retrieve(response_id, stream=True, starting_after=cut), "response.completed"
        )
        assert ["response.output_item.done", "response.output_item.added"] == [found.type for found in rest[:2]]
        assert "incomplete" == rest[0].item.status
        assert "It is yellow." == _said(rest) == rest[-1].response.output_text


ATTEMPTS = [1, 1001, 2001, FROM_RECORD]
"""The first of a task's first, second and third activity, and that of the record's text."""


@given(st.text(max_size=40), st.integers(0, 5), st.text(max_size=40), st.sampled_from(ATTEMPTS))
def test_a_place_is_a_number_that_grows_and_knows_its_text(before: str, events: int, more: str, attempt: int) -> None:
    place = Place(attempt).after(before, len(before) + events)
    later = place.after(more)
    assert place.number <= later.number < later.end < Place(attempt + 1).number < 2**53
    if place.position:
        assert place == Place.of(place.number)
    assert place.begins(before + more)
    assert later.begins(before + more)
    if more:
        assert not later.begins(before)
        assert not later.begins(before + more[:-1] + chr(ord(more[-1]) ^ 1))


async def _numbered(stands: TaskRecord, seen: int, *events: TaskEvent) -> list[dict[str, Any]]:
    """What a stream of a response tells after a number, of a task that tells those events and ends so."""

    async def happening() -> AsyncIterator[TaskEvent]:
        for event in (*events, TaskEvent(type="ended", cursor="1.0", record=stands)):
            yield event

    sent = ResponseStream(Ref("s", "t"), {}, seen).events(stands, happening())
    return [json.loads(text.partition("data: ")[2]) async for text in sent]


async def test_a_text_beyond_the_last_place_that_has_a_number_comes_with_the_end() -> None:
    """As only another SDK tells it, and only an output of JSON has it."""
    text = "a" * 300_000
    pieces = [(0, 5), (5, 262_142), (262_142, 262_143), (262_143, 300_000)]
    told = [TaskEvent(type="text", cursor=f"1001.{end}", text=text[begin:end]) for begin, end in pieces]
    known = {"kind": "K", "submitted_at": NOW, "input_preview": "", "output": text}
    stands = TaskRecord.model_validate({"task_id": "t", "status": "completed", **known})
    sent = await _numbered(stands, NEVER, *told)
    numbers = [event["sequence_number"] for event in sent]
    assert sorted(set(numbers)) == numbers
    assert max(numbers) < 2**53
    deltas = [event for event in sent if event["type"] == DELTA]
    assert [5, 262_137, 37_858] == [len(event["delta"]) for event in deltas]
    for place, event in enumerate(deltas):
        rest = await _numbered(stands, event["sequence_number"])
        assert sum(len(event["delta"]) for event in deltas[place + 1 :]) == sum(
            len(event["delta"]) for event in rest if event["type"] == DELTA
        )


def test_a_thing_has_one_id_and_what_is_none_of_ours_is_nothing() -> None:
    ref = Ref("session", "task", "a/question?")
    assert ref == ref_in(ref.id(RESPONSE), RESPONSE)
    assert ref_in(ref.id(RESPONSE), "msg_") is None
    for text in ["resp_", "resp_YQ", "resp_YS9iCg==", "resp_YS9i=", "resp_YS9j\n", "resp_" + "Y" * 2_000, "resp_é"]:
        assert ref_in(text, RESPONSE) is None, text
    assert Ref("a", "b") == ref_in("resp_YS9i", RESPONSE)
    assert Ref("a", "bb") == ref_in("resp_YS9iYg", RESPONSE)
    assert ref_in("resp_YS9iYh", RESPONSE) is None  # the same bytes, spelled otherwise


async def test_a_kind_is_told_whether_somebody_wants_to_see_what_it_says(clients: Clients) -> None:
    events = await _events(await clients[0].responses.create(model="Show", input="x", stream=True))
    assert json.loads(events[-4]["text"])["stream"] is True
    assert json.loads((await clients[0].responses.create(model="Show", input="x")).output_text)["stream"] is False

"""Streams of OpenAI's protocol: whole, cut and resumed at another gateway, ended by a question or a failure."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from starter.gateway.openai.streams import AGAIN, Said
from tests.gateways import gateway
from tests.harness import Harness
from tests.servers import Server
from workflows.contract import TaskEvent

BANANA = "What colour is a banana?"
Clients = tuple[AsyncOpenAI, AsyncOpenAI]


@pytest.fixture
async def clients(server: Server, harness: Harness) -> AsyncIterator[Clients]:
    """Of two gateways in front of the same sessions."""
    async with gateway(server, harness) as one, gateway(server, harness) as other:
        yield one.client(), other.client()


async def _events(stream: Any) -> list[dict[str, Any]]:
    return [found.model_dump(mode="json", exclude_unset=True) async for found in stream]


def _stable(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what only the request knew."""
    return [
        {**found, "response": {**found["response"], "background": None}} if "response" in found else found
        for found in events
    ]


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

"""A question to a person through OpenAI's protocol: asked at one gateway, answered at another."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from starter.gateway.asking import NoAnswerError, choice, verdict
from starter.gateway.openai.ids import RESPONSE, Ref
from tests.gateways import gateway
from tests.harness import Harness, snapshot_when
from tests.servers import NO_LISTS, Server
from workflows.contract import Question

Clients = tuple[AsyncOpenAI, AsyncOpenAI]


@pytest.fixture
async def clients(server: Server, harness: Harness) -> AsyncIterator[Clients]:
    """Of two gateways in front of the same sessions."""
    async with gateway(server, harness) as one, gateway(server, harness) as other:
        yield one.client(), other.client()


def _question(*choices: str, data: Any = None) -> Question:
    return Question(id="q", text="Which?", choices=list(choices) or None, data=data)


@pytest.mark.parametrize(
    ("choices", "said", "meant"),
    [
        (["yes", "no"], "yes", "yes"),
        (["yes", "no"], " Yes! ", "yes"),
        (["yes", "no"], "N", "no"),
        (["yes", "no"], "2", "no"),
        (["red wine", "White wine"], "white wine.", "White wine"),
        (["10", "2"], "2", "2"),
        ([], "  as it is. ", "  as it is. "),
    ],
)
def test_words_are_matched_with_the_choices(choices: list[str], said: str, meant: str) -> None:
    assert meant == choice(_question(*choices), said)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (["yes", "no"], "yes, but not now"),
        (["yes", "no"], "maybe"),
        (["yes", "no"], "3"),
        (["yes", "no"], "0"),
        (["yes", "no"], "²"),
        (["A", "a"], "a"),
        (["left", "right"], "y"),
    ],
)
def test_nothing_is_guessed(choices: list[str], said: str) -> None:
    with pytest.raises(NoAnswerError):
        choice(_question(*choices), said)


def test_a_verdict_has_its_reason_where_the_question_can_take_one() -> None:
    about = {"tool": "pay", "arguments": {}}
    assert {"answer": "no", "reason": "too much"} == verdict(
        _question("yes", "no", data=about), approve=False, reason="too much"
    )
    assert "no" == verdict(_question("yes", "no"), approve=False, reason="too much")
    assert "yes" == verdict(_question("yes", "no", data=about), approve=True, reason="fine")
    for question in (_question(), _question("left", "right")):
        with pytest.raises(NoAnswerError):
            verdict(question, approve=True, reason=None)


async def test_in_a_chat_the_next_message_is_the_answer(clients: Clients, harness: Harness) -> None:
    async def say(client: AsyncOpenAI, text: str) -> str:
        made = await client.chat.completions.create(
            model="Approve",
            messages=[{"role": "user", "content": text}],
            extra_headers={"X-Conversation-Id": "c" + harness.queue},
        )
        assert "stop" == made.choices[0].finish_reason
        return str(made.choices[0].message.content)

    one, other = clients
    assert "deploy?\n\n(yes / no)" == await say(one, "deploy")
    again = await say(other, "hm")
    assert again.startswith("That is none of the answers to what was asked.")
    assert again.endswith("deploy?\n\n(yes / no)")
    assert "Why?" == await say(other, "Yes.")
    assert {"did": "deploy", "why": "it is Tuesday"} == json.loads(await say(one, "it is Tuesday"))
    assert "rain?\n\n(yes / no)" == await say(one, "rain")
    assert "left alone" == await say(other, "no")


async def test_a_response_asks_by_an_approval_item_and_is_answered_by_one(clients: Clients) -> None:
    one, other = clients
    asked = await one.responses.create(model="Approve", input="deploy")
    assert ("completed", "deploy?\n\n(yes / no)") == (asked.status, asked.output_text)
    request = asked.output[1]
    assert request.type == "mcp_approval_request"
    assert ("ask_person", "sessions") == (request.name, request.server_label)
    assert {"question": "deploy?", "choices": ["yes", "no"]} == json.loads(request.arguments)
    answer: Any = [{"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}]
    went_on = await other.responses.create(input=answer, previous_response_id=asked.id)
    assert ("Why?", asked.conversation) == (went_on.output_text, went_on.conversation)
    assert went_on.id != asked.id
    with pytest.raises(openai.ConflictError, match="no longer asked"):
        await one.responses.create(input=answer, previous_response_id=asked.id)
    repeated = await one.responses.create(
        input=answer, previous_response_id=asked.id, extra_headers={"Idempotency-Key": "k"}
    )
    assert (went_on.id, "Why?") == (repeated.id, repeated.output_text)
    ended = await one.responses.create(input="because", previous_response_id=went_on.id)
    assert {"did": "deploy", "why": "because"} == json.loads(ended.output_text)
    assert ended.output_text == (await other.responses.retrieve(asked.id)).output_text


async def test_an_approval_shows_the_tool_and_its_arguments_and_takes_a_reason(
    clients: Clients, harness: Harness
) -> None:
    session = await harness.open()
    call = {"tool": "pay", "arguments": {"amount": 3}}
    task_id = await session.submit(call, kind="Leave a call")
    await snapshot_when(session, lambda snapshot: snapshot.status == "waiting")
    asked = await clients[0].responses.retrieve(Ref(session.id, task_id).id(RESPONSE))
    request = asked.output[1]
    assert request.type == "mcp_approval_request"
    assert ("pay", {"amount": 3}) == (request.name, json.loads(request.arguments))
    assert 'pay: {"amount": 3}' in asked.output_text
    said: Any = [
        {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": False, "reason": "too much"}
    ]
    ended = await clients[1].responses.create(input=said, conversation=session.id)
    assert [False, {"amount": 3}, False, "too much"] == json.loads(ended.output_text)


async def test_a_conversation_takes_words_for_an_answer_and_says_when_they_are_none(clients: Clients) -> None:
    one, other = clients
    conversation = (await one.conversations.create()).id
    asked = await one.responses.create(model="Approve", input="deploy", conversation=conversation)
    again = await other.responses.create(input="perhaps", conversation=conversation)
    assert "That is none of the answers" in again.output_text
    assert asked.output[1] == again.output[1]
    ended = await other.responses.create(input="No.", conversation=conversation)
    assert "left alone" == ended.output_text


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_a_request_without_a_chat_id_is_not_left_waiting_for_an_answer(
    clients: Clients, harness: Harness
) -> None:
    with pytest.raises(openai.BadRequestError, match="asks a person"):
        await clients[0].chat.completions.create(model="Approve", messages=[{"role": "user", "content": "deploy"}])
    async for listed in harness.client.list(10):
        if listed.session_id.startswith("once-"):
            await harness.client.get(listed.session_id).finished()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_session_whose_budget_is_spent_takes_nothing_and_says_so(
    clients: Clients, harness: Harness, stream: bool
) -> None:
    """Its tasks would wait until a person raises the budget, and callers as long."""
    client = clients[0].with_options(max_retries=5)
    conversation = (await client.conversations.create()).id
    session = harness.client.get(conversation)
    await session.configure(budget={"tokens": 0})
    with pytest.raises(openai.RateLimitError) as refused:
        await client.responses.create(input="hello", conversation=conversation, stream=stream)
    assert "budget_spent" == refused.value.code
    now = await session.snapshot()
    assert (1, 1, []) == (now.counters.submitted, now.counters.cancelled, now.pending)

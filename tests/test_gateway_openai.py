"""OpenAI's protocol, spoken by its official package to two gateways: what one has begun, the other goes on with."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.conformance.caller import SLOWNESS
from tests.gateways import Gateway, gateway
from tests.harness import WAIT, Harness
from tests.servers import Server
from workflows.contract import Config

BANANA, SUN = "What colour is a banana?", "How big is the sun?"

pytestmark = pytest.mark.not_on_test_server("it cannot erase, nor wait for an update as a gateway does")


@pytest.fixture
async def doors(server: Server, harness: Harness) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two gateways in front of the same sessions."""
    async with gateway(server, harness, instructions="Show") as one, gateway(server, harness) as other:
        yield one, other


@pytest.fixture
def clients(doors: tuple[Gateway, Gateway]) -> tuple[AsyncOpenAI, AsyncOpenAI]:
    """A client of each."""
    return doors[0].client(), doors[1].client()


Clients = tuple[AsyncOpenAI, AsyncOpenAI]


async def _retrieved(client: AsyncOpenAI, response_id: str) -> Any:
    """A response once it is no longer in progress."""
    async with asyncio.timeout(WAIT):
        while True:
            found = await client.responses.retrieve(response_id)
            if found.status not in {"queued", "in_progress"}:
                return found


async def test_models_are_the_kinds_and_the_default_one(clients: Clients) -> None:
    assert ["default", "Answer"] == [model.id async for model in clients[0].models.list()]
    assert "Answer" == (await clients[1].models.retrieve("Answer")).id
    with pytest.raises(openai.NotFoundError, match="no such model"):
        await clients[0].models.retrieve("gpt-9")


async def test_a_response_is_a_task_that_every_gateway_knows(clients: Clients, harness: Harness) -> None:
    one, other = clients
    made = await one.responses.create(model="Answer", input=BANANA, metadata={"topic": "fruit"})
    assert ("completed", True) == (made.status, "yellow" in made.output_text)
    found = await other.responses.retrieve(made.id)
    assert (made.id, made.output_text, {"topic": "fruit"}, "Answer") == (
        found.id,
        found.output_text,
        found.metadata,
        found.model,
    )
    assert made.conversation
    assert 1 == (await harness.client.get(made.conversation.id).snapshot()).counters.completed


async def test_a_conversation_is_a_session_and_remembers(clients: Clients, harness: Harness) -> None:
    one, other = clients
    conversation = await one.conversations.create(metadata={"topic": "names"})
    await one.responses.create(input="My name is Ada.", conversation=conversation.id)
    said = await other.responses.create(input="What is my name?", conversation={"id": conversation.id})
    assert "Ada" in said.output_text
    items: list[Any] = [item async for item in other.conversations.items.list(conversation.id, order="asc", limit=3)]
    assert ["user", "assistant", "user", "assistant"] == [item.role for item in items]
    assert "What is my name?" == items[2].content[0].text
    newest = await one.conversations.items.list(conversation.id, limit=1)
    assert (items[3].id, True) == (newest.data[0].id, newest.has_more)
    assert items[3].id == (await one.conversations.items.retrieve(items[3].id, conversation_id=conversation.id)).id
    changed = await other.conversations.update(conversation.id, metadata={"topic": "people"})
    assert {"topic": "people"} == changed.metadata
    assert {"topic": "people"} == (await harness.client.get(conversation.id).snapshot()).config.labels


async def test_a_session_from_elsewhere_is_a_conversation_with_its_own_default_kind(
    clients: Clients, harness: Harness
) -> None:
    session = await harness.open(Config(default_kind="Repeat", labels={"made": "by hand"}))
    assert {"made": "by hand"} == (await clients[0].conversations.retrieve(session.id)).metadata
    said = await clients[0].responses.create(model="default", input="x", conversation=session.id)
    assert ("failed", "Repeat") == (said.status, said.model)
    assert said.error
    assert "TypeError" in said.error.message


async def test_a_response_goes_on_from_the_one_before_and_forks_from_an_older_one(clients: Clients) -> None:
    one, other = clients
    first = await one.responses.create(input="My name is Ada.")
    second = await other.responses.create(input="My name is Bob.", previous_response_id=first.id)
    assert first.conversation == second.conversation
    later = await one.responses.create(input="What is my name?", previous_response_id=second.id)
    earlier = await other.responses.create(input="What is my name?", previous_response_id=first.id)
    assert ("Bob" in later.output_text, "Ada" in earlier.output_text) == (True, True)
    assert earlier.conversation != first.conversation
    after = await one.responses.create(input="What is my name?", previous_response_id=earlier.id)
    assert after.conversation == earlier.conversation


async def test_a_background_response_is_cancelled_at_the_other_gateway(clients: Clients) -> None:
    one, other = clients
    made = await one.responses.create(model="Hang", input="x", background=True)
    assert made.status in {"queued", "in_progress"}
    with pytest.raises(openai.BadRequestError, match="still in progress"):
        await other.responses.create(input="y", previous_response_id=made.id)
    waiting = await other.responses.create(model="Hang", input="y", conversation=made.conversation.id, background=True)  # type: ignore[union-attr]
    assert "queued" == waiting.status
    assert "cancelled" == (await other.responses.cancel(waiting.id)).status
    await other.responses.cancel(made.id)
    assert "cancelled" == (await _retrieved(one, made.id)).status
    assert "cancelled" == (await one.responses.cancel(made.id)).status


async def test_a_response_that_takes_longer_than_a_request_waits_is_in_progress(
    server: Server, harness: Harness
) -> None:
    async with gateway(server, harness, wait=str(0.5 * SLOWNESS)) as door:
        client = door.client()
        made = await client.responses.create(model="Hang", input="x")
        assert "in_progress" == made.status
        await client.responses.cancel(made.id)
        with pytest.raises(openai.InternalServerError) as refused:
            await client.chat.completions.create(model="Hang", messages=[{"role": "user", "content": "x"}])
        assert 504 == refused.value.status_code


async def test_what_is_deleted_is_erased_and_a_turn_that_others_stand_on_stays(clients: Clients) -> None:
    one, other = clients
    alone = await one.responses.create(input=BANANA)
    await other.responses.delete(alone.id)
    with pytest.raises(openai.NotFoundError):
        await one.responses.retrieve(alone.id)
    first = await one.responses.create(input=BANANA)
    await one.responses.create(input=SUN, previous_response_id=first.id)
    with pytest.raises(openai.BadRequestError, match="deletion of a turn"):
        await one.responses.delete(first.id)
    assert first.conversation
    assert (await other.conversations.delete(first.conversation.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await one.conversations.retrieve(first.conversation.id)


async def test_a_repeated_request_under_one_key_is_one_task_at_any_gateway(clients: Clients, harness: Harness) -> None:
    def keyed(name: str) -> dict[str, str]:
        return {"Idempotency-Key": name}

    first = await asyncio.gather(*(c.responses.create(input=BANANA, extra_headers=keyed("a")) for c in clients * 2))
    assert 1 == len({made.id for made in first})
    assert first[0].conversation
    assert 1 == (await harness.client.get(first[0].conversation.id).snapshot()).counters.submitted
    before = first[0].id
    next_ones = [
        await client.responses.create(input=SUN, previous_response_id=before, extra_headers=keyed("b"))
        for client in clients
    ]
    assert 1 == len({made.id for made in next_ones})
    await clients[0].responses.create(input=SUN, previous_response_id=next_ones[0].id)
    forks = [
        await client.responses.create(input=SUN, previous_response_id=before, extra_headers=keyed("c"))
        for client in clients
    ]
    assert 1 == len({made.id for made in forks})
    with pytest.raises(openai.ConflictError, match="is the id of another task"):
        await clients[1].responses.create(input=SUN, extra_headers=keyed("a"))
    chats = [
        await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": BANANA}], extra_headers=keyed("d")
        )
        for client in clients
    ]
    assert 1 == len({made.id for made in chats})
    made = [(await client.conversations.create(extra_headers=keyed("e"))).id for client in clients]
    assert made[0] == made[1]


async def test_instructions_reach_the_kind_that_takes_them_and_are_refused_for_others(clients: Clients) -> None:
    shown = await clients[0].responses.create(model="Show", input="hello", instructions="Be brief.")
    assert {"text": "hello", "instructions": "Be brief."} == json.loads(shown.output_text)["input"]
    assert "Be brief." == shown.instructions
    said: Any = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "hello"}]
    shown = await clients[0].responses.create(model="Show", input=said)
    assert {"text": "hello", "instructions": "Be kind."} == json.loads(shown.output_text)["input"]
    for model in ("Answer", "default"):
        with pytest.raises(openai.BadRequestError, match="takes none"):
            await clients[0].responses.create(model=model, input="hello", instructions="Be brief.")
    with pytest.raises(openai.BadRequestError, match="takes none"):
        await clients[1].chat.completions.create(model="Show", messages=said)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "function", "name": "f", "parameters": {}}]),
        ("tool_choice", "required"),
        ("store", False),
        ("temperature", 0.2),
        ("max_output_tokens", 10),
        ("text", {"format": {"type": "json_object"}}),
        ("include", ["reasoning.encrypted_content"]),
        ("truncation", "auto"),
        ("prompt", {"id": "pmpt_1"}),
        ("reasoning", {"effort": "high"}),
        ("input", [{"type": "function_call_output", "call_id": "c", "output": "x"}]),
        ("input", [{"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com/x.png"}]}]),
        ("input", [{"role": "assistant", "content": "I said so"}, {"role": "user", "content": "x"}]),
        ("input", [{"type": "item_reference", "id": "msg_1"}]),
    ],
)
async def test_what_is_not_supported_is_refused_by_its_name(
    doors: tuple[Gateway, Gateway], field: str, value: Any
) -> None:
    refused = await doors[0].send("POST", "/v1/responses", json={"input": "x", field: value})
    error = refused.json()["error"]
    assert (400, "invalid_request_error", "unsupported_parameter") == (
        refused.status_code,
        error["type"],
        error["code"],
    )
    assert error["param"].startswith(field)
    assert "is not supported" in error["message"]


async def test_what_changes_nothing_is_let_through(clients: Clients) -> None:
    made = await clients[0].responses.create(
        input=BANANA, temperature=1, top_p=1, tools=[], tool_choice="auto", store=True, truncation="disabled", user="u"
    )
    assert "completed" == made.status
    said = await clients[0].chat.completions.create(
        model="default", messages=[{"role": "user", "content": BANANA}], n=1, presence_penalty=0, stop=None
    )
    assert "yellow" in str(said.choices[0].message.content)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"input": ""}, 400, "invalid_type"),
        ({"input": []}, 400, "invalid_type"),
        ({"input": 3}, 400, "invalid_type"),
        ({"input": "x", "model": 3}, 400, "invalid_type"),
        ({"input": "x", "frobnicate": 1}, 400, "unknown_parameter"),
        ({"input": "x", "conversation": "none-such"}, 404, "session_not_found"),
        ({"input": "x", "conversation": "a/b"}, 404, "session_not_found"),
        ({"input": "x", "previous_response_id": "resp_none"}, 400, "previous_response_not_found"),
        ({"input": "x", "previous_response_id": "resp_YS9i"}, 400, "previous_response_not_found"),
        ({"input": "x", "conversation": "a", "previous_response_id": "b"}, 400, "mutually_exclusive_parameters"),
        ({"input": "x" * 70_000}, 413, "input_too_large"),
        ({"input": "x", "metadata": {"a": "b" * 2_000}}, 400, "invalid_request"),
        ({"input": "x", "metadata": {"a": 1}}, 400, "invalid_type"),
        ({"input": [{"type": "mcp_approval_response", "approval_request_id": "mcpr_x", "approve": True}]}, 400, None),
    ],
)
async def test_errors_have_openais_shape(
    doors: tuple[Gateway, Gateway], body: dict[str, Any], status: int, code: str | None
) -> None:
    refused = await doors[0].send("POST", "/v1/responses", json=body)
    error = refused.json()["error"]
    assert {"message", "type", "param", "code"} == set(error)
    assert (status, code or error["code"]) == (refused.status_code, error["code"]), error


async def test_only_the_kinds_that_are_allowed_are_models(server: Server, harness: Harness) -> None:
    async with gateway(server, harness, kinds="Answer") as door:
        refused = await door.send("POST", "/v1/responses", json={"model": "Hang", "input": "x"})
        assert (404, "model_not_found") == (refused.status_code, refused.json()["error"]["code"])


async def test_a_chat_with_an_id_is_a_session_of_its_own(clients: Clients) -> None:
    async def said(client: AsyncOpenAI, text: str, header: str, chat: str, *earlier: Any) -> str:
        made = await client.chat.completions.create(
            model="Answer",
            messages=[*earlier, {"role": "user", "content": text}],
            extra_headers={header: chat},
        )
        return str(made.choices[0].message.content)

    for header in ("X-OpenWebUI-Chat-Id", "X-LibreChat-Conversation-Id", "X-Conversation-Id"):
        one, other = clients
        await said(one, "My name is Ada.", header, "c1" + header)
        earlier = [{"role": "user", "content": "My name is Bob."}, {"role": "assistant", "content": "Hello Bob."}]
        assert "Ada" in await said(other, "What is my name?", header, "c1" + header, *earlier)
        assert "Ada" not in await said(other, "What is my name?", header, "c2" + header)


async def test_a_chat_without_an_id_is_an_isolated_task(clients: Clients, harness: Harness) -> None:
    one, other = clients
    made = await one.chat.completions.create(model="Answer", messages=[{"role": "user", "content": "My name is Ada."}])
    assert "can't remember" in str(made.choices[0].message.content)
    assert ("chat.completion", "stop") == (made.object, made.choices[0].finish_reason)
    with pytest.raises(openai.BadRequestError, match="X-Conversation-Id"):
        await other.chat.completions.create(
            model="Answer",
            messages=[
                {"role": "user", "content": BANANA},
                {"role": "assistant", "content": "Yellow."},
                {"role": "user", "content": SUN},
            ],
            extra_headers={"X-LibreChat-Conversation-Id": "{{LIBRECHAT_BODY_CONVERSATIONID}}"},
        )


async def test_a_task_that_fails_is_an_error_that_no_client_repeats(doors: tuple[Gateway, Gateway]) -> None:
    body = {"model": "Raise", "messages": [{"role": "user", "content": "named"}]}
    failed = await doors[0].send("POST", "/v1/chat/completions", json=body)
    error = failed.json()["error"]
    assert (500, "OutOfTea: out of tea", "false") == (
        failed.status_code,
        error["message"],
        failed.headers["x-should-retry"],
    )
    made = await doors[1].client().responses.create(model="Raise", input="named")
    assert made.error
    assert ("failed", "OutOfTea: out of tea") == (made.status, made.error.message)


@pytest.mark.rare
async def test_a_session_without_a_worker_is_told_as_503_with_a_time_to_come_again(
    server: Server, elsewhere: Harness
) -> None:
    session = await elsewhere.open()
    async with gateway(server, elsewhere) as door:
        refused = await door.send("GET", f"/v1/conversations/{session.id}")
        assert (503, "no_worker", "1") == (
            refused.status_code,
            refused.json()["error"]["code"],
            refused.headers["retry-after"],
        )
    await session.temporal.get_workflow_handle(session.id).terminate()

"""Summaries: what a model is asked for and given, how much of it is kept, and what the offline one remembers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.models.offline import UNKNOWN, OfflineModel
from activities.models.offline_memory import Memory
from activities.models.openai import SYSTEM, OpenAIModel
from activities.models.protocol import Exchange, ModelReply, ModelRequest, SummaryRequest
from activities.summarise import SummaryActivities
from tests.openai_server import OpenAIServer, Reply, ok
from workflows.wire.conversation import BEFORE
from workflows.wire.encoding import json_bytes

OFFLINE = OfflineModel()


def turns(*said: tuple[Any, Any]) -> list[Exchange]:
    return [Exchange(input=asked, output=came) for asked, came in said]


TALK = turns(("My name is Ada", "Nice to meet you."), ("Where is A7?", {"at": "the door"}))


# --- a model behind OpenAI's protocol ---------------------------------------------------------------------------------


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-0123456789abcdefghijklmnop")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


async def summed_up(turns: list[Exchange], summary: str | None = None, limit: int = 600) -> ModelReply:
    """What the activity makes of it with that model."""
    model = OpenAIModel("gpt-test")
    try:
        request = SummaryRequest(turns=turns, summary=summary, limit=limit)
        reply = await ActivityEnvironment().run(SummaryActivities(model).summarise, request)
    finally:
        await model.close()
    assert isinstance(reply, ModelReply)
    return reply


async def test_a_model_is_given_the_old_summary_and_the_turns_and_asked_for_a_new_one(server: OpenAIServer) -> None:
    server.script.append(ok("Ada asks for A7, at the door.", {"prompt_tokens": 12, "completion_tokens": 3}))
    reply = await summed_up(TALK, "Someone came in.")
    assert ("Ada asks for A7, at the door.", None) == (reply.text, reply.patch)
    assert {"input_tokens": 12, "output_tokens": 3} == reply.usage
    first, *said, asked = server.requests[0].body["messages"]
    assert {"role": "system", "content": f"{SYSTEM}\n\n{BEFORE}Someone came in."} == first
    assert ["My name is Ada", "Nice to meet you.", "Where is A7?", '{"at":"the door"}'] == [m["content"] for m in said]
    assert "user" == asked["role"]
    assert "Do not answer" in asked["content"]
    assert "at most 50 words" in asked["content"]


async def test_a_summary_that_is_too_long_is_cut(server: OpenAIServer) -> None:
    server.script.append(ok('"Ada" ' * 1_000))
    text = (await summed_up(TALK)).text
    assert json_bytes(text) - 2 <= 600
    assert text.endswith("…")


@pytest.mark.parametrize("reply", [ok(None, refusal="I would rather not."), ok("Ada", finish_reason="content_filter")])
async def test_a_refusal_is_no_summary(server: OpenAIServer, reply: Reply) -> None:
    server.script.append(reply)
    with pytest.raises(ApplicationError) as caught:
        await summed_up(TALK)
    assert ("NoSummary", True) == (caught.value.type, caught.value.non_retryable)


async def test_an_answer_has_the_summary_before_the_turns_and_not_among_the_values(server: OpenAIServer) -> None:
    model = OpenAIModel("gpt-test")
    values = {"summary": "Ada came in.", "topic": "space"}
    for asked in (values, {"summary": {"mine": 1}}):
        server.script.append(ok("Yes."))
        await model.reply(ModelRequest(question="And?", transcript=TALK, values=asked, write=False))
    await model.close()
    first, other = (request.body["messages"][0]["content"] for request in server.requests)
    assert f'{SYSTEM} The session\'s context values, as JSON: {{"topic":"space"}}\n\n{BEFORE}Ada came in.' == first
    assert f'{SYSTEM} The session\'s context values, as JSON: {{"summary":{{"mine":1}}}}' == other


# --- the offline model ------------------------------------------------------------------------------------------------


async def remembered(question: str, summary: str | None, transcript: list[Exchange] | None = None) -> str:
    """What it answers from a summary."""
    values = {} if summary is None else {"summary": summary}
    request = ModelRequest(question=question, transcript=transcript or [], values=values, write=False)
    return (await OFFLINE.reply(request)).text


async def summary_of(turns: list[Exchange], summary: str | None = None, limit: int = 8_192) -> str:
    return (await OFFLINE.summarise(SummaryRequest(turns=turns, summary=summary, limit=limit))).text


async def test_the_offline_model_answers_from_a_summary_of_summaries() -> None:
    summary = await summary_of(turns(("The code of the door is 4711.", UNKNOWN), ("My name is Ada", "Hello")))
    for number in range(20):
        summary = await summary_of(turns((f"How many legs has spider {number}?", "Eight."), (1, 2)), summary)
    for question, answer in {
        "What is the code of the door?": "You said: The code of the door is 4711.",
        "What's my name?": "You said: My name is Ada.",
        "What did I ask first?": 'You first asked: "The code of the door is 4711."',
        "How many questions have I asked?": "Earlier questions that I see: 22.",
        "What is the code of the safe?": UNKNOWN,
    }.items():
        assert (question, answer) == (question, await remembered(question, summary))


async def test_what_was_said_last_counts_and_what_was_to_be_forgotten_is() -> None:
    said = turns(("My name is Ada", 1), ("My name is Eve", 1), ("The code is 1", 1), ("Forget my name", 1))
    assert "Eve" in await summary_of(said[:3])
    assert "Ada" not in (await summary_of(said[:3])).replace("First asked: My name is Ada", "")
    assert "not told your name" in await remembered("What is my name?", await summary_of(said))
    assert "not told your name" in await remembered("What is my name?", await summary_of(said[:3]), said[3:])
    assert "You said: The code is 1." == await remembered("What is the code?", await summary_of(said))


async def test_a_summary_of_another_model_is_kept_in_front() -> None:
    summary = await summary_of(turns(("My name is Ada", 1)), "The user likes tea.\nAnd cake.")
    assert ["The user likes tea.", "And cake."] == summary.splitlines()[:2]


@given(
    said=st.lists(st.tuples(st.sampled_from(["name", "dish", "code of the door", "Zug"]), st.text(max_size=400))),
    limit=st.integers(200, 2_000),
)
@example(said=[("name", ".")], limit=200)
def test_a_summary_stays_within_its_limit_and_reads_as_it_was_written(said: list[tuple[str, str]], limit: int) -> None:
    memory = Memory().with_turns(turns(*((f"My {what} is {value}", value) for what, value in said)))
    assert json_bytes(memory.text(limit)) - 2 <= limit
    text = memory.text(100_000)
    assert text == Memory.of(text).text(100_000)

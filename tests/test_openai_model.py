"""OpenAIModel against a real HTTP server: what it sends, what it makes of every fault, and that no key shows."""

import asyncio
import base64
import gc
import logging
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError

from activities.models import openai as openai_model
from activities.models.hiding import LOGGERS
from activities.models.openai import OpenAIModel
from activities.models.protocol import ONCE_MORE, LanguageModel, ModelReply, ModelRequest
from tests import canary
from tests.conformance.caller import WAIT
from tests.openai_server import BASE64_HEAD, DISGUISES, HEAD, KEY, MASKED_KEY, OpenAIServer, Reply, ok, refusal
from workflows.contract import InjectedContext, Turn

SECRET = "sk-proj-0123456789abcdefghijklmnop"  # noqa: S105 (opens nothing)
NOW = datetime.now(UTC)
QUESTION = ModelRequest(question="What colour is a banana?", transcript=[], values={}, write=False)


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
def environment(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return monkeypatch


@pytest.fixture
async def model(environment: pytest.MonkeyPatch) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel("gpt-test")
    yield model
    await model.close()


async def failure_of(model: OpenAIModel, request: ModelRequest = QUESTION) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await model.reply(request)
    return caught.value


def everything_told_by(error: BaseException) -> str:
    """What logs, people and Temporal's history may see of an error, its cause and context included."""
    failure = Failure()
    converter = DataConverter.default
    converter.failure_converter.to_failure(error, converter.payload_converter, failure)
    texts = ["".join(traceback.format_exception(error)), str(failure)]
    link: BaseException | None = error
    while link:
        texts += [str(link), repr(link), repr(vars(link))]
        link = link.__cause__ or link.__context__
    return "\n".join(texts)


def turn(given: Any, answered: Any) -> Turn:
    return Turn(task_id="t", version=1, input=given, output=answered, finished_at=NOW)


async def test_an_answer_comes_with_its_usage_and_no_patch(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.append(ok("Yellow.", {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}))
    reply = await model.reply(QUESTION)
    assert reply == ModelReply(text="Yellow.", model="m", usage={"input_tokens": 12, "output_tokens": 3})


@pytest.mark.parametrize("usage", [None, {}, "many", {"prompt_tokens": None, "completion_tokens": "3"}])
async def test_an_answer_is_not_lost_over_its_usage(server: OpenAIServer, model: OpenAIModel, usage: Any) -> None:
    server.script.append(ok("Yellow.", usage))
    assert await model.reply(QUESTION) == ModelReply(text="Yellow.", model="m")


@pytest.mark.parametrize(
    ("given", "told"),
    [("stop", None), ("length", "length"), ("content_filter", "content_filter"), ("tool_calls", "tool_calls")],
)
async def test_an_answer_says_why_it_ended(
    server: OpenAIServer, model: OpenAIModel, given: str, told: str | None
) -> None:
    server.script.append(ok("Yell", finish_reason=given))
    assert await model.reply(QUESTION) == ModelReply(text="Yell", model="m", finish_reason=told)


@pytest.mark.parametrize("reason", [None, "", 7, {"type": "stop"}, "long" * 1_000])
async def test_an_answer_is_not_lost_over_why_it_ended(server: OpenAIServer, model: OpenAIModel, reason: Any) -> None:
    server.script.append(ok("Yellow.", finish_reason=reason))
    reply = await model.reply(QUESTION)
    assert reply.text == "Yellow."
    assert (reply.finish_reason or "long").startswith("long")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "I cannot help with that."),
        ("", "I cannot help with that."),
        ("Well.", "Well.\n\nI cannot help with that."),
    ],
)
async def test_what_a_model_says_when_it_refuses_is_the_answer(
    server: OpenAIServer, model: OpenAIModel, content: str | None, text: str
) -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 3}
    server.script.append(ok(content, usage, refusal="I cannot help with that."))
    assert await model.reply(QUESTION) == ModelReply(
        text=text, usage={"input_tokens": 12, "output_tokens": 3}, finish_reason="refusal", model="m"
    )


@pytest.mark.parametrize("empty", [None, "", " \n"])
async def test_a_refusal_without_a_word_is_none(server: OpenAIServer, model: OpenAIModel, empty: str | None) -> None:
    server.script.append(ok("Yellow.", refusal=empty))
    assert await model.reply(QUESTION) == ModelReply(text="Yellow.", model="m")


async def test_it_is_a_language_model_known_by_its_name(model: OpenAIModel) -> None:
    as_protocol: LanguageModel = model
    assert as_protocol.name == "openai:gpt-test"


async def test_a_request_holds_the_values_then_the_turns_then_the_question(
    server: OpenAIServer, model: OpenAIModel
) -> None:
    transcript = [
        turn("Hello", "Hi."),
        turn({"text": "How big is the sun?"}, {"text": "Big."}),
        turn({"text": "Count", "upto": 2}, [1, 2]),
        turn("Grüße", None),
    ]
    values = {"name": "Zoë", "likes": ["bananas"]}
    context = InjectedContext(version=9, transcript=transcript, values=values, write=True)
    await model.reply(ModelRequest.of("And the moon?", context))

    request = server.requests[0]
    system, *rest = request.body["messages"]
    assert (request.target, request.body["model"], request.key) == ("/v1/chat/completions", "gpt-test", SECRET)
    assert system["role"] == "system"
    assert system["content"].endswith('{"likes":["bananas"],"name":"Zoë"}')
    assert [(message["role"], message["content"]) for message in rest] == [
        ("user", "Hello"),
        ("assistant", "Hi."),
        ("user", "How big is the sun?"),
        ("assistant", "Big."),
        ("user", '{"text":"Count","upto":2}'),
        ("assistant", "[1,2]"),
        ("user", "Grüße"),
        ("assistant", "null"),
        ("user", "And the moon?"),
    ]


async def test_an_isolated_task_sends_nothing_but_its_question(server: OpenAIServer, model: OpenAIModel) -> None:
    await model.reply(QUESTION)
    assert server.requests[0].body["messages"] == [
        {"role": "system", "content": openai_model.SYSTEM},
        {"role": "user", "content": QUESTION.question},
    ]


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (402, "APIStatusError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (422, "UnprocessableEntityError"),
    ],
)
async def test_what_a_retry_cannot_mend_fails_at_once_in_the_providers_words(
    server: OpenAIServer, model: OpenAIModel, status: int, name: str
) -> None:
    server.script.append(refusal(status, "The model does not exist.", {"retry-after": "5"}))
    error = await failure_of(model)
    assert (error.type, error.non_retryable, error.next_retry_delay) == (name, True, None)
    assert error.message.endswith(f": HTTP {status}: The model does not exist.")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "name"),
    [(408, "APIStatusError"), (429, "RateLimitError"), (500, "InternalServerError"), (503, "InternalServerError")],
)
async def test_what_may_pass_is_left_to_temporal_to_retry(
    server: OpenAIServer, model: OpenAIModel, status: int, name: str
) -> None:
    server.script.append(refusal(status, "Come back later."))
    error = await failure_of(model)
    assert (error.type, error.non_retryable, error.next_retry_delay) == (name, False, None)
    assert len(server.requests) == 1, "the client retried by itself"


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_not_active"])
@pytest.mark.parametrize("where", ["code", "type"])
async def test_a_rate_limit_that_is_an_empty_account_is_final(
    server: OpenAIServer, model: OpenAIModel, code: str, where: str
) -> None:
    body = f'{{"error": {{"message": "You exceeded your current quota.", "{where}": "{code}"}}}}'
    server.script.append(Reply(429, body, {"retry-after": "5"}))
    error = await failure_of(model)
    assert (error.type, error.non_retryable, error.next_retry_delay) == ("RateLimitError", True, None)
    assert error.message.endswith(f": HTTP 429: You exceeded your current quota. ({code})")


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "86400"}, openai_model.RETRY_AFTER_SECONDS),
        ({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}, openai_model.RETRY_AFTER_SECONDS),
        ({"retry-after": "1e308"}, openai_model.RETRY_AFTER_SECONDS),
    ],
)
async def test_a_retry_waits_as_long_as_the_provider_asks_within_reason(
    server: OpenAIServer, model: OpenAIModel, headers: dict[str, str], delay: float
) -> None:
    server.script.append(refusal(429, "Slow down.", headers))
    assert (await failure_of(model)).next_retry_delay == timedelta(seconds=delay)


async def test_a_retry_may_be_asked_for_by_date(server: OpenAIServer, model: OpenAIModel) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    server.script.append(refusal(503, "Slow down.", {"retry-after": date}))
    delay = (await failure_of(model)).next_retry_delay
    assert delay is not None
    assert timedelta(seconds=95) < delay <= timedelta(seconds=100)


@pytest.mark.parametrize(
    "asked",
    ["", "0", "-5", "nan", "inf", "1e999", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 1 Jan 99999999999 0:0"],
)
async def test_nonsense_and_the_past_leave_the_delay_to_temporals_policy(
    server: OpenAIServer, model: OpenAIModel, asked: str
) -> None:
    server.script.append(refusal(429, "Slow down.", {"retry-after": asked}))
    error = await failure_of(model)
    assert (error.type, error.next_retry_delay) == ("RateLimitError", None)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"error": "no such model"}', "no such model"),
        ('{"detail": "Not Found"}', "{'detail': 'Not Found'}"),
        ("<html>\n  Not here\n</html>", "<html> Not here </html>"),
        ('{"error": {"message": "half \\ud83d"}}', "half \ufffd"),
        ("", "no reason given"),
    ],
)
async def test_a_reason_is_told_in_whatever_form_it_came(
    server: OpenAIServer, model: OpenAIModel, body: str, reason: str
) -> None:
    server.script.append(Reply(404, body))
    assert (await failure_of(model)).message.endswith(f": HTTP 404: {reason}")


async def test_an_error_text_stays_short(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.append(Reply(502, "<p>" + "bad gateway " * 100_000))
    assert len((await failure_of(model)).message) <= openai_model.MESSAGE_BYTES


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<html>welcome</html>", "Invalid JSON"),
        ("", "Invalid JSON"),
        ("null", "reply: "),
        ('{"error": {"message": "overloaded"}}', "choices: Field required"),
    ],
)
async def test_a_garbage_answer_is_worth_a_retry(
    server: OpenAIServer, model: OpenAIModel, body: str, fault: str
) -> None:
    for content_type in ("application/json", "text/html"):
        server.script.append(Reply(200, body, {"content-type": content_type}))
        error = await failure_of(model)
        assert (error.type, error.non_retryable) == ("InvalidModelReply", False)
        assert fault in error.message
        assert body[:20] in error.message


@pytest.mark.parametrize(
    ("body", "name", "fault"),
    [
        ('{"choices": []}', "EmptyModelReply", "no text in it"),
        ('{"choices": [{"message": {}}]}', "EmptyModelReply", "no text in it"),
        ('{"choices": [{"message": {"content": null}}]}', "EmptyModelReply", "no text in it"),
        ('{"choices": [{"message": {"content": " \\n", "refusal": ""}}]}', "EmptyModelReply", "no text in it"),
        ('{"choices": null}', "InvalidModelReply", "choices: "),
        ('{"choices": [{}]}', "InvalidModelReply", "choices.0.message: "),
        ('{"choices": [{"message": {"content": ["Yellow."]}}]}', "InvalidModelReply", "choices.0.message.content: "),
    ],
)
async def test_a_completion_without_an_answer_is_not_left_to_temporal_to_retry(
    server: OpenAIServer, model: OpenAIModel, body: str, name: str, fault: str
) -> None:
    """Each attempt is paid for: the kind decides that there is one more."""
    server.script.append(Reply(200, body))
    error = await failure_of(model)
    assert (error.type, error.non_retryable) == (name, True)
    assert error.type in ONCE_MORE
    assert fault in error.message
    assert body[:20] in error.message


async def test_an_answer_with_half_a_character_is_an_answer(server: OpenAIServer, model: OpenAIModel) -> None:
    """As models send it that are cut off inside an emoji; asked again they are paid again."""
    server.script.append(Reply(200, '{"choices": [{"message": {"content": "half \\ud83d"}}]}'))
    assert await model.reply(QUESTION) == ModelReply(text="half \ufffd")
    assert ModelReply(text="half \ufffd") == ModelReply(text="half \ud83d")


async def test_a_connection_cut_in_the_middle_is_worth_a_retry(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.append(ok(cut=True))
    error = await failure_of(model)
    assert (error.type, error.non_retryable) == ("APIConnectionError", False)
    assert await model.reply(QUESTION) == ModelReply(text="Yellow.", model="m")


async def test_an_absent_endpoint_is_worth_a_retry_and_named(environment: pytest.MonkeyPatch) -> None:
    async with OpenAIServer() as gone:
        environment.setenv("OPENAI_BASE_URL", gone.url)
    model = OpenAIModel("gpt-test")
    error = await failure_of(model)
    await model.close()
    assert (error.type, error.non_retryable) == ("APIConnectionError", False)
    assert error.message.startswith("127.0.0.1:")


async def test_silence_times_out_and_is_worth_a_retry(server: OpenAIServer, environment: pytest.MonkeyPatch) -> None:
    environment.setattr(openai_model, "HTTP_TIMEOUT_SECONDS", 0.1)
    server.script.append(ok(delay=2.0))
    model = OpenAIModel("gpt-test")
    error = await failure_of(model)
    await model.close()
    assert (error.type, error.non_retryable) == ("APITimeoutError", False)


async def test_a_scheme_may_be_written_in_capitals(server: OpenAIServer, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OPENAI_BASE_URL", server.url.replace("http", "HTTP"))
    server.script.append(ok())
    model = OpenAIModel("gpt-test")
    await model.reply(QUESTION)
    await model.close()


async def test_a_slow_answer_is_an_answer(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.append(ok(delay=0.2))
    assert await model.reply(QUESTION) == ModelReply(text="Yellow.", model="m")


async def test_cancellation_ends_the_request(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.append(ok(delay=2 * WAIT))
    task = asyncio.create_task(model.reply(QUESTION))
    request = await server.received()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(request.hung_up.wait(), WAIT)


@pytest.mark.parametrize(
    "reply",
    [
        refusal(401, f"Incorrect API key provided: {KEY}. You can find your key at https://platform.openai.com."),
        refusal(401, f"Incorrect API key provided: {MASKED_KEY}."),
        refusal(400, f"key={KEY}"),
        refusal(429, f"{KEY}, slow down"),
        refusal(500, f"x{KEY}y"),
        Reply(403, f'{{"detail":"{KEY}"}}'),
        Reply(502, f"<p>{KEY}</p>"),
        Reply(502, "a" * (openai_model.MESSAGE_BYTES - 40) + f" {KEY}"),
        Reply(200, f"your key is {KEY}"),
        Reply(200, f'{{"choices": "{KEY}"}}'),
        ok(KEY, cut=True),
        ok(None, finish_reason=KEY),
        *(refusal(401, f"You sent {form}, and no more.") for form in DISGUISES),
        *(Reply(502, f"<p>{form}</p>") for form in DISGUISES),
        *(Reply(200, f'{{"choices": [{{"message": {{"content": ["{form}"]}}}}]}}') for form in DISGUISES),
    ],
)
@pytest.mark.parametrize("key", [SECRET, "token-abc:d/e+f=="])
async def test_no_error_shows_the_key(
    server: OpenAIServer, environment: pytest.MonkeyPatch, reply: Reply, key: str
) -> None:
    environment.setenv("OPENAI_API_KEY", f" {key}\n")
    server.script.append(reply)
    model = OpenAIModel("gpt-test")
    error = await failure_of(model)
    await model.close()
    assert server.requests[0].key == key
    assert set() == canary.told(key, everything_told_by(error))


@pytest.mark.parametrize("form", [KEY, *DISGUISES])
async def test_no_answer_shows_the_key(server: OpenAIServer, model: OpenAIModel, form: str) -> None:
    server.script += [ok(f"Yellow, {form}."), ok(None, refusal=f"No: {form}"), ok("Yellow.", finish_reason=form)]
    replies = [await model.reply(QUESTION) for _ in range(3)]
    assert set() == canary.told(SECRET, repr(replies))
    assert all("[key]" in reply.text for reply in replies[:2])


async def test_an_answer_keeps_what_only_looks_like_a_key(server: OpenAIServer, model: OpenAIModel) -> None:
    said = "OpenAI's keys begin with sk-, ***always***; a key is required."
    server.script.append(ok(said))
    assert (await model.reply(QUESTION)).text == said


USERINFO = "us%2Fer-name:pa%40ss-W0rd%2F1"
QUERY = "key=AIza%2FSecret-1234&short=hunter2&api-version=2024-02-01"
IN_THE_ADDRESS = ["us/er-name", "pa@ss-W0rd/1", "us/er-name:pa@ss-W0rd/1", "AIza/Secret-1234"]


def by(url: str) -> str:
    """The address of an endpoint with secrets in it."""
    return f"{url.replace('http://', f'http://{USERINFO}@')}?{QUERY}"


async def test_userinfo_and_query_of_the_address_are_sent_as_they_stand_there(
    server: OpenAIServer, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("OPENAI_BASE_URL", by(server.url))
    model = OpenAIModel("gpt-test")
    await model.reply(QUESTION)
    await model.close()
    (request,) = server.requests
    assert request.target == f"/v1/chat/completions?{QUERY}"
    assert request.headers["authorization"] == f"Basic {base64.b64encode(b'us/er-name:pa@ss-W0rd/1').decode()}"


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
@pytest.mark.parametrize(
    "reply",
    [
        ok(),
        ok(f"You sent {HEAD}"),
        ok(f"You sent {BASE64_HEAD}"),
        refusal(401, f"You sent {HEAD}"),
        refusal(401, f"You sent {BASE64_HEAD}"),
        Reply(401, HEAD, {"x-head": HEAD, "x-head-64": BASE64_HEAD}, reason=HEAD),
        Reply(307, "", {"location": f"/login?head={BASE64_HEAD}"}),
    ],
)
async def test_what_is_secret_in_the_address_is_in_no_log_error_or_answer(
    server: OpenAIServer,
    environment: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    reply: Reply,
    level: int,
) -> None:
    caplog.set_level(level)
    environment.setenv("OPENAI_BASE_URL", by(server.url))
    server.script.append(reply)
    model = OpenAIModel("gpt-test")
    (outcome,) = await asyncio.gather(model.reply(QUESTION), return_exceptions=True)
    await model.close()
    logged = "\n".join(map(logging.Formatter().format, caplog.records)) + repr([vars(line) for line in caplog.records])
    said = everything_told_by(outcome) if isinstance(outcome, BaseException) else repr(outcome)
    for secret in IN_THE_ADDRESS:
        assert set() == canary.told(secret, said + logged)
    # So short a secret may be a word, which an answer keeps.
    assert "hunter2" not in (logged if isinstance(outcome, ModelReply) else said + logged)
    line = f"HTTP Request: POST {server.url}/chat/completions?key=[key]&short=[key]&api-version=2024-02-01 "
    assert line in logged
    if isinstance(outcome, ApplicationError):
        assert outcome.message.startswith(f"{server.url.split('/')[2]}: ")


async def test_short_userinfo_is_hidden_as_it_is_sent(
    server: OpenAIServer, environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Base64 of user and password together: each alone is too short to be looked for in other words."""
    caplog.set_level(logging.DEBUG)
    environment.setenv("OPENAI_BASE_URL", server.url.replace("http://", "http://ann:s3cret@"))
    server.script += [ok(HEAD), refusal(401, f"{HEAD}, user ann")]
    model = OpenAIModel("gpt-test")
    answer, error = await model.reply(QUESTION), await failure_of(model)
    await model.close()
    assert "Authorization: Basic [key]" in answer.text
    assert error.message.endswith(", user [key]")
    assert set() == canary.told("ann:s3cret", answer.text + everything_told_by(error) + caplog.text)


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
@pytest.mark.parametrize("form", [KEY, *DISGUISES])
async def test_no_log_line_of_the_client_shows_the_key_that_an_endpoint_echoes(
    server: OpenAIServer, model: OpenAIModel, caplog: pytest.LogCaptureFixture, form: str, level: int
) -> None:
    caplog.set_level(level)
    server.script += [
        Reply(307, "", {"location": f"/login?key={form}"}),
        Reply(401, "no", {"x-key": form}, reason=f"no {form}"),
    ]
    await failure_of(model)
    assert len(server.requests) == 2
    assert "HTTP Request: POST http://127.0.0.1" in caplog.text
    assert set() == canary.told(SECRET, caplog.text)


async def test_a_closed_model_looks_at_no_log(model: OpenAIModel) -> None:
    watched = [logging.getLogger(name) for name in LOGGERS]
    assert all(model._secrets in logger.filters for logger in watched)
    await model.close()
    assert not any(model._secrets in logger.filters for logger in watched)


async def test_keys_that_are_not_ours_stay_hidden_and_other_words_do_not(
    server: OpenAIServer, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("OPENAI_API_KEY", "ollama")
    server.script.append(refusal(401, "sk-other is no task-key, (gsk_***z) neither, nor ollama; ollamas are 401."))
    model = OpenAIModel("gpt-test")
    error = await failure_of(model)
    await model.close()
    assert error.message.endswith("HTTP 401: [key] is no task-key, ([key]) neither, nor [key]; ollamas are 401.")


async def test_an_endpoint_without_keys_needs_none(server: OpenAIServer, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("OPENAI_API_KEY")
    server.script.append(refusal(404, "There is none."))
    model = OpenAIModel("llama")
    error = await failure_of(model)
    await model.close()
    assert server.requests[0].key == "none"
    assert error.message.endswith("There is none.")


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "'gpt-test' needs OPENAI_API_KEY, or OPENAI_BASE_URL"),
        ({"OPENAI_API_KEY": " ", "OPENAI_BASE_URL": ""}, "'gpt-test' needs OPENAI_API_KEY, or OPENAI_BASE_URL"),
        ({"OPENAI_API_KEY": "sk-“quoted”"}, "OPENAI_API_KEY holds characters"),
        ({"OPENAI_BASE_URL": "localhost:11434/v1"}, "OPENAI_BASE_URL must begin with http"),
        ({"OPENAI_BASE_URL": "ftp://user:quoted@host/v1"}, "OPENAI_BASE_URL must begin with http"),
        ({"OPENAI_BASE_URL": "https://user:quoted/@host/v1"}, "OPENAI_BASE_URL must begin with http"),
        ({"OPENAI_BASE_URL": "https://user:12#quoted@host/v1"}, "OPENAI_BASE_URL must begin with http"),
        ({"OPENAI_BASE_URL": "https://user:12?quoted@host/v1"}, "OPENAI_BASE_URL must begin with http"),
        ({"OPENAI_BASE_URL": "https://user:quoted@/v1"}, "OPENAI_BASE_URL must begin with http"),
        ({"OPENAI_BASE_URL": "https://user:quoted@[::1/v1"}, "OPENAI_BASE_URL must begin with http"),
        ({"OPENAI_BASE_URL": "https://user:quoted@host:99999/v1"}, "OPENAI_BASE_URL must begin with http"),
        ({"OPENAI_BASE_URL": "https://user:quoted@ho\x01quoted/v1"}, "InvalidURL: OPENAI_BASE_URL"),
        (
            {"OPENAI_API_KEY": "k", "HTTP_PROXY": "http://user:quoted@[::1/"},
            "InvalidURL: OPENAI_BASE_URL, or the address of a proxy",
        ),
    ],
)
async def test_what_is_missing_or_unusable_is_said_before_any_task_runs(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    gc.collect()
    with pytest.raises(RuntimeError, match=told) as caught:
        OpenAIModel("gpt-test")
    assert not [thing for thing in gc.get_objects() if type(thing) is AsyncOpenAI], "nobody would close it"
    assert "\n" not in str(caught.value)
    assert "quoted" not in everything_told_by(caught.value)


def test_without_the_package_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['openai'] = None; from activities.models.openai import OpenAIModel; OpenAIModel('m')"
    )
    run = subprocess.run(  # noqa: S603 (our own interpreter and code)
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env={"OPENAI_API_KEY": SECRET},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith("RuntimeError: model 'm' needs the `openai` package: pip install openai")

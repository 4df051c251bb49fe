"""SIGKILL during an answer: of the gateway, the worker, the server. The client repeats its request under its key."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from starter.client import SessionClient
from starter.client.connection import connect
from tests.agui import Thread
from tests.gateways import gateway
from tests.harness import WAIT, Harness
from tests.openai_server import OpenAIServer, ok
from tests.servers import own_server, running
from tests.test_crashes import WorkerProcess, stopping

ANSWER_SECONDS = 1.0
"""What the model takes: long enough to be killed in."""

PAUSE_SECONDS = 0.2

BANANA = "What colour is a banana?"
KEY = {"Idempotency-Key": "the one"}
CHAT = {"X-Conversation-Id": "the chat"}


async def _response(client: AsyncOpenAI) -> str:
    text = ""
    async for found in await client.responses.create(input="What colour is a banana?", stream=True, extra_headers=KEY):
        match found.type:
            case "response.output_text.delta":
                text += found.delta
            case "response.completed":
                assert text == found.response.output_text
                return text
    raise ConnectionError("the stream was cut")


async def _chat(client: AsyncOpenAI) -> str:
    said: Any = {"role": "user", "content": "What colour is a banana?"}
    text, reason = "", None
    async for chunk in await client.chat.completions.create(
        model="Answer", messages=[said], stream=True, extra_headers=KEY | CHAT
    ):
        text += chunk.choices[0].delta.content or ""
        reason = chunk.choices[0].finish_reason or reason
    if reason is None:
        raise ConnectionError("the stream was cut")
    return text


async def _run(client: AsyncOpenAI) -> str:
    """A run of AG-UI, at the gateway of that client."""
    thread = Thread("none", thread_id="the thread")
    events = await thread.run(str(client.base_url.copy_with(path="")), BANANA, run_id="the one")
    if "RUN_FINISHED" != events[-1]["type"]:
        raise ConnectionError("the run was cut")
    assert [("user", BANANA), ("assistant", events[-1]["result"])] == thread.shown()
    return str(events[-1]["result"])


async def _until_answered(client: AsyncOpenAI, ask: Any) -> str:
    """What a client gets that repeats its request, as it was, until it has the answer."""
    while True:
        with contextlib.suppress(openai.APIError, httpx.HTTPError, ConnectionError):
            return str(await ask(client))
        await asyncio.sleep(PAUSE_SECONDS)


@pytest.mark.rare
@pytest.mark.timeout(300)
@pytest.mark.parametrize("ask", [_response, _chat, _run])
@pytest.mark.parametrize("killed", ["gateway", "worker", "server"])
async def test_a_kill_during_an_answer_costs_the_client_a_retry_and_no_task_runs_twice(
    killed: str, ask: Any, tmp_path: Path
) -> None:
    async with running(own_server(database=tmp_path / "t.db")) as server, OpenAIServer() as model:
        model.script.extend(ok("A banana is yellow.", delay=ANSWER_SECONDS) for _ in range(5))
        harness = Harness(await connect(server.address))
        worker = WorkerProcess(
            server.address,
            harness.queue,
            {"SESSIONS_MODEL": "openai:m", "OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "k"},
        )
        with stopping(worker):
            worker.start()
            async with gateway(server, harness) as door:
                answer = asyncio.create_task(_until_answered(door.client(), ask))
                async with asyncio.timeout(WAIT):
                    await model.received()
                match killed:
                    case "gateway":
                        port = door.url.rpartition(":")[2]
                        await door.end(signal.SIGKILL)
                        await door.start(port)
                    case "worker":
                        worker.kill()
                        worker.start()
                    case "server":
                        server.kill()
                        await server.start()
                async with asyncio.timeout(2 * WAIT):
                    assert "A banana is yellow." == await answer
                client = SessionClient(await connect(server.address), harness.queue)
                sessions = [found.session_id async for found in client.list(10)]
                assert 1 == len(sessions)
                counters = (await client.get(sessions[0]).snapshot()).counters
                assert (1, 1) == (counters.submitted, counters.completed)
                assert "unexpected" not in door.log


@pytest.mark.rare
@pytest.mark.timeout(300)
@pytest.mark.parametrize("killed", ["worker", "server"])
async def test_a_request_that_waits_sits_out_a_kill_behind_the_gateway(killed: str, tmp_path: Path) -> None:
    async with running(own_server(database=tmp_path / "t.db")) as server, OpenAIServer() as model:
        model.script.extend(ok("A banana is yellow.", delay=2 * ANSWER_SECONDS) for _ in range(5))
        harness = Harness(await connect(server.address))
        environment = {"SESSIONS_MODEL": "openai:m", "OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "k"}
        worker = WorkerProcess(server.address, harness.queue, environment)
        with stopping(worker):
            worker.start()
            async with gateway(server, harness) as door:
                client = door.client(timeout=4 * WAIT)
                answer = asyncio.create_task(client.responses.create(input="What colour is a banana?"))
                async with asyncio.timeout(WAIT):
                    await model.received()
                if killed == "worker":
                    worker.kill()
                    worker.start()
                else:
                    server.kill()
                    await asyncio.sleep(PAUSE_SECONDS)
                    await server.start()
                async with asyncio.timeout(2 * WAIT):
                    assert "A banana is yellow." == (await answer).output_text

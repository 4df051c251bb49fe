"""docs/http.md, executed: its commands by bash and curl, what it shows of their answers compared."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from activities.models.offline import OfflineModel
from starter.client.connection import DEFAULT_TASK_QUEUE, connect
from starter.dev_server import LOOPBACK, DevServer
from starter.serving.registration import register_search_attributes
from tests.harness import WAIT, strict_runner
from tests.kinds import ApproveWorkflow
from tests.servers import own_server, running
from worker import KINDS, build_worker

PAGE = (Path(__file__).resolve().parents[1] / "docs/http.md").read_text()
BLOCK = re.compile(r"```sh\n(?P<command>.*?)```\n(?:```json\n(?P<answer>.*?)```\n)?", re.DOTALL)
OMITTED = "…"
SET_BY_THE_SERVER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z")
BETWEEN = "--- the next command ---"

needs_curl = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="no curl or no bash here")


def fits(shown: Any, real: Any) -> bool:
    """Whether `real` is what the page shows, but for ids, times and what the page leaves out."""
    if shown == OMITTED:
        return True
    if isinstance(shown, dict) and isinstance(real, dict):
        named = shown.keys() - {OMITTED}
        complete = OMITTED in shown or named == real.keys()
        return complete and named <= real.keys() and all(fits(shown[key], real[key]) for key in named)
    if isinstance(shown, list) and isinstance(real, list):
        return len(shown) == len(real) and all(map(fits, shown, real))
    if isinstance(shown, str) and isinstance(real, str):
        return SET_BY_THE_SERVER.sub(OMITTED, shown) == SET_BY_THE_SERVER.sub(OMITTED, real)
    return type(shown) is type(real) and shown == real


@pytest.fixture
async def server() -> AsyncIterator[DevServer]:
    """A server that holds nothing yet, as the page has it, with a worker on the queue that the page names."""
    async with running(own_server()) as server:
        temporal = await connect(server.address)
        async with build_worker(
            temporal,
            OfflineModel(),
            queue=DEFAULT_TASK_QUEUE,
            kinds=[*KINDS, ApproveWorkflow],
            search_attributes=await register_search_attributes(temporal),
            workflow_runner=strict_runner(),
        ):
            yield server


@needs_curl
async def test_every_command_of_the_http_page_answers_as_shown(server: DevServer) -> None:
    blocks = list(BLOCK.finditer(PAGE))
    script = f"\necho '{BETWEEN}'\n".join(block["command"] for block in blocks)
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        script,
        env={**os.environ, "B": f"http://{LOOPBACK}:{server.http_port}/api/v1/namespaces/default"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), WAIT)
    finally:
        if process.returncode is None:
            process.kill()
    assert (0, b"") == (process.returncode, errors)
    answers = out.decode().split(f"{BETWEEN}\n")
    assert len(blocks) == len(answers)
    for block, answer in zip(blocks, answers, strict=True):
        if block["answer"]:
            assert fits(json.loads(block["answer"]), json.loads(answer)), block["command"] + answer
        else:
            assert '"code":' not in answer, block["command"] + answer


def test_no_command_of_the_http_page_escapes_the_test() -> None:
    assert PAGE.count("curl -") == sum(block["command"].count("curl -") for block in BLOCK.finditer(PAGE))
    assert PAGE.count("```json") == sum(block["answer"] is not None for block in BLOCK.finditer(PAGE))


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1, OMITTED: OMITTED}, {"b": 2}),
        ([OMITTED], []),
        ({"a": None}, {"a": []}),
        ({"at": "2026-11-24T10:55:19Z"}, {"at": "noon"}),
        (1, True),
    ],
)
def test_an_answer_that_is_not_what_the_page_shows_is_noticed(shown: Any, real: Any) -> None:
    assert not fits(shown, real)

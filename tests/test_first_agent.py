"""docs/first-agent.md, done as its reader does it: every block, in order, in an environment of its own."""

import asyncio
import importlib.util
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.agents import attempts
from starter.client import Session, SessionClient
from starter.dev_server import LOOPBACK, free_port
from starter.program import ROOT
from tests.environments import INSTALL_SECONDS, copied_source, run
from tests.harness import WAIT, snapshot_when
from tests.openai_server import OpenAIServer, Reply, ok
from workflows.contract import task_workflow_id

PAGE = (ROOT / "docs/first-agent.md").read_text()
BLOCK = re.compile(r"(?:^`(?P<file>\w+\.py)`:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PROCESS = "4711"
"""Stands on the page for the number that its reader sees."""

CALLS = ["request model", "call tool: <agent>:look_up", "task_waiting", "respond", "call tool: <agent>:refund"]
"""What the Timeline of an approved refund says, by the page."""


def _clean() -> dict[str, str]:
    """Our environment without what would change the page."""
    ours = ("SESSIONS_", "TEMPORAL_", "SHOP_", "OPENAI_", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


class Reader:
    """Who follows the page: two terminals in one folder, and a browser where this machine has one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.served = ""
        self._ports = {name: free_port() for name in ("port", "ui-port", "http-port")}
        self._serving: asyncio.subprocess.Process | None = None
        self._hearing: asyncio.Task[None] | None = None

    @property
    def web_ui(self) -> str:
        return f"http://{LOOPBACK}:{self._ports['ui-port']}"

    async def session(self) -> Session:
        return (await SessionClient.connect(f"{LOOPBACK}:{self._ports['port']}")).get("demo")

    async def shell(self, commands: str) -> str:
        """What the second terminal prints."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", f"source .venv/bin/activate\n{commands}"),
            cwd=self.folder,
            env={**_clean(), "TEMPORAL_ADDRESS": f"{LOOPBACK}:{self._ports['port']}"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(WAIT):
                out, errors = await process.communicate()
        finally:
            if process.returncode is None:  # with what it runs
                os.killpg(process.pid, signal.SIGKILL)
        assert 0 == process.returncode, f"{commands}{out.decode()}{errors.decode()}{self.served}"
        return out.decode()

    async def serve(self, command: str, **more: str) -> None:
        """The first terminal: as the page says, but for ports that nobody has, until it says that it is ready."""
        ports = [word for name, port in self._ports.items() for word in (f"--{name}", str(port))]
        name, *arguments = command.split()
        program = str(self.folder / ".venv/bin" / name)
        before = self.served.count("worker ready")
        self._serving = await asyncio.create_subprocess_exec(
            *(program, *arguments, *ports),
            cwd=self.folder,
            env={**_clean(), **more},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._hearing = asyncio.create_task(self._hear(self._serving))
        await self.says("worker ready", before + 1)

    async def _hear(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        async for line in process.stdout:
            self.served += line.decode()

    async def says(self, words: str, times: int = 1) -> None:
        """Wait until the first terminal has said that so many times."""
        async with asyncio.timeout(WAIT):
            while self.served.count(words) < times:  # noqa: ASYNC110 (the words of another process)
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Ctrl-C in the first terminal."""
        if self._serving and self._hearing:
            if self._serving.returncode is None:
                self._serving.send_signal(signal.SIGINT)
            try:
                async with asyncio.timeout(WAIT):
                    await self._serving.wait()
            finally:
                if self._serving.returncode is None:
                    self._serving.kill()
            await self._hearing

    async def is_asked(self) -> None:
        """Read that the session waits for an answer."""
        seen = await snapshot_when(await self.session(), lambda snapshot: snapshot.status == "waiting")
        assert seen.running
        assert seen.running.waiting_for
        assert "Allow refund? (yes / no)" in await self.shell("sessions show demo")
        assert "refund" == seen.running.waiting_for.data["tool"]

    async def edit(self, line: str) -> None:
        """Change the one line of the shop that begins like this one; the worker starts again for it."""
        name = line.partition(" = ")[0]
        ready = self.served.count("worker ready")
        text, found = re.subn(rf"^{name} = .*\n", line, (self.folder / "shop.py").read_text(), flags=re.MULTILINE)
        assert 1 == found
        saved = self.folder / "shop.py~"  # as editors do: in one stroke, so that the worker starts again but once
        saved.write_text(text)
        saved.replace(self.folder / "shop.py")
        await self.says("worker ready", ready + 1)


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    """In a folder beside a copy of this repository, as the page wants it."""
    (tmp_path / "durable-sessions").mkdir()
    copied_source(tmp_path / "durable-sessions")
    reader = Reader(tmp_path / "shop")
    try:
        yield reader
    finally:
        await reader.stop()


async def _install(reader: Reader, commands: str) -> None:
    """What the page begins with, beside the copy."""
    line = f"set -euo pipefail\n{commands}"
    await asyncio.to_thread(run, reader.folder.parent, "bash", "-c", line)


async def _answer_in_the_web_ui(reader: Reader) -> None:
    """As the page says; without a browser, by the signal that its form sends."""
    if not _has_a_browser():
        session = await reader.session()
        await snapshot_when(session, lambda snapshot: snapshot.status == "waiting")
        await session.temporal.get_workflow_handle("demo").signal("respond", {"task_id": "refund-B2", "value": "yes"})
        return
    from tests.browser.pages import WebUiPage, browsing, offered  # noqa: PLC0415 (needs an extra)

    async with browsing(reader.web_ui) as ui:
        await ui.open("demo")
        details = await ui.details("Status: waiting", "refund", "B2", "4200")
        await ui.send_signal("respond", await offered(details, "respond"))
        details = await ui.details("Status: idle", "Paid back 4200 cents for B2.")
        async with ui.page.expect_popup() as popup:
            await details.get_by_role("link", name="refund-B2").first.click()
        task = WebUiPage(await popup.value, "")
        await task.page.get_by_role("heading", name=task_workflow_id("demo", "refund-B2")).wait_for()
        await task.timeline(*CALLS)


def _has_a_browser() -> bool:
    if importlib.util.find_spec("playwright") is None:
        return False
    from tests.browser.pages import chromium  # noqa: PLC0415 (needs an extra)

    return chromium() is not None


async def _kill(reader: Reader, command: str) -> None:
    """The process whose number the first terminal has."""
    await reader.says("paying C3 back in process ")
    numbers = re.findall(r"paying C3 back in process (\d+)", reader.served)
    assert 1 == command.count(PROCESS)
    await reader.shell(command.replace(PROCESS, numbers[-1]))
    await reader.says("the worker ended with exit code -9")


async def _serve(reader: Reader, block: str, openai: OpenAIServer) -> None:
    """The first terminal, with the variables of the block; a real model's requests go to loopback."""
    *exports, command = block.splitlines()
    variables = dict(line.removeprefix("export ").split("=", 1) for line in exports)
    await reader.stop()
    await reader.serve(command, **variables, **({"OPENAI_BASE_URL": openai.url} if variables else {}))


def _calls_look_up() -> Reply:
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": "D4"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return Reply(body=json.dumps(body))


@asynccontextmanager
async def _real_model() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as openai:
        openai.script.extend([_calls_look_up(), ok("It was 42 euros.")])
        yield openai


@pytest.mark.rare
@pytest.mark.timeout(2 * INSTALL_SECONDS)
@pytest.mark.not_on_test_server("the page starts a server of its own")
async def test_every_block_of_the_page_does_what_it_says(reader: Reader) -> None:
    shown = ""
    async with _real_model() as openai:
        for block in BLOCK.finditer(PAGE):
            file, language, text = block.group("file", "language", "text")
            match language, text.split(maxsplit=1)[0]:
                case "text", _:
                    assert text == shown
                case "python", "SECONDS":
                    await reader.edit(text)
                case "python", _:
                    (reader.folder / file).write_text(text)
                case "console", "mkdir":
                    await _install(reader, text)
                case "console", "export":
                    await _serve(reader, text, openai)
                case "console", "kill":
                    await _kill(reader, text)
                case "console", _ if text.startswith("sessions dev"):
                    await _serve(reader, text, openai)
                case "console", _:
                    shown = await _typed(reader, text)
                case _:
                    pytest.fail(f"nothing does {text}")
        assert "It was 42 euros.\n" == shown
    await _is_told_of_all_before(openai)


async def _typed(reader: Reader, commands: str) -> str:
    """What the last of these commands prints; what a person waits for before the next one is waited for."""
    shown = ""
    for command in commands.splitlines():
        if command == "sessions show demo":
            await reader.is_asked()
        shown = await reader.shell(command)
        if "refund-B2" in command and "submit" in command:
            await _answer_in_the_web_ui(reader)
        if command == "sessions result demo refund-C3":
            await _cost_one_call(reader)
    return shown


async def _cost_one_call(reader: Reader) -> None:
    assert 2 == reader.served.count("paying C3 back in process ")
    session = await reader.session()
    child = session.temporal.get_workflow_handle(task_workflow_id("demo", "refund-C3"))
    assert {"agent__shop__model_request": 1, "agent__shop__toolset__<agent>__call_tool": 2} == attempts(
        list((await child.fetch_history()).events)
    )


async def _is_told_of_all_before(openai: OpenAIServer) -> None:
    said = [[(part["role"], part.get("content")) for part in request.body["messages"]] for request in openai.requests]
    assert ("user", "What does A7 cost?") in said[0]
    assert [("user", "What does D4 cost?"), ("tool", "D4 cost 42 euros.")] == [said[0][-1], said[1][-1]]
    assert {"gpt-5-mini"} == {request.body["model"] for request in openai.requests}


def test_the_page_is_of_nothing_but_blocks_that_the_test_knows() -> None:
    fences = re.findall(r"^```\w+$", PAGE, re.MULTILINE)
    blocks = list(BLOCK.finditer(PAGE))
    assert len(fences) == len(blocks)
    assert ["model.py", "shop.py"] == [block["file"] for block in blocks if block["file"]]

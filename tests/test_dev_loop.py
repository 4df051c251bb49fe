"""The loop of a developer: the worker starts again when a file changes, and nothing under way is lost over it."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from starter.client import Session, SessionClient
from starter.dev_server import free_port
from starter.program import ROOT
from tests.harness import WAIT, run_task
from tests.test_kinds_from_elsewhere import SHOP, write
from workflows.contract import Config


class Loop:
    """`python -m starter dev` in a folder, and what it has said so far."""

    def __init__(self, folder: Path) -> None:
        name = write(folder, SHOP)
        self.file = folder / f"{name}.py"
        self.address = f"127.0.0.1:{free_port()}"
        self.gateway_port = free_port()
        self.said = ""
        self._folder, self._kinds = folder, f"{name}:KINDS"
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        ports = ["--port", self.address.split(":")[1], "--ui-port", str(free_port()), "--http-port", str(free_port())]
        ports += ["--gateway-port", str(self.gateway_port)]
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "starter", "dev", self._kinds, "--db", str(self._folder / "t.db"), *ports),
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        async for line in self._process.stdout:
            self.said += line.decode()

    async def says(self, words: str, times: int = 1) -> None:
        """Wait until it has said that so many times."""
        async with asyncio.timeout(WAIT):
            while self.said.count(words) < times:  # noqa: ASYNC110 (the words of another process)
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        """End it as Ctrl-C does; its exit code."""
        assert self._process
        assert self._reader
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(WAIT):
                code = await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
        await self._reader
        return code


@pytest.fixture
async def loop(tmp_path: Path) -> AsyncIterator[Loop]:
    loop = Loop(tmp_path)
    try:
        await loop.start()
        await loop.says("worker ready")
        yield loop
    finally:
        assert 0 == await loop.stop(), loop.said


async def _price(session: Session) -> str:
    return str((await run_task(session, "A7", kind="Price")).output)


async def test_a_changed_file_brings_a_new_worker_and_tasks_under_way_go_on(loop: Loop) -> None:
    session = await (await SessionClient.connect(loop.address)).open("shop", Config(default_kind="Price"))
    long = await (await SessionClient.connect(loop.address)).open("long")
    counting = await long.submit(4, kind="Countdown")
    assert "A7 costs 42" == await _price(session)
    file = loop.file
    file.write_text(SHOP.replace("costs 42", "costs 43"))
    await loop.says(f"{file.name} changed; the worker starts again")
    await loop.says("worker ready", 2)
    assert "A7 costs 43" == await _price(session)

    file.write_text(SHOP + "\ndef (\n")
    await loop.says("SyntaxError: invalid syntax")
    await loop.says("the worker ended with exit code 1; it starts again when a file changes")
    waiting = await session.submit("A8", kind="Price")
    file.write_text(SHOP.replace("costs 42", "costs 44"))
    await loop.says("worker ready", 3)
    assert "A8 costs 44" == (await session.result(waiting, WAIT)).output

    record = await long.result(counting, WAIT)
    assert ("completed", 0) == (record.status, record.output)


@pytest.mark.rare
async def test_a_gateway_answers_for_every_kind(loop: Loop) -> None:
    pytest.importorskip("starlette", reason="the extra `gateway` is not installed")
    await loop.says(f"OpenAI's protocol at http://127.0.0.1:{loop.gateway_port}/v1")
    await loop.says("gateway ready")
    async with AsyncOpenAI(base_url=f"http://127.0.0.1:{loop.gateway_port}/v1", api_key="none") as client:
        said = await client.responses.create(model="Price", input="A7")
    assert "A7 costs 42" == said.output_text


@pytest.mark.rare
async def test_a_gateway_whose_port_is_taken_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("starlette", reason="the extra `gateway` is not installed")
    loop = Loop(tmp_path)
    with socket.create_server(("127.0.0.1", loop.gateway_port)):
        try:
            await loop.start()
            await loop.says(f"cannot listen on 127.0.0.1 port {loop.gateway_port}")
            await loop.says("the gateway ended with exit code 2")
            await loop.says("worker ready")
        finally:
            assert 0 == await loop.stop(), loop.said


@pytest.mark.rare
async def test_a_restart_takes_no_longer_than_the_worker_needs_to_start(loop: Loop) -> None:
    """Seconds on an idle machine; most of a loaded one's belong to others."""
    session = await (await SessionClient.connect(loop.address)).open("shop")
    assert "A7 costs 42" == await _price(session)
    started = time.monotonic()
    loop.file.write_text(SHOP.replace("costs 42", "costs 43"))
    await loop.says("worker ready", 2)
    assert time.monotonic() - started < WAIT / 6

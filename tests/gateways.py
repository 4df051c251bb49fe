"""Gateways as processes of their own, on free ports of loopback, and the official clients that talk to them."""

import asyncio
import contextlib
import os
import re
import signal
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx
from openai import AsyncOpenAI

from tests import command_lines
from tests.command_lines import CommandLine
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness
from tests.servers import Server

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of loopback: httpx reads all certificates of the system for each one it makes, which takes 30 ms."""

_READY = re.compile(r"gateway ready at (http://\S+)")


class Gateway:
    """The command `gateway` for the sessions of a harness. Its log is what it wrote so far.

    `program`: the command line of another environment; without it, ours is forked (`tests.command_lines`).
    """

    def __init__(
        self, server: Server, harness: Harness, *words: str, program: tuple[str, ...] | None = None, **settings: str
    ) -> None:
        self._program = program
        self._words = words
        self._environment = {
            "TEMPORAL_ADDRESS": server.address,
            "SESSIONS_TASK_QUEUE": harness.queue,
            "SESSIONS_GATEWAY_KINDS": "Answer,*",
            **{f"SESSIONS_GATEWAY_{name.upper()}": value for name, value in settings.items()},
        }
        self._clients: list[AsyncOpenAI] = []
        self.log = ""
        self.url = ""
        self.process: CommandLine | asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self, port: str = "0") -> Self:
        """Start it, and wait until it listens. Raises AssertionError with its words where it does not."""
        log, theirs = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        try:
            words = ("gateway", "--port", port, *self._words)
            self.process = await self._begun(words, (null, null, theirs))
        finally:
            os.close(null)
            os.close(theirs)
            self._reader = asyncio.create_task(self._read(log))
        async with asyncio.timeout(WAIT):
            while not (found := _READY.search(self.log)):
                assert not self._reader.done(), self.log
                await asyncio.sleep(0.02)
        self.url = found[1]
        return self

    async def _begun(
        self, words: tuple[str, ...], streams: tuple[int, int, int]
    ) -> CommandLine | asyncio.subprocess.Process:
        if self._program is None:
            return command_lines.started(*words, environment=self._environment, streams=streams)
        environment = {**os.environ, **self._environment}
        return await asyncio.create_subprocess_exec(*self._program, *words, env=environment, stderr=streams[2])

    async def _read(self, log: int) -> None:
        reader = asyncio.StreamReader()
        with os.fdopen(log, "rb") as pipe:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), pipe
            )
            async for line in reader:
                self.log += line.decode()
            transport.close()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by that signal; its exit code."""
        assert self.process
        assert self._reader
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        async with asyncio.timeout(WAIT):
            code = await self.process.wait()
        await self._reader
        return code

    def client(self, key: str = "none", **options: Any) -> AsyncOpenAI:
        """The official client for it."""
        given = {"max_retries": 0, "timeout": WAIT * SLOWNESS, **options}
        client = AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, **given)
        self._clients.append(client)
        return client

    async def hang_up(self) -> None:
        """Close the connections of all its clients."""
        for client in self._clients:
            await client.close()

    async def send(
        self, method: str, path: str, key: str | None = None, headers: Mapping[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        """One request, without any client of OpenAI's."""
        given = {**({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        async with httpx.AsyncClient(base_url=self.url, timeout=WAIT, verify=NO_TLS) as client:
            return await client.request(method, path, headers=given, **body)


@asynccontextmanager
async def gateway(server: Server, harness: Harness, *words: str, **settings: str) -> AsyncIterator[Gateway]:
    """A gateway that listens; it has ended afterwards, by a kill at the worst."""
    started = Gateway(server, harness, *words, program=None, **settings)
    try:
        yield await started.start()
    finally:
        await started.hang_up()
        if started.process is not None:
            await started.end(signal.SIGKILL)


def key_file(folder: Path) -> Path:
    """Where a test keeps its keys."""
    return folder / "keys.json"

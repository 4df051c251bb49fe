"""The agents of `examples/`, each hosted by a process of the worker, as their readers start them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.agents import Example
from benchmarks.processes import WorkerProcess
from starter.client import Session
from starter.client.connection import connect
from tests.harness import Harness
from tests.servers import Server
from workflows.contract import Config


class Outside:
    """A proxy on loopback that lets nothing through, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[dict[str, str]]:
        """The variables that send a process's requests here, but for those to loopback."""
        server = await asyncio.start_server(self._refuse, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        url = f"http://{host}:{port}"
        async with server:
            yield {"HTTPS_PROXY": url, "HTTP_PROXY": url, "ALL_PROXY": url, "NO_PROXY": "127.0.0.1,localhost"}

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readline()).decode().strip())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n")
        writer.close()


class Shop:
    """Sessions whose tasks are an example's, and the worker that hosts them."""

    def __init__(
        self, example: Example, harness: Harness, worker: WorkerProcess, ledger: Path, outside: Outside
    ) -> None:
        self.example, self.worker, self.outside = example, worker, outside
        self._harness, self._ledger = harness, ledger

    def ledger(self, order: str) -> list[str]:
        """What was done of that order in the shop's other system."""
        lines = self._ledger.read_text().splitlines() if self._ledger.exists() else []
        return [line for line in lines if order in line.split()]

    async def open(self) -> Session:
        """A new session."""
        queues = {self.example.kind: f"{self._harness.queue}-shop"} if self.example.alone else {}
        return await self._harness.open(Config(default_kind=self.example.kind, queues=queues))


@asynccontextmanager
async def open_shop(
    example: Example, python: Path, server: Server, folder: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Shop]:
    """The example on a queue of its own. Where its worker hosts no sessions, one of ours does."""
    harness, ledger, outside = Harness(await connect(server.address)), folder / "ledger.txt", Outside()
    kinds = {} if example.alone else {"SESSIONS_KINDS": example.kinds}
    async with AsyncExitStack() as stack:
        proxied = await stack.enter_async_context(outside.serving())
        worker = WorkerProcess(
            server.address,
            harness.queue,
            settings={"SHOP_LEDGER": str(ledger), **proxied, **kinds, **(settings or {})},
            arguments=[example.kinds, "--task-queue", f"{harness.queue}-shop"] if example.alone else [],
            python=python,
            log=folder / "worker.log",
        )
        stack.push_async_callback(worker.kill)
        await worker.start()
        if example.alone:
            await stack.enter_async_context(harness.worker())
        yield Shop(example, harness, worker, ledger, outside)

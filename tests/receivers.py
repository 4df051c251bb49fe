"""A real HTTP server on loopback that takes notifications, and fails as often as a test wants."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from standardwebhooks import Webhook

from tests.conformance.caller import SLOWNESS

SECRET = "whsec_bm90aWZpY2F0aW9ucyBhcmUgc2lnbmVkIGJ5IHRoaXM="  # noqa: S105 (opens nothing)
HANG = 0
"""Instead of a status: the request is never answered."""
WAIT = 60.0 * SLOWNESS


class Receiver:
    """Verifies each request by the standard's own library; answers with `statuses`, in their order, then with 200."""

    def __init__(self, *statuses: int, always: int = 200, tls: ssl.SSLContext | None = None) -> None:
        self.statuses, self.always = deque(statuses), always
        self._tls = tls
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[dict[str, Any]] = []
        self.taken: list[dict[str, Any]] = []
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._arrival = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def host(self) -> str:
        """As the worker's setting names it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/told?by=sessions"

    def numbers(self) -> list[int]:
        """The order numbers of what was taken, each once."""
        return sorted({body["data"]["number"] for body in self.taken})

    def of(self, event: str) -> list[dict[str, Any]]:
        """The data of what was taken of that type."""
        return [body["data"] for body in self.taken if body["type"] == event]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for requests until the condition holds."""
        async with asyncio.timeout(WAIT), self._arrival:
            await self._arrival.wait_for(condition)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = head.splitlines()
                fields = [line.partition(": ") for line in lines[1:] if line]
                headers = {name.lower(): value for name, _, value in fields}
                body = await reader.readexactly(int(headers["content-length"]))
                status = self.statuses.popleft() if self.statuses else self.always
                async with self._arrival:
                    self.requests.append((lines[0].split()[1], headers))
                    self.bodies.append(json.loads(body))
                    if status == 200:
                        self.taken.append(Webhook(SECRET).verify(body, headers))
                    self._arrival.notify_all()
                if status == HANG:
                    await asyncio.Event().wait()
                more = "location: /elsewhere\r\n" if status == 301 else ""
                writer.write(f"HTTP/1.1 {status} -\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n".encode())
                await writer.drain()
        finally:
            writer.close()

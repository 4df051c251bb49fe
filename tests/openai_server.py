"""A real HTTP server on loopback that speaks enough of OpenAI's chat completions, and every fault worth a test."""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

KEY = "<key>"
MASKED_KEY = "<masked key>"
"""What a body says where the server shall echo the caller's key, whole or the way OpenAI masks it."""


@dataclass(frozen=True)
class Reply:
    """How one request is answered: `body` after `delay` seconds; with `cut` only half of it, then nothing more."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False


@dataclass(frozen=True)
class Received:
    """One request as it arrived. `hung_up` is set when the client leaves before it is answered."""

    target: str
    headers: dict[str, str]
    body: Any
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        return self.headers["authorization"].removeprefix("Bearer ")


def ok(text: str = "Yellow.", usage: Any = None, *, delay: float = 0.0, cut: bool = False) -> Reply:
    """A good answer, at once or slowly, whole or cut off in the middle."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return Reply(body=json.dumps(body if usage is None else {**body, "usage": usage}), delay=delay, cut=cut)


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An error in the provider's JSON."""
    body = {"error": {"message": message, "type": "some_error", "param": None, "code": None}}
    return Reply(status, json.dumps(body), headers or {})


class OpenAIServer:
    """Answers the requests with `script`, in order, and with `ok()` after that; keeps what it received."""

    def __init__(self) -> None:
        self.script: deque[Reply] = deque()
        self.requests: list[Received] = []
        self._arrival = asyncio.Condition()
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}/v1"

    async def received(self, number: int = 1) -> Received:
        """The `number`th request, once it is here."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.requests) >= number)
        return self.requests[number - 1]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            async with self._arrival:
                self.requests.append(request)
                self._arrival.notify_all()
            reply = self.script.popleft() if self.script else ok()
            if reply.delay and await _hangs_up(reader, reply.delay):
                request.hung_up.set()
                return
            writer.write(_encoded(reply, request.key))
            await writer.drain()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").removesuffix("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Received(first.split()[1], headers, json.loads(body))


async def _hangs_up(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether the client leaves within `seconds`: it has said all it has to say, so a read ends only then."""
    try:
        return await asyncio.wait_for(reader.read(1), seconds) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def _encoded(reply: Reply, key: str) -> bytes:
    masked = f"{key[:8]}{'*' * 12}{key[-4:]}"
    body = reply.body.replace(KEY, key).replace(MASKED_KEY, masked).encode()
    headers = {"content-type": "application/json", **reply.headers, "connection": "close"}
    lines = [f"HTTP/1.1 {reply.status} -", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode()
    return head + (body[: len(body) // 2] if reply.cut else body)

"""A real HTTP server on loopback that speaks enough of OpenAI's chat completions, and every fault worth a test."""

import asyncio
import base64
import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

KEY = "<key>"
MASKED_KEY = "<masked key>"
PART_OF_KEY = "<part of the key>"
BASE64_KEY = "<key in base64>"
HEX_KEY = "<key in hexadecimal>"
PERCENT_KEY = "<key in percents>"
UNICODE_KEY = "<key in escapes>"
HEAD = "<head>"
BASE64_HEAD = "<head in base64>"
"""What a reply says where the server shall echo the caller's key, whole, the way OpenAI masks it, in part or in
disguise; or the head of the request, address and headers, as a debugging endpoint does."""

DISGUISES = [PART_OF_KEY, BASE64_KEY, HEX_KEY, PERCENT_KEY, UNICODE_KEY, HEAD, BASE64_HEAD]
"""All but the whole and the masked one."""


@dataclass(frozen=True)
class Reply:
    """How one request is answered: `body` after `delay` seconds; with `cut` only half of it, then nothing more.

    `reason` is what HTTP has behind the status. `more`: what follows the body, piece by piece, each after a `pause`.
    """

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False
    reason: str = "-"
    more: Sequence[str] = ()
    pause: float = 0.0


@dataclass(frozen=True)
class Received:
    """One request as it arrived. `hung_up` is set when the client leaves before it is answered."""

    target: str
    headers: dict[str, str]
    body: Any
    head: str = ""
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        return self.headers["authorization"].partition(" ")[2]

    def echoed(self, text: str) -> str:
        """`text` with what it asks for of this request in its places."""
        key = self.key
        said = {
            KEY: key,
            MASKED_KEY: f"{key[:8]}{'*' * 12}{key[-4:]}",
            PART_OF_KEY: key[5:20],
            BASE64_KEY: base64.b64encode(key.encode()).decode(),
            HEX_KEY: key.encode().hex(),
            PERCENT_KEY: "".join(f"%{ord(letter):02X}" for letter in key),
            UNICODE_KEY: "".join(f"\\u{ord(letter):04x}" for letter in key),
            HEAD: " ".join(self.head.split()),
            BASE64_HEAD: base64.b64encode(self.head.encode()).decode(),
        }
        for place, words in said.items():
            text = text.replace(place, words)
        return text


def ok(
    text: str | None = "Yellow.",
    usage: Any = None,
    *,
    finish_reason: Any = "stop",
    refusal: str | None = None,
    delay: float = 0.0,
    cut: bool = False,
) -> Reply:
    """An answer, good unless said otherwise, at once or slowly, whole or cut off in the middle."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return Reply(body=json.dumps(body if usage is None else {**body, "usage": usage}), delay=delay, cut=cut)


def streamed(
    *texts: str,
    usage: Any = None,
    finish_reason: Any = "stop",
    refusal: str = "",
    pause: float = 0.0,
    done: bool = True,
) -> Reply:
    """An answer in chunks as OpenAI sends them; one that is not `done` breaks off."""
    deltas = [{"content": text} for text in texts] + ([{"refusal": refusal}] if refusal else [])
    choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    end: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]}]
    end += [{"choices": [], "usage": usage}] if usage else []
    chunks = [{"object": "chat.completion.chunk", "choices": choice} for choice in choices] + (end if done else [])
    events = [*(json.dumps(chunk) for chunk in chunks), *(["[DONE]"] if done else [])]
    more = [f"data: {event}\n\n" for event in events]
    return Reply(headers={"content-type": "text/event-stream"}, body=": begin\n\n", more=more, pause=pause)


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None, code: str | None = None) -> Reply:
    """An error in the provider's JSON."""
    body = {"error": {"message": message, "type": code or "some_error", "param": None, "code": code}}
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
            writer.write(_encoded(reply, request))
            await writer.drain()
            for piece in reply.more:
                await asyncio.sleep(reply.pause)
                writer.write(request.echoed(piece).encode())
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
    return Received(first.split()[1], headers, json.loads(body), head)


async def _hangs_up(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether the client leaves within `seconds`: it has said all it has to say, so a read ends only then."""
    try:
        return await asyncio.wait_for(reader.read(1), seconds) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def _encoded(reply: Reply, request: Received) -> bytes:
    body = request.echoed(reply.body).encode()
    headers = {"content-type": "application/json", **reply.headers, "connection": "close"}
    lines = [f"HTTP/1.1 {reply.status} {request.echoed(reply.reason)}"]
    lines += [f"{name}: {request.echoed(value)}" for name, value in headers.items()]
    length = [] if reply.more else [f"content-length: {len(body)}"]
    head = "\r\n".join([*lines, *length, "", ""]).encode()
    return head + (body[: len(body) // 2] if reply.cut else body)

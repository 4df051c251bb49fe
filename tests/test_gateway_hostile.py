"""A hundred requests that mean no good: each gets its status, and the gateway goes on answering."""

import asyncio
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from starter.gateway.keys import KeyFile
from starter.program import ROOT
from tests.conformance.caller import SLOWNESS
from tests.gateways import Gateway, gateway
from tests.harness import WAIT, Harness
from tests.servers import Server

BODY_BYTES = 65_536
SECONDS = 0.5 * SLOWNESS
"""What the gateway of this test waits for a request to arrive."""


def _request(
    method: str = "POST",
    path: str = "/v1/responses",
    body: bytes = b"",
    key: str = "",
    length: str | None = None,
    kind: str = "application/json",
    extra: bytes = b"",
) -> bytes:
    size = str(len(body)) if length is None else length
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\n"
    return head.encode() + (f"authorization: Bearer {key}\r\n".encode() if key else b"") + extra + b"\r\n" + body


def _bodies() -> list[bytes]:
    deep = b'{"input": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    return [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b'"text"',
        b"{}",
        b'{"input": NaN}',
        b'{"input": Infinity}',
        b'{"input": 1e999}',
        b"{'input': 'x'}",
        b'{"input": "x",}',
        b'{"input": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b"\x00" * 100,
        b"{" * 60_000,
        b"[" * 60_000,
        deep,
        b'{"a":' * 1_000 + b"1" + b"}" * 1_000,
        b'{"input": {"a": 1}}',
        b'{"input": [1]}',
        b'{"input": [[]]}',
        b'{"input": [{"role": "tool", "content": "x"}]}',
        b'{"input": [{"role": "user"}]}',
        b'{"input": [{"role": "user", "content": [null]}]}',
        b'{"input": "x", "model": ""}',
        b'{"input": "x", "model": "' + b"m" * 300 + b'"}',
        b'{"input": "x", "model": "Session"}',
        b'{"input": "x", "conversation": []}',
        b'{"input": "x", "conversation": {"id": 1}}',
        b'{"input": "x", "conversation": {"id": "a", "b": 1}}',
        b'{"input": "x", "previous_response_id": 7}',
        b'{"input": "x", "stream": "yes"}',
        b'{"input": "x", "background": 1}',
        b'{"input": "x", "metadata": []}',
        b'{"input": "x", "metadata": {"a": {}}}',
        b'{"input": "x", "instructions": {}}',
        b'{"input": "x", "__proto__": {}}',
        b'{"input": "x", "' + b"n" * 10_000 + b'": 1}',
        b'{"input": "x", "a\\u0000b": 1}',
    ]


def _agui_bodies() -> list[bytes]:
    """What is no run of AG-UI: whole bodies, and single fields among others that are right."""
    fields = [
        b'"messages": [{"id": "1", "role": "user", "content": [{"type": "image"}]}]',
        b'"messages": [{"id": "1", "role": "\\u0000", "content": "x"}]',
        b'"messages": [null]',
        b'"messages": [' + b"[" * 5_000 + b"]" * 5_000 + b"]",
        b'"threadId": {"a": 1}',
        b'"threadId": "' + b"t" * 10_000 + b'"',
        b'"runId": ""',
        b'"state": "x"',
        b'"state": {"a": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'"tools": {"a": 1}',
        b'"context": ["x"]',
        b'"forwardedProps": "__proto__"',
        b'"resume": [{"interruptId": "../../x", "status": "resolved"}]',
        b'"resume": [{"interruptId": "a/' + b"b" * 20_000 + b'", "status": "resolved"}]',
        b'"resume": {"0": 1}',
    ]
    run = b'{"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "user", "content": "x"}], '
    return [b"{}", b"[]", b'{"threadId": "t"}', *(run + field + b"}" for field in fields)]


def _paths() -> list[tuple[str, int]]:
    return [
        ("/", 404),
        ("//", 404),
        ("/v1", 404),
        ("/v1/", 404),
        ("/v1/responses/", 404),
        ("/v1/models/../../etc/passwd", 404),
        ("/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
        ("/v1/models/%00", 404),
        ("/v1/models/%ff%fe", 404),
        ("/v1/models/" + "m" * 20_000, 404),
        ("/v1/responses/resp_", 404),
        ("/v1/responses/resp_%00", 404),
        ("/v1/responses/resp_" + "A" * 20_000, 404),
        ("/v1/responses/resp_Li4vLi4", 404),
        ("/v1/responses/resp_////", 404),
        ("/v1/responses/" + "%F0%9F%98%80" * 50, 404),
        ("/v1/conversations/a%2Fb", 404),
        ("/v1/conversations/" + "a" * 129, 404),
        ("/v1/conversations/.", 404),
        ("/v1/conversations/..", 404),
        ("/v1/conversations/%0d%0aset-cookie:x", 404),
        ("/v1/conversations/none/items?limit=0", 400),
        ("/v1/conversations/none/items?limit=" + "9" * 5_000, 400),
        ("/v1/conversations/none/items?limit=%D9%A3", 400),
        ("/v1/conversations/none/items?order=sideways", 400),
        ("/v1/conversations/none/items", 404),
        ("/v1/models?" + "a=b&" * 3_000, 200),
        ("/v1/models?api_key=sk-sessions-in-the-address", 200),
        ("/admin", 404),
        ("/.env", 404),
        ("/v1/files", 400),
    ]


def _heads(key: str) -> list[tuple[bytes, set[int]]]:
    good = b'{"input": "x"}'
    return [
        (b"GARBAGE\r\n\r\n", {400}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50 + b"\r\n\r\n", {400}),
        (b"GET /v1/models HTTP/9.9\r\n\r\n", {401}),
        (b"GET /v1/models HTTP/1.1\r\n\r\n", {400}),
        (b"GET /v1/mo\x00dels HTTP/1.1\r\nhost: a\r\n\r\n", {400}),
        (b"GET /v1/models HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", {400}),
        (b"GET /v1/models HTTP/1.1\r\nhost: a\r\nx: " + b"x" * 200_000 + b"\r\n\r\n", {400, 431}),
        (b"GET /v1/models HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 60_000 + b"\r\n", {400, 431}),
        (b"GET /v1/models HTTP/1.1\r\nhost: a\r\n bad: fold\r\n\r\n", {400, 401}),
        (b"GET /v1/models HTTP/1.1\r\nhost: a\r\nname with space: x\r\n\r\n", {400}),
        (_request(body=good, key=key, length="-1"), {400}),
        (_request(body=good, key=key, length="x"), {400}),
        (_request(body=good, key=key, length="9" * 30), {400, 413}),
        (_request(body=good, key=key, extra=b"content-length: 3\r\n"), {400}),
        (_request(body=good, key=key, extra=b"content-encoding: gzip\r\n"), {415}),
        (_request(body=good, key=key, extra=b"content-encoding: br, gzip\r\n"), {415}),
        (_request(body=good, key=key, kind="text/plain"), {415}),
        (_request(body=good, key=key, kind="application/x-www-form-urlencoded"), {415}),
        (_request(body=good, key=key, kind="multipart/form-data; boundary=x"), {415}),
        (_request(body=b"x" * (BODY_BYTES + 1), key=key), {413}),
        (_request(body=b"", key=key, length=str(BODY_BYTES + 1)), {413}),
        (_request(body=good, key=key, extra=b"origin: https://evil.example.com\r\n"), {403}),
        (_request(body=good, key=key, extra=b"origin: null\r\n"), {403}),
        (_request(body=good, key=key, extra=b"idempotency-key: " + b"k" * 300 + b"\r\n"), {400}),
        (_request(body=good, key=key, extra=b"x-sessions-owner: somebody-else\r\n"), {403}),
        (_request(body=good, key=key, extra=b"x-sessions-owner: \xff\xfe\r\n"), {403}),
        (_request(body=good, key="\x7f"), {400, 401}),
        (_request(body=good, key="k" * 10_000), {401}),
        (_request(body=good, extra=b"authorization: Bearer \xff\xfe\r\n"), {401}),
        (_request(body=good), {401}),
        (_request("PUT", body=good, key=key), {405}),
        (_request("PATCH", body=good, key=key), {405}),
        (_request("TRACE", key=key), {405}),
        (_request("BREW", key=key), {405}),
        (_request("DELETE", key=key), {405}),
        (_request("X" * 5_000, key=key), {405}),
        (
            b"POST /v1/responses HTTP/1.1\r\nhost: a\r\nauthorization: Bearer "
            + key.encode()
            + b"\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            {400},
        ),
        (
            b"POST /v1/responses HTTP/1.1\r\nhost: a\r\nauthorization: Bearer "
            + key.encode()
            + b"\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            + b"4000\r\n"
            + b"x" * 0x4000
            + b"\r\n" * 1
            + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 4,
            {413},
        ),
        (
            b"GET /v1/models HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            {401},
        ),
    ]


async def _status(door: Gateway, sent: bytes) -> tuple[int, str]:
    """Send bytes on a connection of their own; the status and the whole answer."""
    address = urlsplit(door.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(sent)
        async with asyncio.timeout(WAIT):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            rest = await (reader.readexactly(int(length[1])) if length else reader.read(65_536))
    finally:
        writer.close()
    return int(head.split()[1]), head + rest.decode(errors="replace")


async def _closes(door: Gateway, *parts: bytes) -> str:
    """Send parts with pauses, and wait until the gateway has closed the connection; what it said."""
    address = urlsplit(door.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(WAIT):
            return (await reader.read()).decode(errors="replace")
    finally:
        writer.close()


async def test_a_hundred_hostile_requests_leave_it_answering(server: Server, harness: Harness, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    key = keys.add("web", ["ada"])
    settings = {"body_bytes": str(BODY_BYTES), "body_seconds": str(SECONDS), "burst": "1000"}
    async with gateway(server, harness, "--keys", str(tmp_path / "keys.json"), **settings) as door:
        requests = [
            *((_request(body=body, key=key), {400}) for body in _bodies()),
            *((_request(path="/agui", body=body, key=key), {400, 404}) for body in _agui_bodies()),
            *((_request("GET", path, key=key), {status}) for path, status in _paths()),
            *_heads(key),
        ]
        assert len(requests) >= 100
        answers, wrong = "", []
        for sent, statuses in requests:
            status, answer = await _status(door, sent)
            if status not in statuses:
                wrong.append((sent[:200], statuses, answer))
            answers += answer
            if status >= 400 and "application/json" in answer:
                error = json.loads(answer.partition("\r\n\r\n")[2])["error"]
                assert {"message", "type", "param", "code"} == set(error)
        assert [] == wrong
        for slow in [
            (b"GET /v1/mod",),
            (b"",),
            (b"GET /v1/models HTTP/1.1\r\n", b"host: a\r\n", b"x: y\r\n"),
            (_request(body=b"{", key=key, length="100"),),
            (_request(body=b"", key=key, length="100"), b"{", b'"'),
        ]:
            said = await _closes(door, *slow)
            assert said == "" or " 408 " in said, said
            answers += said
        assert "completed" == (await door.client(key).responses.create(input="What colour is a banana?")).status
        for hidden in [
            key,
            "sk-sessions-in-the-address",
            "Traceback",
            str(ROOT),
            "site-packages",
            ".py",
            "/etc/passwd",
        ]:
            assert hidden not in answers
            assert hidden not in door.log, hidden
        assert "unexpected" not in door.log


@pytest.mark.parametrize("connections", [200])
async def test_many_connections_that_say_nothing_do_not_keep_others_out(
    server: Server, harness: Harness, connections: int
) -> None:
    async with gateway(server, harness) as door:
        address = urlsplit(door.url)
        idle = [await asyncio.open_connection(address.hostname, address.port) for _ in range(connections)]
        try:
            assert 200 == (await door.send("GET", "/v1/models")).status_code
        finally:
            for _, writer in idle:
                writer.close()

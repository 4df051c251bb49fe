"""The codec server by real HTTP: who may ask reads, everybody else is refused."""

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload

from starter.encryption import codec_server
from starter.encryption.codec import Encryption
from starter.encryption.codec_server import CodecServer, dev_codec_server
from starter.encryption.keys import EncryptionError, new_key
from workflows.wire.messages import DATA_CONVERTER
from workflows.wire.sealing import Guard

UI = "http://127.0.0.1:8233"
KEYS = {"new": b"n" * 32, "old": b"o" * 32}
CODEC = Encryption(KEYS)
TOKEN = "t" * 32


@pytest.fixture(scope="module")
def server() -> Iterator[CodecServer]:
    with CodecServer(CODEC, [UI], port=0) as server:
        yield server


@pytest.fixture(scope="module")
def guarded() -> Iterator[CodecServer]:
    with CodecServer(CODEC, [UI], port=0, token=TOKEN) as server:
        yield server


def call(
    server: CodecServer, path: str, body: Any = None, method: str = "POST", **headers: str
) -> tuple[int, dict[str, str], Any]:
    """Status, headers in small letters, and the JSON of the answer."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, sent, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    told = answer.read()
    connection.close()
    found = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, found, json.loads(told) if told else None


def as_json(payload: Payload) -> dict[str, Any]:
    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    return {"metadata": {n: encoded(v) for n, v in payload.metadata.items()}, "data": encoded(payload.data)}


SAID = as_json(DATA_CONVERTER.payload_converter.to_payload({"text": "secret"}))


def sealed(codec: Encryption = CODEC) -> dict[str, Any]:
    return as_json(codec.sealed(DATA_CONVERTER.payload_converter.to_payload({"text": "secret"})))


def test_the_web_ui_reads_what_is_encrypted_and_what_is_not(server: CodecServer) -> None:
    body = {"payloads": [sealed(), SAID, sealed(Encryption({"old": b"o" * 32}))]}
    path = "/decode?preserveStorageRefs=true"  # as UI 2.54 asks
    status, headers, told = call(server, path, body, Origin=UI, X_Namespace="default")
    assert (200, {"payloads": [SAID] * 3}) == (status, told)
    assert (UI, "Origin", "no-store") == (
        headers["access-control-allow-origin"],
        headers["vary"],
        headers["cache-control"],
    )


def test_what_is_encoded_is_encrypted_with_the_newest_key(server: CodecServer) -> None:
    status, _, told = call(server, "/encode", {"payloads": [SAID]})
    [payload] = told["payloads"]
    assert (200, base64.b64encode(b"new").decode()) == (status, payload["metadata"]["encryption-key-id"])
    assert {"payloads": [SAID]} == call(server, "/decode", {"payloads": [payload]})[2]


def test_a_payload_without_its_key_stays_and_the_others_are_read(server: CodecServer) -> None:
    unknown = sealed(Encryption({"gone": b"g" * 32}))
    assert {"payloads": [unknown, SAID]} == call(server, "/decode", {"payloads": [unknown, sealed()]})[2]


def test_a_browser_is_told_that_the_web_ui_may_ask_and_nobody_else(server: CodecServer) -> None:
    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type,x-namespace"}
    status, headers, _ = call(server, "/decode", b"", "OPTIONS", Origin=UI, **asks)
    assert (204, UI, "true", "POST") == (
        status,
        *(headers[f"access-control-allow-{name}"] for name in ("origin", "credentials", "methods")),
    )
    assert {"content-type", "x-namespace"} <= set(headers["access-control-allow-headers"].split(", "))
    for origin in ("http://127.0.0.1:8234", "https://127.0.0.1:8233", "null", "http://evil.example"):
        for method in ("OPTIONS", "POST"):
            status, headers, told = call(server, "/decode", {"payloads": [sealed()]}, method, Origin=origin)
            assert (403, False) == (status, "access-control-allow-origin" in headers)
            assert "payloads" not in told


def test_a_name_that_somebody_bound_to_loopback_is_refused(server: CodecServer) -> None:
    port = server.url.rpartition(":")[2]
    for host in (f"evil.example:{port}", "127.0.0.1", "localhost:1"):
        assert 421 == call(server, "/decode", {"payloads": [sealed()]}, Host=host)[0]
    assert 200 == call(server, "/decode", {"payloads": [sealed()]}, Host=f"localhost:{port}")[0]


def test_with_a_token_nobody_reads_without_it(guarded: CodecServer) -> None:
    body = {"payloads": [sealed()]}
    shown = {"Authorization": f"Bearer {TOKEN}"}
    assert (200, {"payloads": [SAID]}) == call(guarded, "/decode", body, **shown)[::2]
    assert (200, {"payloads": [SAID]}) == call(guarded, f"/{TOKEN}/decode", body)[::2]
    for path, headers in (
        ("/decode", {}),
        ("/decode", {"Authorization": f"Bearer {TOKEN[:-1]}"}),
        ("/decode", {"Authorization": "Bearer "}),
        (f"/{TOKEN[:-1]}x/decode", {}),
        ("/wrong/decode", shown),
        ("//decode", {}),
    ):
        status, _, told = call(guarded, path, body, **headers)
        assert 401 == status
        assert TOKEN not in json.dumps(told)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/", {}, {}, 404),
        ("/decode/more", {}, {}, 404),
        ("/decode", b"{", {}, 400),
        ("/decode", b'{"payloads": 1}', {}, 400),
        ("/decode", b"\xff", {}, 400),
        ("/decode", b"[" * 100_000, {}, 400),
        ("/decode", b"", {"Content_Length": str(codec_server.BODY_BYTES + 1)}, 413),
        ("/decode", b"", {"Content_Length": "-1"}, 413),
        ("/decode", b"", {"Content_Length": "many"}, 411),
    ],
)
def test_what_is_no_request_is_refused_and_the_server_goes_on(
    server: CodecServer, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    assert status == call(server, path, body, **headers)[0]
    assert 200 == call(server, "/decode", {"payloads": [sealed()]})[0]


def test_beyond_loopback_it_does_not_start_without_a_token_nor_anywhere_without_keys() -> None:
    with pytest.raises(EncryptionError, match="beyond loopback"):
        CodecServer(CODEC, [UI], host="0.0.0.0", port=0)  # noqa: S104 (it does not listen)
    with pytest.raises(EncryptionError, match="20 characters"):
        CodecServer(CODEC, [UI], port=0, token="s" * 19)
    with pytest.raises(EncryptionError, match="needs keys"):
        CodecServer(Guard(), [UI], port=0)


def test_beside_an_embedded_server_there_is_one_where_there_are_keys() -> None:
    assert dev_codec_server(8233, 0, {}) is None
    server = dev_codec_server(8233, 0, {"SESSIONS_ENCRYPTION_KEYS": new_key("a")})
    assert server
    server.stop()

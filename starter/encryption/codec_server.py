"""A codec server: lets Temporal's Web UI and command line read what is encrypted, by asking who has the keys.

`POST /decode` and `POST /encode` take and give `{"payloads": [...]}`, as Temporal has them in JSON. Whoever may ask can
read everything, so: a page of another origin than the Web UI's is refused before anything is read; a name for this host
that is not its own is refused, since a page could bind any name to a loopback address; and beyond loopback nobody asks
without the token. On loopback it may be left out: whoever runs programs on a developer's machine may read there.
"""

import asyncio
import hmac
import ipaddress
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from types import TracebackType
from typing import Any, Self

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import PayloadCodec

from starter.encryption.keys import EncryptionError
from starter.encryption.setting import CODEC_PORT, codec_of
from workflows.wire.errors import KeyMissingError
from workflows.wire.sealing import Guard

LOOPBACK = "127.0.0.1"
TOKEN_VARIABLE = "SESSIONS_CODEC_TOKEN"  # noqa: S105 (a name)
TOKEN_CHARS = 20
"""Of a token, at least: nobody tries that many."""

BODY_BYTES = 8 * 2**20
"""Of a request: a whole message of Temporal's (4 MiB) in base64."""

REQUEST_SECONDS = 10.0
"""For each piece of a request to come, and for an answer to leave."""

REQUESTS_AT_ONCE = 32
"""The Web UI asks for each payload of a page by itself; a browser opens six connections."""

WAITING = 128
"""Connections that wait to be accepted."""

_HEADERS = "authorization, content-type, x-namespace, caller-type"
_PREFLIGHT_SECONDS = "600"

logger = logging.getLogger("sessions.codec")


class CodecServer:
    """One codec server on a thread of its own; `origins`: those of Web UIs, like `http://127.0.0.1:8233`.

    `token`: what callers have to show, as `Authorization: Bearer TOKEN` or as the first step of the path. Raises
    EncryptionError for keys that are none, a short token, none beyond loopback, and an address that cannot be had.
    """

    def __init__(
        self,
        codec: PayloadCodec,
        origins: Sequence[str],
        host: str = LOOPBACK,
        port: int = CODEC_PORT,
        token: str | None = None,
    ) -> None:
        if type(codec) is Guard:
            raise EncryptionError("a codec server needs keys: SESSIONS_ENCRYPTION_KEYS")
        if token is None and not _is_loopback(host):
            raise EncryptionError(f"beyond loopback a codec server needs a token: {TOKEN_VARIABLE}")
        if token is not None and len(token) < TOKEN_CHARS:
            raise EncryptionError(f"{TOKEN_VARIABLE} must have {TOKEN_CHARS} characters or more")
        try:
            self._http = _Http(codec, frozenset(origins), host.strip("[]"), port, token)
        except OSError as error:
            raise EncryptionError(f"cannot listen on {host} port {port}: {error.strerror}") from None
        self._thread = threading.Thread(target=self._http.serve_forever, name="codec-server", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self._http.own}"

    def start(self) -> str:
        """Listen until `stop`; its url."""
        self._thread.start()
        return self.url

    def stop(self) -> None:
        """Listen no more."""
        if self._thread.ident is not None:
            self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def dev_codec_server(ui_port: int, port: int, environment: Mapping[str, str]) -> CodecServer | None:
    """The one beside an embedded server, not started; null where nothing is encrypted. Raises EncryptionError."""
    codec = codec_of(environment)
    origins = [f"http://{name}:{ui_port}" for name in (LOOPBACK, "localhost")]
    return None if type(codec) is Guard else CodecServer(codec, origins, port=port)


class _Http(ThreadingHTTPServer):
    request_queue_size = WAITING
    daemon_threads = True

    def __init__(self, codec: PayloadCodec, origins: frozenset[str], host: str, port: int, token: str | None) -> None:
        if ":" in host:
            self.address_family = AF_INET6
        super().__init__((host, port), _Request)
        self.codec, self.origins, self.token = codec, origins, token
        own = self.server_address[1]
        self.own = f"[{host}]:{own}" if ":" in host else f"{host}:{own}"
        names = {self.own, f"{LOOPBACK}:{own}", f"localhost:{own}", f"[::1]:{own}"}
        self.names = names if _is_loopback(host) else None
        self._slots = threading.BoundedSemaphore(REQUESTS_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Wait until there is a thread to be had, rather than make any number."""
        self._slots.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """See base class."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 (the base class's)
        """Say nothing of it: a traceback could have what was decrypted."""
        logger.warning("a request ended early")


class _Request(BaseHTTPRequestHandler):
    server: _Http
    timeout = REQUEST_SECONDS
    server_version, sys_version = "sessions-codec", ""

    def do_OPTIONS(self) -> None:
        """What a browser asks before it asks."""
        if self._may_come():
            self._answer(HTTPStatus.NO_CONTENT, b"", preflight=True)

    def do_POST(self) -> None:
        """Decode or encode."""
        work = self._work() if self._may_come() else None
        given = self._given() if work else None
        if given is not None:
            found = [self._turned(payload, decode=work == "decode") for payload in given.payloads]
            self._answer(HTTPStatus.OK, MessageToJson(Payloads(payloads=found), indent=None).encode())

    def _given(self) -> Payloads | None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "how long is it?")
            return None
        if not 0 <= length <= BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"over {BODY_BYTES} bytes")
            return None
        try:
            return Parse(self.rfile.read(length), Payloads())
        except (ParseError, UnicodeDecodeError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST, 'not {"payloads": [...]}')
            return None

    def _turned(self, payload: Payload, *, decode: bool) -> Payload:
        codec = self.server.codec
        try:
            [turned] = asyncio.run(codec.decode([payload]) if decode else codec.encode([payload]))
        except KeyMissingError as error:  # the others of a page are still to be read
            logger.warning("a payload cannot be read: %s", error)
            return payload
        return turned

    def _may_come(self) -> bool:
        names, origin = self.server.names, self.headers.get("Origin")
        if names is not None and self.headers.get("Host") not in names:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this host has another name")
        elif origin is not None and origin not in self.server.origins:
            self._refuse(HTTPStatus.FORBIDDEN, "pages of this origin may not ask")
        else:
            return True
        return False

    def _work(self) -> str | None:
        """What is asked for, by who may ask."""
        # The Web UI asks with a query, about payloads that are stored elsewhere, which we have none of.
        token, steps = self.server.token, self.path.partition("?")[0].strip("/").split("/")
        shown = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token is not None and len(steps) > 1:
            shown, steps = steps[0], steps[1:]
        if token is not None and not hmac.compare_digest(shown.encode(), token.encode()):
            self._refuse(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong")
        elif len(steps) != 1 or steps[0] not in {"decode", "encode"}:
            self._refuse(HTTPStatus.NOT_FOUND, "there is /decode and /encode")
        else:
            return steps[0]
        return None

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._answer(status, json.dumps({"message": why}).encode())

    def _answer(self, status: HTTPStatus, body: bytes, *, preflight: bool = False) -> None:
        self.send_response(status)
        origin = self.headers.get("Origin")
        self.send_header("Vary", "Origin")
        if origin in self.server.origins and origin is not None:
            self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header("Access-Control-Allow-Credentials", "true")
            if preflight:
                self.send_header("Access-Control-Allow-Methods", "POST")
                self.send_header("Access-Control-Allow-Headers", _HEADERS)
                self.send_header("Access-Control-Max-Age", _PREFLIGHT_SECONDS)
        self.send_header("Cache-Control", "no-store")
        if not preflight:
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's)
        """Nothing: a path may have the token."""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

"""What every request passes before any door: where it comes from, whose key it has, how often and how much.

Plain ASGI, around the doors. What the doors raise ends here too, as an answer and a line in the log, which has the
route and never the address that was asked for: callers put all sorts of things there.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from starter.gateway.buckets import Buckets
from starter.gateway.callers import Caller
from starter.gateway.errors import ApiError, api_error
from starter.gateway.keys import KeyFile, KeysError
from starter.gateway.settings import GatewaySettings, is_loopback
from workflows.wire.limits import KIB

OPEN_TO_ALL = frozenset({"/healthz"})
"""Paths without a key: what a load balancer asks."""

OWNER_HEADER = "x-sessions-owner"
"""Whose a new session is to be, among the owners of the key."""

HEAD_BYTES = 64 * KIB
"""Address and headers of a request: eight times what most servers take. h11 refuses more itself, with 400, but only
where they come in pieces."""

PREFLIGHT_SECONDS = 600
"""How long a browser may remember what it was allowed: ten minutes, so that a change of the settings is seen soon."""

_ALLOWED_METHODS = "GET, POST, DELETE"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

logger = logging.getLogger("sessions.gateway")


class Entrance:
    """Checks each request, then lets it through to `doors`."""

    def __init__(self, doors: ASGIApp, settings: GatewaySettings, keys: KeyFile | None) -> None:
        self._doors = doors
        self._settings = settings
        self._keys = keys
        self._origins = settings.allowed_origins()
        self._buckets = Buckets(settings.rate, settings.burst, time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._doors(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, headers, request_id = time.monotonic(), Headers(scope=scope), f"req_{secrets.token_hex(12)}"
        shared = self._shared_with(headers)
        status: list[int] = []

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
                added = MutableHeaders(scope=message)
                added["x-request-id"] = request_id
                added["x-content-type-options"] = "nosniff"
                added["cache-control"] = "no-store"
                for name, value in shared.items():
                    added[name] = value
            await send(message)

        scope["app"] = (
            self  # with an application around them, routes raise what would else be an answer without a shape
        )
        try:
            answered = self._admitted(scope, headers)
            if answered is None:
                await self._doors(scope, _Body(receive, headers, self._settings), answer)
            else:
                await answered(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 (every fault is an answer, none the end of the gateway)
            refused = told(error, request_id)
            if not status:
                await error_response(refused)(scope, receive, answer)
        finally:
            self._log(scope, status[0] if status else 0, time.monotonic() - began, request_id)

    def _admitted(self, scope: Scope, headers: Headers) -> Response | None:
        """Who is to be let through; else the answer. Raises ApiError."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["raw_path"]) > HEAD_BYTES:
            raise ApiError(431, "headers_too_large", f"a head may have {HEAD_BYTES} bytes")
        self._check_source(scope["method"], headers)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            return Response(status_code=204)
        if scope["path"] in OPEN_TO_ALL:
            return None
        caller = self._caller(headers)
        scope.setdefault("state", {})["caller"] = caller
        wait = self._buckets.take(caller.name)
        if wait:
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"this key sends more than {self._settings.rate:g} requests a second",
                headers={"retry-after": str(int(wait) + 1)},
            )
        return None

    def _check_source(self, method: str, headers: Headers) -> None:
        """Keep out the web pages of others, which a browser on this machine would lend its place to."""
        if self._keys is None and not is_loopback(host_name(headers.get("host", ""))):
            raise ApiError(421, "wrong_host", "a gateway without keys answers under the names of loopback alone")
        origin = headers.get("origin")
        if origin is None or origin in self._origins or method in _SAFE:
            return  # without CORS headers, a browser keeps what a page has read from it
        if origin.partition("://")[2] != headers.get("host"):
            raise ApiError(403, "origin_not_allowed", "pages of that origin may not call this gateway")

    def _shared_with(self, headers: Headers) -> Mapping[str, str]:
        origin = headers.get("origin")
        if origin is None or origin not in self._origins:
            return {"vary": "Origin"} if self._origins else {}
        return {
            "vary": "Origin",
            "access-control-allow-origin": origin,
            "access-control-allow-methods": _ALLOWED_METHODS,
            "access-control-allow-headers": headers.get(
                "access-control-request-headers", "authorization, content-type"
            ),
            "access-control-expose-headers": "x-request-id, retry-after",
            "access-control-max-age": str(PREFLIGHT_SECONDS),
        }

    def _caller(self, headers: Headers) -> Caller:
        owner = headers.get(OWNER_HEADER)
        if self._keys is None:
            return Caller("loopback", None, owner)
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        try:
            key = self._keys.key_of(secret.strip()) if scheme.lower() == "bearer" else None
        except KeysError as error:
            logger.error("%s", error)  # noqa: TRY400 (its text says all)
            raise ApiError(503, "keys_unreadable", "the keys of this gateway cannot be read") from None
        if key is None:
            raise ApiError(
                401,
                "invalid_api_key",
                "no key of this gateway; one is sent as `Authorization: Bearer sk-sessions-...`",
                headers={"www-authenticate": "Bearer"},
            )
        try:
            return Caller.of(key, owner)
        except ValueError:
            raise ApiError(403, "owner_not_allowed", f"{OWNER_HEADER}: none of the owners of this key") from None

    def _log(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        caller: Caller | None = scope.get("state", {}).get("caller")
        route = getattr(scope.get("route"), "path", "-")
        method = scope["method"] if scope["method"] in {"GET", "POST", "DELETE", "OPTIONS", "HEAD"} else "-"
        name = caller.name if caller else "-"
        logger.info("%s %s %s %.0f ms key=%s %s", method, route, status or "-", seconds * 1_000, name, request_id)


class _Body:
    """What is received of a body, as long as it is neither too long nor too slow."""

    def __init__(self, receive: Receive, headers: Headers, settings: GatewaySettings) -> None:
        self._receive = receive
        self._most = settings.body_bytes
        self._ends = asyncio.get_running_loop().time() + settings.body_seconds
        self._read = 0
        self._whole = False
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._most:
            raise self._too_large()

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()  # the caller's leaving
        try:
            async with asyncio.timeout_at(self._ends):
                message = await self._receive()
        except TimeoutError:
            raise ApiError(408, "request_timeout", "the body took too long", headers={"connection": "close"}) from None
        self._read += len(message.get("body", b""))
        if self._read > self._most:
            raise self._too_large()
        self._whole = not message.get("more_body", False)
        return message

    def _too_large(self) -> ApiError:
        message = f"a body may have {self._most} bytes"
        return ApiError(413, "request_too_large", message, headers={"connection": "close"})


def told(error: Exception, request_id: str) -> ApiError:
    """What a caller is told of `error`.

    A fault of the gateway is logged by its name and place, without its text: that may have what the caller wrote.
    """
    if isinstance(error, HTTPException):
        codes = {404: "unknown_url", 405: "method_not_allowed"}
        return ApiError(
            error.status_code, codes.get(error.status_code, "http_error"), error.detail, headers=error.headers
        )
    known = api_error(error)
    if known is not None:
        return known
    logger.error("%s: unexpected %s%s", request_id, type(error).__name__, _place(error))
    return ApiError(500, "internal_error", f"a fault of the gateway; its log has it under {request_id}")


def error_response(error: ApiError) -> JSONResponse:
    """The answer that tells it."""
    return JSONResponse(error.body(), error.status, error.headers)


def _place(error: Exception) -> str:
    """Module and line of the code of ours that it came from, or of the one that raised it."""
    places: list[tuple[Any, int]] = []
    trace = error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame.f_globals.get("__name__"), trace.tb_lineno))
        trace = trace.tb_next
    ours = [place for place in places if "starter" in str(place[0])]
    return " in {}:{}".format(*(ours or places)[-1]) if places else ""


def host_name(header: str) -> str:
    """The name in a Host header, without its port."""
    return header[: header.find("]") + 1] if header.startswith("[") else header.rpartition(":")[0] or header

"""Delivers notifications: signed, to hosts that the worker's operator allows, and to no address inside his network."""

import asyncio
import base64
import binascii
import ipaddress
import json
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError

from workflows.wire.limits import (
    NOTIFY_ATTEMPT_SECONDS,
    NOTIFY_ATTEMPTS_AT_ONCE,
    NOTIFY_LONGEST_PAUSE_SECONDS,
    NOTIFY_RETRY_SECONDS,
)

HOST_NOT_ALLOWED = "NotifyHostNotAllowed"
"""The worker's SESSIONS_NOTIFY_HOSTS does not have it, or not without TLS. Final."""
ADDRESS_NOT_ALLOWED = "NotifyAddressNotAllowed"
"""The host's name leads to an address that is not public. Final: such a name is a mistake, or an attack."""
GONE = "NotifyGone"
"""The receiver answered 410: it wants no more. Final."""
SECRET_MISSING = "NotifySecretMissing"  # noqa: S105 (the name of an error)
"""The worker has no SESSIONS_NOTIFY_SECRET. Tried again: another worker may have it."""
EXTRA_MISSING = "NotifyExtraMissing"
"""The worker lacks the extra `notify`. Tried again, as without the secret."""
UNREACHABLE = "NotifyUnreachable"
"""No answer: no such name, no connection, bad certificate, too slow. Tried again."""
REFUSED = "NotifyRefused"
"""An answer other than 2xx; redirects are not followed. Tried again."""
BUSY = "NotifyBusy"
"""So many attempts are under way to that host that this one is left for later."""
GIVEN_UP = "NotifyGivenUp"
"""Tried for a day."""

INSTALL = "pip install 'durable-sessions[notify]'"
HTTPS_PORT = 443

_SECRET_PREFIX, _SECRET_LEAST, _SECRET_MOST = "whsec_", 24, 64
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_Address = IPv4Address | IPv6Address


class Delivery(BaseModel):
    """One notification: `id` is the same at every attempt, by which a receiver knows it again."""

    id: str
    url: str
    body: dict[str, Any]


@dataclass(frozen=True)
class AllowedHost:
    """A name with the port it may be spoken to on; or an address, which may then be private and without TLS."""

    host: str
    port: int
    address: _Address | None = None


def allowed_hosts(text: str) -> list[AllowedHost]:
    """What SESSIONS_NOTIFY_HOSTS says. Raises ValueError."""
    return [_allowed(entry.strip()) for entry in text.split(",")] if text.strip() else []


def signing_secrets(text: str) -> list[str]:
    """What SESSIONS_NOTIFY_SECRET says, the newest first. Raises ValueError, which does not show it."""
    found = [entry.strip() for entry in text.split(",")] if text.strip() else []
    for secret in found:
        try:
            key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.startswith(_SECRET_PREFIX) or not _SECRET_LEAST <= len(key) <= _SECRET_MOST:
            raise ValueError(
                f"must be whsec_ and {_SECRET_LEAST} to {_SECRET_MOST} bytes in base64, several with commas"
            )
    return found


def public(address: _Address) -> bool:
    """Whether the whole Internet has that address, also where it is an IPv4 one in the clothes of IPv6."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return public(IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is not None:
            return public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


class NotifyActivities:
    """What one worker delivers with. Without hosts nothing leaves it."""

    def __init__(self, hosts: str = "", secrets: str = "") -> None:
        """Raises ValueError for settings that cannot be read."""
        self._hosts = allowed_hosts(hosts)
        self._secrets = signing_secrets(secrets)
        self._under_way: Counter[str] = Counter()

    @activity.defn(name="notify")
    async def deliver(self, delivery: Delivery) -> int:
        """Post it once; the status of the answer, which is a 2xx. The answer itself is not read.

        Raises ApplicationError under a name of this module. No message of it has the URL, which may hold a token, or
        what a receiver says.
        """
        parts = urlsplit(delivery.url)
        allowed = self._allowed(parts)
        if not self._secrets:
            raise ApplicationError("this worker has no SESSIONS_NOTIFY_SECRET", type=SECRET_MISSING)
        body = json.dumps(delivery.body, ensure_ascii=False, separators=(",", ":"))
        headers = self._headers(delivery.id, body)
        with self._place(allowed):
            try:
                async with asyncio.timeout(NOTIFY_ATTEMPT_SECONDS):
                    status = await _post(parts, await _address(allowed), allowed.port, headers, body)
            except TimeoutError:
                raise ApplicationError(f"{allowed.host} took too long", type=UNREACHABLE) from None
        if status == 410:  # noqa: PLR2004 (Gone)
            raise ApplicationError(f"{allowed.host} wants no more: 410", type=GONE, non_retryable=True)
        if not 200 <= status < 300:  # noqa: PLR2004 (success)
            raise ApplicationError(f"{allowed.host} answered {status}", type=REFUSED)
        return status

    def _allowed(self, parts: SplitResult) -> AllowedHost:
        secure = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (HTTPS_PORT if secure else 80)
        address = _literal(host)
        for allowed in self._hosts:
            same = allowed.address == address if address else allowed.host == host.rstrip(".")
            if same and allowed.port == port and (secure or allowed.address is not None):
                return allowed
        message = f"{host} on port {port} by {parts.scheme} is not among this worker's SESSIONS_NOTIFY_HOSTS"
        raise ApplicationError(message, type=HOST_NOT_ALLOWED, non_retryable=True)

    def _headers(self, message_id: str, body: str) -> dict[str, str]:
        try:
            from standardwebhooks import Webhook  # noqa: PLC0415 (an extra)
        except ImportError:
            raise _extra_missing() from None
        now = datetime.now(UTC)
        return {
            "content-type": "application/json",
            "user-agent": "durable-sessions",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(Webhook(secret).sign(message_id, now, body) for secret in self._secrets),
        }

    @contextmanager
    def _place(self, allowed: AllowedHost) -> Iterator[None]:
        """One of the host's places; an attempt that finds none is over at once, and holds nothing."""
        key = f"{allowed.host}:{allowed.port}"
        if self._under_way[key] >= NOTIFY_ATTEMPTS_AT_ONCE:
            attempt = min(activity.info().attempt, 20)
            pause = min(NOTIFY_RETRY_SECONDS * 2**attempt, NOTIFY_LONGEST_PAUSE_SECONDS)
            message = f"{NOTIFY_ATTEMPTS_AT_ONCE} attempts are under way to {allowed.host}"
            raise ApplicationError(message, type=BUSY, next_retry_delay=timedelta(seconds=pause))
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1


def _allowed(entry: str) -> AllowedHost:
    try:
        parts = urlsplit(f"//{entry}")
        host, port = parts.hostname or "", parts.port or HTTPS_PORT
    except ValueError:
        host, port = "", 0
    plain = entry.isascii() and not set(entry) & set("/@?#*\\ ")
    if not host or not plain:
        raise ValueError("must be hosts with commas between them, like hooks.example.com or 127.0.0.1:8080")
    return AllowedHost(host.rstrip("."), port, _literal(host))


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


async def _address(allowed: AllowedHost) -> str:
    """The address to connect to: the very one that was looked at, whatever its name leads to a moment later."""
    if allowed.address is not None:
        return str(allowed.address)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(allowed.host, allowed.port, type=socket.SOCK_STREAM)
    except OSError:
        raise ApplicationError(f"{allowed.host} has no address", type=UNREACHABLE) from None
    return checked_address(allowed.host, [str(entry[4][0]) for entry in found])


def checked_address(host: str, found: Sequence[str]) -> str:
    """The first of the addresses of a name. Raises ApplicationError where any of them is not public."""
    for text in found:
        if not public(ipaddress.ip_address(text.partition("%")[0])):
            message = f"{host} leads to an address that is not public"
            raise ApplicationError(message, type=ADDRESS_NOT_ALLOWED, non_retryable=True)
    return found[0]


async def _post(parts: SplitResult, address: str, port: int, headers: dict[str, str], body: str) -> int:
    """Post `body` to that address in the name of the URL's host; the status."""
    try:
        import httpx  # noqa: PLC0415 (an extra)
    except ImportError:
        raise _extra_missing() from None
    place = f"[{address}]" if ":" in address else address
    query = f"?{parts.query}" if parts.query else ""
    url = f"{parts.scheme}://{place}:{port}{parts.path or '/'}{query}"
    # No proxy of the environment: it would look the name up again, and by itself.
    async with httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=NOTIFY_ATTEMPT_SECONDS) as client:
        try:
            async with client.stream(
                "POST",
                url,
                content=body.encode(),
                headers={**headers, "host": parts.netloc},
                extensions={"sni_hostname": parts.hostname},
            ) as response:
                return response.status_code
        except httpx.HTTPError as error:
            raise ApplicationError(f"{parts.hostname}: {type(error).__name__}", type=UNREACHABLE) from None


def _extra_missing() -> ApplicationError:
    return ApplicationError(f"notifications need the extra `notify` in this worker: {INSTALL}", type=EXTRA_MISSING)

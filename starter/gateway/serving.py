"""Running a gateway: it listens, says where, and ends in good order at SIGINT or SIGTERM."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from starter.client import SessionClient
from starter.gateway.app import build_app
from starter.gateway.settings import GatewaySettings, GatewaySettingsError

KEEP_ALIVE_SECONDS = 65
"""Between two requests on a connection: longer than the 60 of most load balancers, which would use one just closed."""

BACKLOG = 1_024
"""Connections that wait to be accepted: a burst of clients that all start again at once."""

logger = logging.getLogger("sessions.gateway")


async def serve(sessions: SessionClient, settings: GatewaySettings, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM. `ready` is called once it listens, with its address.

    Raises GatewaySettingsError for an address that cannot be listened on, or may not; KeysError for the keys.
    """
    settings.check_address()
    app = build_app(sessions, settings)
    with contextlib.closing(_listening(settings)) as listening:
        host = f"[{settings.host.strip('[]')}]" if ":" in settings.host else settings.host
        config = uvicorn.Config(
            app,
            http=_protocol(settings.body_seconds),
            ws="auto" if settings.page else "none",
            lifespan="on" if settings.page else "off",
            log_config=None,
            access_log=False,  # it has the address that was asked for; the entrance logs the route
            server_header=False,
            proxy_headers=False,
            limit_concurrency=settings.connections,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=round(settings.grace),
        )
        address = f"http://{host}:{listening.getsockname()[1]}"
        logger.info("gateway ready at %s", address)
        if ready:
            ready(address)
        await _Server(config).serve([listening])


def _listening(settings: GatewaySettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With its protocol named, asyncio sends at once what is written (TCP_NODELAY): 40 ms an answer.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host.strip("[]"), settings.port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise GatewaySettingsError(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}") from None
    listening.setblocking(False)  # noqa: FBT003 (the name says it)
    return listening


class _Server(uvicorn.Server):
    """uvicorn's, but for what follows a signal: its own raises it again, which would be no ordinary end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See base class."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def _protocol(seconds: float) -> type[H11Protocol]:
    """The HTTP of uvicorn, which waits for the head of a request as long as it takes; this one waits `seconds`."""

    class Impatient(H11Protocol):
        _head: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(exc)

        def _watch(self) -> None:
            handed_over = self.transport.get_protocol() is not self  # to the protocol of WebSockets
            if handed_over or (self.cycle is not None and not self.cycle.response_complete):
                self._unwatch()
            elif self._head is None:
                self._head = self.loop.call_later(seconds, self.transport.close)

        def _unwatch(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

    return Impatient

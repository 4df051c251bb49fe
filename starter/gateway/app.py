"""The gateway's application: the doors, each a list of routes, behind one entrance.

A door is a room of its own beneath `starter/gateway/`, with a function `routes`; it gets the `Desk`, and raises what
goes wrong. The gateway keeps nothing: every process of it answers for every other.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from starter.client import SessionClient
from starter.gateway.agui import doors as agui
from starter.gateway.callers import Desk
from starter.gateway.entrance import Entrance
from starter.gateway.keys import KeyFile
from starter.gateway.openai import doors as openai
from starter.gateway.settings import GatewaySettings
from starter.tracing.setting import traced_requests


def build_app(sessions: SessionClient, settings: GatewaySettings) -> ASGIApp:
    """The application for a server of ASGI.

    Raises KeysError for a file of keys that cannot be used, and ImportError for a page whose extra is not installed.
    """
    keys = KeyFile(settings.keys) if settings.keys else None
    if keys:
        keys.keys()
    desk = Desk(sessions, settings)
    doors = [Route("/healthz", _healthy, methods=["GET"]), *openai.routes(desk), *agui.routes(desk)]
    entrance = traced_requests(Entrance(Router(doors, redirect_slashes=False), settings, keys), sessions.temporal)
    if not settings.page:
        return entrance
    from starter.gateway.page.app import build_page  # noqa: PLC0415 (an extra, which most gateways do without)

    return _WithPage(entrance, build_page(sessions))


class _WithPage:
    """The doors for programs, and the page for all else that is asked for."""

    def __init__(self, doors: ASGIApp, page: ASGIApp) -> None:
        self._doors, self._page = doors, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        first = scope["path"].split("/")[1] if scope["type"] == "http" else ""
        programs = first in {"healthz", "v1", "agui"}
        await (self._doors if programs else self._page)(scope, receive, send)


async def _healthy(_: Request) -> Response:
    """Whether the process answers; whether Temporal does is not asked, lest a load balancer take all gateways away."""
    return JSONResponse({"status": "ok"})

"""What every request to the page passes: it comes to a name of loopback, and from the page itself or from no page.

The page is open to everybody on this machine, and a browser on it visits other pages too. One that has its own name
point to loopback (DNS rebinding) is told by `Host`, one that calls from elsewhere by `Origin` and `Sec-Fetch-Site`.
None may show this page in a frame, where it could have a person click on what they do not see.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from starter.gateway.entrance import host_name
from starter.gateway.settings import is_loopback

POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: the browser loads nothing from elsewhere, whatever a model has put into its answer. What is
unsafe in it is for NiceGUI, whose page has its scripts in it, and for Vue, which compiles its templates."""

HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

_REFUSED = 4403
"""How a WebSocket that may not be is closed; before it was accepted, that is 403."""


class Guard:
    """Lets requests through to `page` that may come, and gives its answers their headers."""

    def __init__(self, page: ASGIApp) -> None:
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._page(scope, receive, send)
            return
        why = refused(Headers(scope=scope), navigates=scope["type"] == "http" and scope["method"] in {"GET", "HEAD"})
        if why is None:
            await self._page(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            await PlainTextResponse(f"{why}\n", 421 if "name" in why else 403, HEADERS)(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": _REFUSED})


def refused(headers: Headers, *, navigates: bool) -> str | None:
    """Why a request may not come; null where it may. `navigates`: it reads a page, which a link elsewhere may do."""
    host = headers.get("host", "")
    if not is_loopback(host_name(host)):
        return "this page answers under the names of loopback alone"
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        return "pages of another origin may not call this page"
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "navigate")
    if site not in {"same-origin", "none"} and not (navigates and mode == "navigate"):
        return "pages of another site may not call this page"
    return None


def _with_headers(send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                added[name] = value
        await send(message)

    return answer

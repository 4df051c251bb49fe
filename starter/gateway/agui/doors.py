"""The routes of AG-UI."""

from starlette.routing import BaseRoute, Route

from starter.gateway.agui.runs import Runs
from starter.gateway.callers import Desk


def routes(desk: Desk) -> list[BaseRoute]:
    """All of them."""
    runs = Runs(desk)
    return [
        Route("/agui", runs.create, methods=["POST"]),
        Route("/agui", runs.cancel, methods=["DELETE"]),
        Route("/agui/{kind:path}", runs.create, methods=["POST"]),
    ]

"""`/v1/conversations`: a conversation is a session, its items are the turns of the transcript."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from starter.client import Session
from starter.client.erasure import Erasure
from starter.gateway.asking import session_id_of
from starter.gateway.bodies import idempotency_key, labels_of, number_in, read_json
from starter.gateway.callers import Desk, caller_of
from starter.gateway.errors import ApiError, invalid, unsupported
from starter.gateway.openai.ids import CONVERSATION
from starter.gateway.openai.shapes import conversation, turn_items

PAGE, MOST = 20, 100
"""Items of a list, unless `limit` says otherwise, and at most: as OpenAI has it."""

_READ_ONLY = "items are what tasks have left; a response adds the next"


class Conversations:
    """The requests of that path."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, request: Request) -> Response:
        """Open a session; its labels are the metadata."""
        caller, key = caller_of(request), idempotency_key(request)
        body = await read_json(request)
        _check_fields(body)
        labels = labels_of(body, "metadata")
        session = await self._desk.open(caller, session_id_of(CONVERSATION, caller.owner, key), labels=labels)
        return JSONResponse(await _shown(session))

    async def retrieve(self, request: Request) -> Response:
        """A session as it is now."""
        return JSONResponse(await _shown(await self._found(request)))

    async def update(self, request: Request) -> Response:
        """Change its labels."""
        body = await read_json(request)
        _check_fields(body)
        session = await self._found(request)
        await session.configure(labels=labels_of(body, "metadata"))
        return JSONResponse(await _shown(session))

    async def delete(self, request: Request) -> Response:
        """Erase it with all its tasks."""
        session = await self._found(request)
        await Erasure(session.temporal, session.id).run()
        return JSONResponse({"id": session.id, "object": "conversation.deleted", "deleted": True})

    async def items(self, request: Request) -> Response:
        """What was asked and answered, newest first unless `order` says otherwise."""
        query = request.query_params
        limit = number_in(query.get("limit"), "limit", 1, MOST, PAGE)
        order = query.get("order", "desc")
        if order not in {"asc", "desc"}:
            raise invalid("order", "must be asc or desc")
        found = await self._items(request)
        if order == "desc":
            found.reverse()
        after = query.get("after")
        if after is not None:
            places = [place for place, item in enumerate(found) if item["id"] == after]
            if not places:
                raise invalid("after", "there is no such item")
            found = found[places[0] + 1 :]
        page = found[:limit]
        ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
        return JSONResponse({"object": "list", "data": page, "has_more": len(found) > limit, **ends})

    async def item(self, request: Request) -> Response:
        """One of them."""
        for item in await self._items(request):
            if item["id"] == request.path_params["item_id"]:
                return JSONResponse(item)
        raise ApiError(404, "item_not_found", "there is no such item", param="item_id")

    async def refuse(self, request: Request) -> Response:
        """Nobody writes into a transcript but tasks."""
        await self._found(request)
        raise unsupported("a change of items", _READ_ONLY)

    async def _items(self, request: Request) -> list[dict[str, Any]]:
        session = await self._found(request)
        transcript = (await session.context()).transcript
        return [item for turn in transcript for item in turn_items(session.id, turn)]

    async def _found(self, request: Request) -> Session:
        return await self._desk.find(caller_of(request), request.path_params["conversation_id"])


def _check_fields(body: dict[str, Any]) -> None:
    if body.get("items"):
        raise unsupported("items", _READ_ONLY)
    for name, value in body.items():
        if name not in {"items", "metadata"} and value is not None:
            raise ApiError(400, "unknown_parameter", "conversations have items and metadata, no other fields")


async def _shown(session: Session) -> dict[str, Any]:
    snapshot = await session.snapshot()
    return conversation(session.id, snapshot.started_at, snapshot.config.labels)

"""The routes of OpenAI's protocol."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from starter.gateway.callers import Desk
from starter.gateway.openai.chat import Chat
from starter.gateway.openai.conversations import Conversations
from starter.gateway.openai.files import Files
from starter.gateway.openai.requests import DEFAULT_MODEL, model_not_found
from starter.gateway.openai.responses import Responses


def routes(desk: Desk) -> list[BaseRoute]:
    """All of them."""
    responses, conversations, chat, files = Responses(desk), Conversations(desk), Chat(desk), Files(desk)
    kinds = [DEFAULT_MODEL, *(name for name in desk.settings.kind_names() if name != DEFAULT_MODEL)]

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_model(name) for name in kinds]})

    async def model(request: Request) -> Response:
        name = request.path_params["model"]
        if name not in kinds:
            raise model_not_found()
        return JSONResponse(_model(name))

    one, items = "/v1/conversations/{conversation_id}", "/v1/conversations/{conversation_id}/items"
    return [
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{model:path}", model, methods=["GET"]),
        Route("/v1/responses", responses.create, methods=["POST"]),
        Route("/v1/responses/{response_id}", responses.retrieve, methods=["GET"]),
        Route("/v1/responses/{response_id}", responses.delete, methods=["DELETE"]),
        Route("/v1/responses/{response_id}/cancel", responses.cancel, methods=["POST"]),
        Route("/v1/conversations", conversations.create, methods=["POST"]),
        Route(one, conversations.retrieve, methods=["GET"]),
        Route(one, conversations.update, methods=["POST"]),
        Route(one, conversations.delete, methods=["DELETE"]),
        Route(items, conversations.items, methods=["GET"]),
        Route(items, conversations.refuse, methods=["POST"]),
        Route(items + "/{item_id}", conversations.item, methods=["GET"]),
        Route(items + "/{item_id}", conversations.refuse, methods=["DELETE"]),
        Route("/v1/files", files.refuse, methods=["GET", "POST"]),
        Route("/v1/files/{file_id}", files.retrieve, methods=["GET"]),
        Route("/v1/files/{file_id}", files.refuse, methods=["DELETE"]),
        Route("/v1/files/{file_id}/content", files.content, methods=["GET"]),
        Route("/v1/chat/completions", chat.create, methods=["POST"]),
    ]


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "sessions"}

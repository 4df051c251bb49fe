"""What tasks have put into their outputs as stored files, as OpenAI's files: to be looked at and fetched."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from starter.client import Session
from starter.gateway.asking import present
from starter.gateway.callers import Desk, caller_of
from starter.gateway.errors import ApiError, unsupported
from starter.gateway.openai.ids import FILE, ref_in
from starter.gateway.openai.shapes import files_in, seconds
from workflows.contract import TaskRecord
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.files import StoredFile

_HARMLESS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
"""No browser takes a file for a page of the gateway's."""


class Files:
    """The requests of that path."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def retrieve(self, request: Request) -> Response:
        """What a file is."""
        _, record, file = await self._found(request)
        return JSONResponse(_shown(request.path_params["file_id"], record, file))

    async def content(self, request: Request) -> Response:
        """What is in it, piece by piece; less than its length where it turns out to be broken."""
        session, _, file = await self._found(request)
        pieces = session.pieces(file.reference())
        first = await anext(pieces, b"")  # whether it is there is known before the answer begins
        name = quote(file.name or "file", safe="")
        headers = {"Content-Length": str(file.bytes), "Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return StreamingResponse(_all(first, pieces), headers=_HARMLESS | headers, media_type=file.media_type)

    async def refuse(self, _: Request) -> Response:
        """Uploads, lists and deletions: files are of sessions, and come and go with them."""
        raise unsupported(
            "a file without a session", "send it within a message; it goes when its conversation is deleted"
        )

    async def _found(self, request: Request) -> tuple[Session, TaskRecord, StoredFile]:
        ref = ref_in(request.path_params["file_id"], FILE)
        if ref is None:
            raise _none()
        try:
            session = await self._desk.find(caller_of(request), ref.session_id)
            record = await present(session, ref.task_id)
        except SessionError as error:
            if error.type in {ErrorType.SESSION_NOT_FOUND, ErrorType.UNKNOWN_TASK, ErrorType.INVALID_REQUEST}:
                raise _none() from None
            raise
        for file in files_in(session.id, record.output):
            if file.sha256 == ref.part:
                return session, record, file
        raise _none()


def _shown(file_id: str, record: TaskRecord, file: StoredFile) -> Mapping[str, Any]:
    return {
        "id": file_id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": seconds(record.finished_at),
        "filename": file.name or "file",
        "purpose": "assistants_output",
        "status": "processed",
    }


async def _all(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _none() -> ApiError:
    return ApiError(404, "file_not_found", "there is no such file")

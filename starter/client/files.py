"""Files of one session, as a program stores and reads them; and what of an input does not fit into a message.

The store is what `SESSIONS_FILES` names, here as at the worker. The session itself never sees a byte of it.
"""

import os
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.file_store import FilesSettingError, FileStore, pieces_of, store_of, the_store
from workflows.wire import limits
from workflows.wire.encoding import canonical, json_bytes, plain
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.files import JSON, TEXT, check_references, file_of, media_type_of

Content = bytes | str | os.PathLike[str] | AsyncIterable[bytes]


class SessionFiles:
    """What one session has in the store. Every method raises SessionError: FilesUnavailable, and what it says."""

    def __init__(self, temporal: Client, session_id: str) -> None:
        self._temporal, self._id = temporal, session_id

    async def put(self, content: Content, media_type: str | None, name: str | None) -> dict[str, Any]:
        """Store a file of a session that there is. Raises FileTooLarge, InvalidRequest, SessionNotFound, OSError."""
        store = the_store()
        if isinstance(content, str | os.PathLike):
            name = Path(content).name if name is None else name
        await self._check_session()
        guessed = media_type or media_type_of(name)
        return (await store.put(self._id, pieces_of(content), media_type=guessed, name=name)).reference()

    async def content(self, reference: Any) -> bytes:
        """All of a file. Raises FileNotFound, InvalidRequest."""
        file = file_of(reference, self._id)
        return await the_store().content(file, file.bytes)

    async def save(self, reference: Any, to: str | os.PathLike[str]) -> None:
        """A file's content as the file of a path. Raises FileNotFound, InvalidRequest, OSError."""
        await the_store().save(file_of(reference, self._id), Path(to))

    def pieces(self, reference: Any) -> AsyncIterator[bytes]:
        """A file's content, piece by piece. Raises FileNotFound, InvalidRequest."""
        file = file_of(reference, self._id)
        return the_store().read(file)

    async def fitting(self, value: Any) -> Any:
        """An input as it is sent: stored, and as its reference, where it is more than a session takes.

        Without a store it is left for the session to refuse, as is what is no JSON. Raises SessionError
        (InvalidRequest) for a reference in it that is no file of this session.
        """
        try:
            found = plain(value)
            size = json_bytes(found)
        except ValueError:
            return value
        check_references(found, self._id)
        if size <= limits.INPUT_BYTES or _store() is None:
            return value
        text = found if isinstance(found, str) else canonical(found)
        return await self.put(text.encode(), TEXT if isinstance(found, str) else JSON, None)

    def check(self, value: Any) -> None:
        """Raise SessionError (InvalidRequest) for a reference in `value` that is no file of this session."""
        try:
            found = plain(value)
        except ValueError:
            return
        check_references(found, self._id)

    async def _check_session(self) -> None:
        """Raise SessionError (SessionNotFound) where nobody would ever remove what is stored."""
        try:
            await self._temporal.get_workflow_handle(self._id).describe()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            raise SessionError(ErrorType.SESSION_NOT_FOUND, f"there is no session {self._id!r}") from None


def _store() -> FileStore | None:
    try:
        return store_of()
    except FilesSettingError as error:
        raise SessionError(ErrorType.FILES_UNAVAILABLE, str(error)) from None

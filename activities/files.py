"""Stored files for activities of kinds: what a reference stands for, and what is to become one.

    text = await files.read_input(task_input)                  # the input itself, stored or not
    content = await files.read(task_input["files"][0])
    return await files.put(Path("report.pdf"))                 # goes into the output

A task reads and writes the files of its own session. Every function raises ApplicationError by the contract's names:
FileNotFound, FileTooLarge, InvalidRequest (no reference, another session's file), FilesUnavailable, which is worth some
more attempts where the store only fails now.
"""

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.file_store import FilesError, FilesSettingError, pieces_of, store_of, the_store
from workflows.wire.encoding import canonical, plain
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.files import JSON, TEXT, StoredFile, file_of, is_reference, is_text, media_type_of
from workflows.wire.limits import FILE_ATTEMPTS, FILE_VALUE_BYTES


async def read(reference: Any, limit: int = FILE_VALUE_BYTES) -> bytes:
    """All of a file, of `limit` bytes at most."""
    with _named():
        return await the_store().content(_own(reference), limit)


async def pieces(reference: Any) -> AsyncIterator[bytes]:
    """A file of any size, piece by piece; whether it is what was stored is known with the end."""
    with _named():
        async for piece in the_store().read(_own(reference)):
            yield piece


async def save(reference: Any, to: str | os.PathLike[str]) -> None:
    """A file of any size as the file of a path, once it is whole."""
    with _named():
        await the_store().save(_own(reference), Path(to))


async def put(
    content: bytes | str | os.PathLike[str] | AsyncIterable[bytes],
    *,
    media_type: str | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """Store bytes, the file of a path or what comes piece by piece; the reference that stands for it.

    The same content again is the same file, so that another attempt leaves nothing behind.
    """
    if name is None and isinstance(content, str | os.PathLike):
        name = Path(content).name
    with _named():
        given = media_type or media_type_of(name)
        return (await the_store().put(_session(), pieces_of(content), media_type=given, name=name)).reference()


async def read_input(value: Any, limit: int = FILE_VALUE_BYTES) -> Any:
    """The input that a caller gave: where it was too large for a message, what its reference stands for.

    Words as a text, JSON as its value. Raises ApplicationError (InvalidRequest) for a file of another type.
    """
    if not is_reference(value):
        return value
    file = own(value)
    if not is_text(file.media_type):
        raise _refused(f"the input is a file of {file.media_type}, neither words nor JSON")
    content = await read(value, limit)
    try:
        return from_json(content) if file.media_type == JSON else content.decode()
    except ValueError:
        raise _refused(f"the input is not {file.media_type}, as its reference says") from None


def own(reference: Any) -> StoredFile:
    """What a reference of this session says."""
    with _named():
        return _own(reference)


@activity.defn
async def keep_output(output: Any) -> Any:
    """Store an output that no message takes, and return its reference; null where there is no store, or no JSON.

    It runs in the worker that has the output and is given it in memory: no history ever carries it.
    """
    with _named():
        try:
            if store_of() is None:
                return None
            found = plain(output)
        except FilesSettingError as error:
            raise FilesError(ErrorType.FILES_UNAVAILABLE, str(error)) from None
        except ValueError:
            return None
    text = found if isinstance(found, str) else canonical(found)
    return await put(text.encode(), media_type=TEXT if isinstance(found, str) else JSON)


def _own(reference: Any) -> StoredFile:
    return file_of(reference, _session())


def _session() -> str:
    session_id, _, task_id = (activity.info().workflow_id or "").partition("/")
    if not task_id:
        raise SessionError(ErrorType.INVALID_REQUEST, "files are read and written by activities of a session's task")
    return session_id


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except SessionError as error:
        again = isinstance(error, FilesError) and error.passing and activity.info().attempt < FILE_ATTEMPTS
        raise ApplicationError(error.message, type=error.type, non_retryable=not again) from None


def _refused(message: str) -> ApplicationError:
    return ApplicationError(message, type=ErrorType.INVALID_REQUEST, non_retryable=True)

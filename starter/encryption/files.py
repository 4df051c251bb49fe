"""Stored files under the keys of an installation: sealed as they are written, opened as they are read."""

from collections.abc import AsyncIterator, Mapping

from activities.file_store import FilesError
from starter.encryption.streams import MAGIC, Sealer, SealError
from workflows.wire.errors import ErrorType


class SealedFiles:
    """How a store keeps files where there are keys. One that was stored before there were any is read as it is."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._sealer = Sealer(keys)

    def seal(self, session_id: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:  # noqa: ARG002 (the protocol's)
        """What is written for these pieces."""
        return self._sealer.seal_async(pieces)

    async def open(self, session_id: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:  # noqa: ARG002 (the same)
        """What was sealed. Raises KeyMissingError, and FilesError (FilesUnavailable) for what has been changed."""
        begin = b""
        async for piece in pieces:
            begin += piece
            if len(begin) >= len(MAGIC):
                break
        whole = _again(begin, pieces)
        try:
            async for piece in self._sealer.open_async(whole) if begin.startswith(MAGIC) else whole:
                yield piece
        except SealError:
            raise FilesError(ErrorType.FILES_UNAVAILABLE, "the file is broken: it is not what was stored") from None


async def _again(begin: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield begin
    async for piece in rest:
        yield piece

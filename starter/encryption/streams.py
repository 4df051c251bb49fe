"""Files that are encrypted, piece by piece: of any size, in bounded memory.

A sealed file: a head of MAGIC, the length of the key's id and the id, four bytes that tell the key from another one by
that name, and a salt of 32; then chunks, each the AES-256-GCM of CHUNK_BYTES of the file, the last one of less. The key
of a file is derived from the installation's and the salt (HKDF-SHA256), so that nonces, which count the chunks and mark
the last one, are never used twice; a chunk that is missing, moved, doubled or from another file, and a file that is cut
off at whatever place, does not open. The head is part of the derivation.
"""

import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from activities.file_store import SEALED
from starter.encryption.codec import CHECK_BYTES, TAG_BYTES, key_check
from workflows.wire.errors import KeyMissingError

MAGIC = SEALED

CHUNK_BYTES = 64 * 1024
"""Of the file in each chunk: 16 bytes more then are 0.02 %, and a reader holds no more than that."""

SALT_BYTES = 32
"""For a key of the file's own."""

_COUNT_BYTES = 11
"""Of a nonce; the twelfth byte marks the last chunk."""


class SealError(ValueError):
    """A file that was changed, cut off, or never sealed."""


class Sealer:
    """Seals with the first of `keys`, by id, and opens with each. One for any number of files."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)
        self._newest = next(iter(keys))

    def seal(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """What to store for a file that comes in pieces of any size."""
        sealing = self.sealing()
        for piece in pieces:
            yield from sealing.take(piece)
        yield from sealing.end()

    def open(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The file, of what was stored, in pieces of any size.

        Raises SealError and KeyMissingError, the former maybe only at the end: what came until then is as it was
        sealed, and not the whole file.
        """
        opening = self.opening()
        for piece in pieces:
            yield from opening.take(piece)
        yield from opening.end()

    async def seal_async(self, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The same as `seal` for pieces that are waited for."""
        sealing = self.sealing()
        async for piece in pieces:
            for chunk in sealing.take(piece):
                yield chunk
        for chunk in sealing.end():
            yield chunk

    async def open_async(self, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The same as `open` for pieces that are waited for."""
        opening = self.opening()
        async for piece in pieces:
            for chunk in opening.take(piece):
                yield chunk
        for chunk in opening.end():
            yield chunk

    def sealing(self) -> "Sealing":
        """One file to be sealed, for who pushes pieces."""
        key, name = self._keys[self._newest], self._newest.encode()
        head = MAGIC + bytes([len(name)]) + name + key_check(key) + secrets.token_bytes(SALT_BYTES)
        return Sealing(_file_key(key, head), head)

    def opening(self) -> "Opening":
        """One file to be opened, for who pushes pieces."""
        return Opening(self._keys)


class Sealing:
    """One file on its way into a store."""

    def __init__(self, cipher: AESGCM, head: bytes) -> None:
        self._cipher, self._head = cipher, head
        self._rest = bytearray()
        self._count = 0

    def take(self, piece: bytes) -> Iterator[bytes]:
        """What can be stored by now; a whole chunk waits, since it may be the last one."""
        yield from self._begin()
        view = memoryview(piece)
        while view:
            if len(self._rest) == CHUNK_BYTES:
                yield self._chunk(last=False)
            room = CHUNK_BYTES - len(self._rest)
            self._rest += view[:room]
            view = view[room:]

    def end(self) -> Iterator[bytes]:
        """The rest."""
        yield from self._begin()
        yield self._chunk(last=True)

    def _begin(self) -> Iterator[bytes]:
        if self._head:
            head, self._head = self._head, b""
            yield head

    def _chunk(self, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._count, last=last), bytes(self._rest), None)
        self._rest.clear()
        self._count += 1
        return sealed


class Opening:
    """One file on its way out of a store."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys
        self._cipher: AESGCM | None = None
        self._rest = bytearray()
        self._count = 0

    def take(self, piece: bytes) -> Iterator[bytes]:
        """What can be read by now. Raises SealError, KeyMissingError."""
        view = memoryview(piece)
        whole = CHUNK_BYTES + TAG_BYTES
        while view:
            if self._cipher and len(self._rest) == whole:
                yield self._chunk(last=False)
            room = whole - len(self._rest)
            self._rest += view[:room]
            view = view[room:]
            self._begin()

    def end(self) -> Iterator[bytes]:
        """The rest. Raises SealError, KeyMissingError."""
        if self._cipher is None:
            raise SealError("the file is cut off, or was never sealed")
        if last := self._chunk(last=True):
            yield last

    def _begin(self) -> None:
        """Read the head, once it is there."""
        if self._cipher is not None:
            return
        if not MAGIC.startswith(self._rest[: len(MAGIC)]):
            raise SealError("the file was never sealed")
        if len(self._rest) <= len(MAGIC):
            return
        at = len(MAGIC) + 1 + self._rest[len(MAGIC)]
        size = at + CHECK_BYTES + SALT_BYTES
        if len(self._rest) < size:
            return
        head = bytes(self._rest[:size])
        name = head[len(MAGIC) + 1 : at].decode(errors="replace")
        if name not in self._keys:
            raise KeyMissingError(name)
        key = self._keys[name]
        if head[at : at + CHECK_BYTES] != key_check(key):
            raise KeyMissingError(name, other=True)
        self._cipher = _file_key(key, head)
        del self._rest[:size]

    def _chunk(self, *, last: bool) -> bytes:
        if self._cipher is None or len(self._rest) < TAG_BYTES:
            raise SealError("the file is cut off")
        try:
            plain = self._cipher.decrypt(_nonce(self._count, last=last), bytes(self._rest), None)
        except InvalidTag:
            raise SealError("the file was changed or is cut off") from None
        self._rest.clear()
        self._count += 1
        return plain


def _file_key(key: bytes, head: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), length=32, salt=None, info=b"durable-sessions file" + head).derive(key))


def _nonce(count: int, *, last: bool) -> bytes:
    return count.to_bytes(_COUNT_BYTES, "big") + bytes([last])

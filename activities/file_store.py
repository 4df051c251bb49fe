"""Where files are that inputs, outputs and values only refer to: a folder or a bucket, by fsspec.

    store = store_of()  # SESSIONS_FILES=file:///var/lib/sessions or s3://bucket/folder
    file = await store.put("demo", pieces, media_type="image/png")
    async for piece in store.read(file): ...

What is written goes to a name of its own first and gets its key when all of it is there. Credentials are those of
fsspec's and boto's own environment; errors name the kind of a failure and never repeat what a backend said of it, which
may quote an address with its signature.
"""

import asyncio
import hashlib
import os
import re
import tempfile
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.files import StoredFile, checked_media_type, checked_name, in_words, key_of
from workflows.wire.limits import FILE_BYTES, FILE_CHUNK_BYTES, MIB
from workflows.wire.validation import checked_id

VARIABLE = "SESSIONS_FILES"
LIMIT_VARIABLE = "SESSIONS_FILE_BYTES"

_HINTS = {"file": "durable-sessions[files]", "memory": "durable-sessions[files]", "s3": "durable-sessions[files-s3]"}
SEALED = b"DSF1"
"""What a sealed file begins with: the format and its version."""

_PARTS = ".parts"
"""Where a session's unfinished files are; no id of a content is called so."""

_Result = TypeVar("_Result")


class FilesError(SessionError):
    """A refusal of the store. `passing`: whether another attempt may end otherwise."""

    def __init__(self, name: ErrorType, message: str, *, passing: bool = False) -> None:
        super().__init__(name, message)
        self.passing = passing


class FilesSettingError(RuntimeError):
    """The variable does not name a store, or its package is missing; one line for a person, without its value."""


class Sealer(Protocol):
    """How content stands in the store: it is sealed piece by piece as it is written, opened as it is read.

    Pieces may change their sizes and number; hash and size of a reference are those of the open content.
    """

    def seal(self, session_id: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """What is written for these pieces."""
        ...

    def open(self, session_id: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """What was sealed. Raises SessionError where that cannot be had."""
        ...


class Plain:
    """Content as it is."""

    def seal(self, session_id: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:  # noqa: ARG002 (the protocol's)
        """The pieces themselves."""
        return pieces

    def open(self, session_id: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:  # noqa: ARG002 (the protocol's)
        """The pieces themselves."""
        return pieces


def store_of(environment: Mapping[str, str] = os.environ) -> "FileStore | None":
    """The store that the environment names; null where it names none. Raises FilesSettingError."""
    url = environment.get(VARIABLE)
    return _store(url, _limit(environment.get(LIMIT_VARIABLE))) if url else None


def the_store() -> "FileStore":
    """The same. Raises FilesError (FilesUnavailable) where there is none."""
    try:
        store = store_of()
    except FilesSettingError as error:
        raise FilesError(ErrorType.FILES_UNAVAILABLE, str(error)) from None
    if store is None:
        raise FilesError(ErrorType.FILES_UNAVAILABLE, f"there is no store for files here; {VARIABLE} names one")
    return store


class FileStore:
    """Files of sessions, under `<session_id>/<hash>`. Nothing is read into memory as a whole but by `content`.

    Every method raises FilesError: FileTooLarge, FileNotFound, FilesUnavailable.
    """

    def __init__(self, url: str, limit: int = FILE_BYTES, sealer: Sealer | None = None) -> None:
        """Raises FilesSettingError for an address that is none, and where the package for it is missing."""
        protocol, self._root = _place(url)
        self._limit, self._sealer = limit, sealer or Plain()
        try:
            from fsspec import filesystem  # noqa: PLC0415 (an extra)

            # What others store or delete meanwhile counts: nothing is remembered of a listing.
            self._fs: Any = filesystem(protocol, use_listings_cache=False, skip_instance_cache=True)
        except ImportError:
            raise FilesSettingError(f"{VARIABLE} needs a package: pip install '{_HINTS[protocol]}'") from None
        except Exception as error:  # noqa: BLE001 (a backend's own, of its settings)
            raise FilesSettingError(f"{VARIABLE} cannot be used: {type(error).__name__}") from None

    async def put(
        self,
        session_id: str,
        pieces: AsyncIterator[bytes],
        *,
        media_type: str,
        name: str | None = None,
    ) -> StoredFile:
        """Store a file; the same content again is the same file. Raises SessionError (InvalidRequest), too."""
        checked_id(session_id)
        checked_media_type(media_type)
        if name is not None:
            checked_name(name)
        digest, size = hashlib.sha256(), 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for piece in pieces:
                size += len(piece)
                if size > self._limit:
                    message = f"a file weighs more than {in_words(self._limit)}; {LIMIT_VARIABLE} says how much it may"
                    raise FilesError(ErrorType.FILE_TOO_LARGE, message)
                digest.update(piece)
                yield piece

        part = f"{self._root}/{session_id}/{_PARTS}/{uuid.uuid4().hex}"
        try:
            await self._write(part, self._sealer.seal(session_id, counted()))
            sha256 = digest.hexdigest()
            key = key_of(session_id, sha256)
            await self._call(lambda: self._fs.mv(part, self._path(key)))
        except BaseException:
            with suppress(FilesError):
                await self._call(lambda: self._fs.rm_file(part))
            raise
        return StoredFile(key=key, bytes=size, sha256=sha256, media_type=media_type, name=name)

    async def read(self, file: StoredFile) -> AsyncIterator[bytes]:
        """Its content, piece by piece; that it is whole is known at the end.

        Raises FilesError: FileNotFound; FilesUnavailable, after the last piece, where it is not what was stored.
        Raises SessionError (KeyMissing) where it is encrypted and the key is not here.
        """
        path = self._path(file.key)
        digest, size, begin = hashlib.sha256(), 0, b""
        async for piece in self._sealer.open(file.session_id, self._stored(path, file)):
            begin = begin or piece[: len(SEALED)]
            size += len(piece)
            digest.update(piece)
            if size > file.bytes:
                break
            yield piece
        if size != file.bytes or digest.hexdigest() != file.sha256:
            if begin.startswith(SEALED) and isinstance(self._sealer, Plain):
                raise SessionError(ErrorType.KEY_MISSING, f"file {file.key!r} is encrypted, and there are no keys here")
            raise FilesError(ErrorType.FILES_UNAVAILABLE, f"file {file.key!r} is broken: it is not what was stored")

    async def content(self, file: StoredFile, limit: int) -> bytes:
        """All of it. Raises FilesError (FileTooLarge) beyond `limit` bytes."""
        if file.bytes > limit:
            message = f"file {file.key!r} weighs {in_words(file.bytes)}; {in_words(limit)} is the most for here"
            raise FilesError(ErrorType.FILE_TOO_LARGE, message)
        return b"".join([piece async for piece in self.read(file)])

    async def save(self, file: StoredFile, to: Path) -> None:
        """Its content as a file of that path, which has what it had, or nothing, until all of it is there."""
        part = await asyncio.to_thread(_beside, to)
        try:
            with part.open("wb") as target:
                async for piece in self.read(file):
                    await asyncio.to_thread(target.write, piece)
            await asyncio.to_thread(part.replace, to)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)

    async def copy(self, file: StoredFile, session_id: str) -> StoredFile:
        """The same file as one of another session."""
        return await self.put(session_id, self.read(file), media_type=file.media_type, name=file.name)

    async def holds(self, session_id: str) -> bool:
        """Whether anything of a session is there."""
        folder = f"{self._root}/{checked_id(session_id)}"
        return bool(await self._call(lambda: self._fs.exists(folder) and self._fs.find(folder)))

    async def delete(self, session_id: str) -> int:
        """Remove all of a session; how many files that were. It removes what is left when it is called again."""
        folder = f"{self._root}/{checked_id(session_id)}"

        def removed() -> int:
            if not self._fs.exists(folder):
                return 0
            found = self._fs.find(folder)
            for path in found:
                with suppress(FileNotFoundError):
                    self._fs.rm_file(path)
            with suppress(FileNotFoundError, NotImplementedError):  # a bucket has no folders
                if self._fs.exists(folder):
                    self._fs.rm(folder, recursive=True)
            return sum(f"/{_PARTS}/" not in path for path in found)

        return int(await self._call(removed))

    async def remove(self, file: StoredFile) -> None:
        """Remove one file; none of that key is no error."""
        with suppress(FileNotFoundError):
            await self._call(lambda: self._fs.rm_file(self._path(file.key)))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    async def _write(self, path: str, pieces: AsyncIterator[bytes]) -> None:
        def opened() -> Any:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            return self._fs.open(path, "wb", block_size=8 * MIB)

        target = await self._call(opened)
        try:
            async for piece in pieces:
                await self._call(lambda piece=piece: target.write(piece))  # type: ignore[misc]
        finally:
            await self._call(target.close)

    async def _stored(self, path: str, file: StoredFile) -> AsyncIterator[bytes]:
        missing = FilesError(ErrorType.FILE_NOT_FOUND, f"there is no file {file.key!r} in the store")
        source = await self._call(lambda: self._fs.open(path, "rb", block_size=8 * MIB), missing)
        try:
            while piece := await self._call(lambda: source.read(FILE_CHUNK_BYTES), missing):
                yield piece
        finally:
            await self._call(source.close)

    async def _call(self, call: Callable[[], _Result], missing: FilesError | None = None) -> _Result:
        """What a backend answers, in a thread; its errors by the names of ours."""
        name = ""
        try:
            return await asyncio.to_thread(call)
        except FileNotFoundError:
            if missing is not None:
                raise missing from None
            name = "FileNotFoundError"
        except Exception as error:  # noqa: BLE001 (each backend has its own)
            name = type(error).__name__
        # Raised in the except block it would carry along what the backend said.
        raise FilesError(ErrorType.FILES_UNAVAILABLE, f"the store does not do it now ({name})", passing=True)


async def pieces_of(content: "bytes | str | os.PathLike[str] | AsyncIterable[bytes]") -> AsyncIterator[bytes]:
    """Bytes, the file of a path (a str is one, too), or what comes piece by piece, in pieces of one size at most.

    Raises OSError for a path that cannot be read.
    """
    if isinstance(content, bytes | bytearray | memoryview):
        view = memoryview(content)
        for start in range(0, len(view), FILE_CHUNK_BYTES):
            yield bytes(view[start : start + FILE_CHUNK_BYTES])
    elif isinstance(content, str | os.PathLike):
        with await asyncio.to_thread(Path(content).open, "rb") as source:
            while piece := await asyncio.to_thread(source.read, FILE_CHUNK_BYTES):
                yield piece
    else:
        async for piece in content:
            for start in range(0, len(piece), FILE_CHUNK_BYTES):
                yield piece[start : start + FILE_CHUNK_BYTES]


def _place(url: str) -> tuple[str, str]:
    """The protocol and the place of an address, which is not repeated: somebody may have put a key into it."""
    parts = urlsplit(url)
    like = "file:///var/lib/sessions or s3://bucket/folder"
    if parts.scheme not in _HINTS or parts.query or parts.fragment or "@" in parts.netloc:
        raise FilesSettingError(f"{VARIABLE} must be an address like {like}; credentials belong into the environment")
    path = unquote(parts.path).rstrip("/")
    if parts.scheme == "file" and (parts.netloc or not path.startswith("/")):
        raise FilesSettingError(f"{VARIABLE} must name a folder from the root on, like {like}")
    if parts.scheme == "s3" and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", parts.netloc):
        raise FilesSettingError(f"{VARIABLE} must name a bucket, like {like}")
    if ".." in path.split("/"):
        raise FilesSettingError(f"{VARIABLE} must name a folder without `..`, like {like}")
    return parts.scheme, path if parts.scheme == "file" else f"{parts.netloc}{path}"


def _limit(text: str | None) -> int:
    if not text:
        return FILE_BYTES
    if not re.fullmatch(r"[1-9][0-9]{0,14}", text):
        raise FilesSettingError(f"{LIMIT_VARIABLE} must be a number of bytes, like {FILE_BYTES}")
    return int(text)


@lru_cache(maxsize=8)  # one in a process; tests have some
def _store(url: str, limit: int) -> FileStore:
    return FileStore(url, limit, sealer_of())


_sealer: Sealer = Plain()


def seal_with(sealer: Sealer | None) -> None:
    """How the stores of this process seal from now on; null: not at all. For whoever knows the keys, as it connects."""
    global _sealer  # noqa: PLW0603 (as the address of the store is the environment's, so are the keys)
    _sealer = sealer or Plain()
    _store.cache_clear()


def sealer_of() -> Sealer:
    """How files are sealed here."""
    return _sealer


def _beside(to: Path) -> Path:
    number, part = tempfile.mkstemp(prefix=".part-", dir=to.parent)
    os.close(number)
    return Path(part)

"""The keys of callers: a file of hashes, each with the owners whose sessions its key opens.

A key is 256 random bits, so one round of SHA-256 is enough: nobody can try them all, and a slow hash would only slow
down each request. The key itself is shown once, when it is made; no file, log or error text has it.
"""

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from starter.gateway.settings import ANY
from workflows.wire import fields as f
from workflows.wire.validation import explained

PREFIX = "sk-sessions-"
"""What a key begins with, for those who look for secrets in what is published."""

KEY_BYTES = 32
"""Random bytes of a key."""

READABLE_BY_OWNER = 0o600


class KeysError(Exception):
    """A file of keys that cannot be used, or a change of it that does not fit; one line."""


def _some(owners: list[str]) -> list[str]:
    if ANY in owners and len(owners) > 1:
        raise ValueError(f"{ANY!r} stands for all owners, alone")
    return owners


class StoredKey(BaseModel):
    """One key as the file has it. `owners`: whose sessions it opens, the first one's where it makes a new one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=f.ID_PATTERN)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    owners: Annotated[list[f.Name], Field(min_length=1), AfterValidator(_some)]
    created_at: f.Timestamp


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    keys: list[StoredKey] = Field(default_factory=list)


class KeyFile:
    """The keys of one file, read anew whenever it has changed: a removed key ends at the next request."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: list[StoredKey] = []

    def keys(self) -> list[StoredKey]:
        """All of them, in the order they were made. Raises KeysError where the file cannot be read."""
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != self._seen:
                self._keys, self._seen = _Stored.model_validate_json(self._path.read_bytes()).keys, seen
        except FileNotFoundError:
            raise KeysError("there is no such file of keys; `sessions gateway keys add` makes it") from None
        except OSError as error:
            raise KeysError(f"the file of keys cannot be read: {error.strerror}") from None
        except ValidationError as error:
            raise KeysError(f"the file of keys is damaged: {explained(error)}") from None
        return self._keys

    def key_of(self, secret: str) -> StoredKey | None:
        """The key that `secret` is; null for none. Takes as long for every one. Raises KeysError."""
        digest = _digest(secret)
        found = [key for key in self.keys() if hmac.compare_digest(key.sha256, digest)]
        return found[0] if found else None

    def add(self, name: str, owners: Sequence[str]) -> str:
        """Make a key for the sessions of `owners`, `*` alone for all, and return it: nothing else ever has it.

        Raises KeysError: a name that is taken or does not fit, owners that do not.
        """
        secret = PREFIX + secrets.token_urlsafe(KEY_BYTES)
        with self._changing() as keys:
            if name in {key.name for key in keys}:
                raise KeysError(f"there is a key named {name!r} already")
            made = {"name": name, "sha256": _digest(secret), "owners": list(owners), "created_at": datetime.now(UTC)}
            try:
                keys.append(StoredKey.model_validate(made))
            except ValidationError as error:
                raise KeysError(explained(error)) from None
        return secret

    def remove(self, name: str) -> None:
        """Take that key away. Raises KeysError where there is none of that name."""
        with self._changing() as keys:
            left = [key for key in keys if key.name != name]
            if len(left) == len(keys):
                raise KeysError(f"there is no key named {name!r}")
            keys[:] = left

    @contextmanager
    def _changing(self) -> Iterator[list[StoredKey]]:
        """The keys, to be changed by one process at a time; they replace the file whole, or not at all."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._path.with_name(f"{self._path.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                keys = list(self.keys()) if self._path.exists() else []
                yield keys
                written = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
                with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, READABLE_BY_OWNER), "w") as file:
                    file.write(_Stored(keys=keys).model_dump_json(indent=1) + "\n")
                written.replace(self._path)
        except OSError as error:
            raise KeysError(f"the file of keys cannot be written: {error.strerror}") from None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()

"""The keys of an installation: where they come from, and how one is made.

No error in here repeats what was given: it may be a key.
"""

import base64
import binascii
import importlib
import os
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from starter.named import look_here, place_in

VARIABLE = "SESSIONS_ENCRYPTION_KEYS"
"""`ID:BASE64,ID:BASE64`, the newest first: it encrypts, and every one of them decrypts."""

SOURCE_VARIABLE = "SESSIONS_ENCRYPTION"
"""`module:attribute` of a function that says the keys, for who keeps them in a key management service."""

KEY_BYTES = 32
"""AES-256: nothing is gained by less."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID_RULE = "an id is up to 64 letters, digits, dots, dashes and underlines, and begins with a letter or digit"

KeySource = Callable[[], Mapping[str, bytes]]
"""What `SESSIONS_ENCRYPTION` names: ids and keys of 32 bytes, the newest first. Called each time that a program
connects, before it does; what it raises ends the program."""


class EncryptionError(ValueError):
    """Keys that cannot be used, or no library to use them; one line, without any key."""


def keys_of(environment: Mapping[str, str] = os.environ) -> dict[str, bytes]:
    """The keys of the environment, newest first; none where nothing is to be encrypted. Raises EncryptionError."""
    text, source = environment.get(VARIABLE), environment.get(SOURCE_VARIABLE)
    if text and source:
        raise EncryptionError(f"{VARIABLE} and {SOURCE_VARIABLE} are both set; keys come from one place")
    return checked(_told_by(source), SOURCE_VARIABLE) if source else _parsed(text) if text else {}


def checked(keys: Mapping[str, bytes], said_by: str) -> dict[str, bytes]:
    """The same keys. Raises EncryptionError naming `said_by` where they are none, or no ids."""
    if not keys:
        raise EncryptionError(f"{said_by} has no keys")
    for number, (name, key) in enumerate(keys.items(), 1):
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise EncryptionError(f"{said_by}: key {number} has no id; {_ID_RULE}")
        if not isinstance(key, bytes) or len(key) != KEY_BYTES:
            raise EncryptionError(f"{said_by}: key {number} ({name}) must have {KEY_BYTES} bytes")
    return dict(keys)


def new_key(name: str) -> str:
    """A new key as `SESSIONS_ENCRYPTION_KEYS` has it. Raises EncryptionError for what is no id."""
    key = secrets.token_bytes(KEY_BYTES)
    checked({name: key}, "the new key")
    return f"{name}:{base64.b64encode(key).decode()}"


def _parsed(text: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(text.split(","), 1):
        name, colon, encoded = entry.strip().partition(":")
        told = f"{VARIABLE}: entry {number}"
        if not colon or not _ID.fullmatch(name):
            raise EncryptionError(f"{told} must be ID:BASE64; {_ID_RULE}")
        if name in keys:
            raise EncryptionError(f"{told}: there is a key {name!r} already")
        try:
            keys[name] = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise EncryptionError(f"{told}: the key {name!r} is no base64") from None
    return checked(keys, VARIABLE)


def _told_by(source: str) -> Mapping[str, bytes]:
    place = place_in(source)
    if place is None:
        raise EncryptionError(f"{SOURCE_VARIABLE} must be module:attribute, like vault:session_keys")
    module_name, attribute = place
    look_here()
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
        told = found()
    except Exception as error:  # noqa: BLE001 (whose text may be whatever a key service answered)
        raise EncryptionError(f"{SOURCE_VARIABLE}: {source} raises {type(error).__name__}") from None
    if not isinstance(told, Mapping):
        raise EncryptionError(f"{SOURCE_VARIABLE}: {source} must give ids and keys, not {type(told).__name__}")
    return told

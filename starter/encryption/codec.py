"""The codec: what leaves a client or a worker is compressed where that helps, then encrypted.

An encrypted payload: metadata `encoding` and `encryption-key-id` in clear; data = one byte, the format and whether it
is compressed; four bytes, which key it was; a nonce of twelve; the payload as it was, encrypted by AES-256-GCM with the
key's id and what stands before the nonce as associated data. Which workflow it belongs to is not bound: Temporal copies
payloads from one to another, and a codec server is not told of any. `docs/encryption.md` says what follows.
"""

import hashlib
import secrets
import zlib
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload

from workflows.wire.errors import KeyMissingError
from workflows.wire.sealing import ENCODING, KEY_ID, Guard, key_id

PLAIN, DEFLATED = b"\x01", b"\x02"
"""Formats: the payload as protobuf, or that compressed by deflate without zlib's header."""

CHECK_BYTES = 4
"""Of a hash of the key: tells another key by the same name, which an operator mends, from data that is broken, which
nobody does."""

NONCE_BYTES = 12
"""What GCM is made for. They are random: a key is good for 2^32 payloads (NIST SP 800-38D), which `docs/encryption.md`
says in years."""

TAG_BYTES = 16
"""GCM's own."""

LEVEL = 6
"""Of deflate: zlib's own. Level 9 makes 16 KB of prose no smaller, level 1 takes two thirds of the time and is a tenth
larger (measured)."""

SMALLEST_DEFLATED = 64
"""Bytes: less never gets smaller enough to be worth the time."""

DICTIONARY = (
    b'{"stack_trace":"","message":""}{"done":0,"total":0,"note":"","stream":{"attempt":1,"every":0.25,"parts":["'
    b'{"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0},"model":"offline"}'
    b'{"task_id":"task-","input":"","kind":"Answer","labels":{},"on_busy":"enqueue"}'
    b'{"question":"","transcript":[],"values":{},"write":true,"whole":false}'
    b'{"text":"","patch":{"set":{},"unset":[],"append":{}},"usage":null,"finish_reason":null,"model":"offline"}'
    b'{"output":"","patch":null,"usage":null,"finish_reason":null}'
    b'{"contract":1,"session_id":"","task_id":"task-","input":"","context":{"version":1,"write":true,"values":{},'
    b'"transcript":[{"task_id":"task-","version":1,"input":"","output":"","finished_at":"2026-01-01T00:00:00.000000Z",'
    b'"finish_reason":null,"truncated":false},{"input":"","output":""}]},"stream":false}'
    b"\n\x16\n\x08encoding\x12\njson/plain\x12"
)
"""What payloads of sessions are full of, for deflate to begin with: what a task leaves gets a tenth smaller by it. It
belongs to the format `DEFLATED`: what is encrypted can be read with this one only, so another one is another format."""

_PURPOSE = b"durable-sessions payload"


class Encryption(Guard):
    """Encrypts with the first of `keys`, by id, decrypts with each of them, and lets pass what is not encrypted."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self.keys = dict(keys)
        self._newest = next(iter(keys))
        self._ciphers = {name: (AESGCM(key), key_check(key)) for name, key in keys.items()}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See base class."""
        return [self.sealed(payload) for payload in payloads]

    def sealed(self, payload: Payload) -> Payload:
        """The payload, metadata included, encrypted."""
        cipher, check = self._ciphers[self._newest]
        whole, form = payload.SerializeToString(), PLAIN
        if len(whole) >= SMALLEST_DEFLATED:
            deflating = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=DICTIONARY)
            smaller = deflating.compress(whole) + deflating.flush()
            if len(smaller) < len(whole):
                whole, form = smaller, DEFLATED
        name, head = self._newest.encode(), form + check
        nonce = secrets.token_bytes(NONCE_BYTES)
        data = head + nonce + cipher.encrypt(nonce, whole, _PURPOSE + head + name)
        return Payload(metadata={"encoding": ENCODING, KEY_ID: name}, data=data)

    def opened(self, payload: Payload) -> Payload:
        """What is in an encrypted payload; itself, where it is broken or never was one: no key would mend that.

        Raises KeyMissingError for a key that is not here.
        """
        name, data = key_id(payload), payload.data
        head, rest = data[: 1 + CHECK_BYTES], data[1 + CHECK_BYTES :]
        if name not in self._ciphers:
            raise KeyMissingError(name)
        if len(rest) < NONCE_BYTES + TAG_BYTES or head[:1] not in {PLAIN, DEFLATED}:
            return payload
        cipher, check = self._ciphers[name]
        if head[1:] != check:
            raise KeyMissingError(name, other=True)
        try:
            whole = cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], _PURPOSE + head + name.encode())
            if head[:1] == DEFLATED:
                inflating = zlib.decompressobj(-zlib.MAX_WBITS, zdict=DICTIONARY)
                whole = inflating.decompress(whole) + inflating.flush()
            return Payload.FromString(whole)
        except (InvalidTag, zlib.error, DecodeError):
            return payload


def key_check(key: bytes) -> bytes:
    """What tells a key from another one by its name, and nothing of the key."""
    return hashlib.sha256(b"durable-sessions key check" + key).digest()[:CHECK_BYTES]

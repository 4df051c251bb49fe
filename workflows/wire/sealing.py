"""Payloads that are encrypted: how they are known, and what becomes of one without its key.

`starter/encryption` writes and reads them. Every program of ours knows them, with keys or without: a session that took
one for a message that does not parse would refuse it, and lose what somebody sent.
"""

from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import PayloadCodec, PayloadConverter

from workflows.wire.errors import KeyMissingError

ENCODING = b"binary/encrypted"
"""The `encoding` of an encrypted payload: what Temporal's own samples call it, in every language."""

KEY_ID = "encryption-key-id"
"""The field of its metadata that names the key, as in those samples."""

CONCEALED = "Encoded failure"
"""The message of a failure whose own one is encrypted: what every SDK of Temporal writes there."""


class Guard(PayloadCodec):
    """The codec of who has no keys: writes in clear, reads what is clear, and raises KeyMissingError for the rest.

    A worker's workflow task then fails, and is tried again until there is a key: what came stays in the history.
    """

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See base class."""
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See base class."""
        return [self.opened(payload) if is_sealed(payload) else payload for payload in payloads]

    def opened(self, payload: Payload) -> Payload:
        """What is in an encrypted payload. Raises KeyMissingError."""
        raise KeyMissingError(key_id(payload))


def is_sealed(payload: Payload) -> bool:
    """Whether it is encrypted, as far as it says itself. One that names no key is nothing that a key would mend."""
    return payload.metadata.get("encoding") == ENCODING and bool(payload.metadata.get(KEY_ID))


def key_id(payload: Payload) -> str:
    """The id of the key that an encrypted payload names; what is no id comes from who does not encrypt as we do."""
    return payload.metadata.get(KEY_ID, b"").decode(errors="replace")


def message_of(failure: Failure, converter: PayloadConverter) -> str:
    """What a failure says that is not encrypted, whether or not it is concealed."""
    if failure.message != CONCEALED or not failure.HasField("encoded_attributes"):
        return failure.message
    try:
        return str(converter.from_payloads([failure.encoded_attributes])[0]["message"])
    except Exception:  # noqa: BLE001 (somebody else's, or encrypted)
        return failure.message


def conceal(failure: Failure, converter: PayloadConverter) -> None:
    """Move the message and the stack trace of a failure, and of its causes, to where a codec encrypts them.

    What kind of failure it is stays clear: the names of errors are a contract.
    """
    while True:
        if failure.message != CONCEALED and (failure.message or failure.stack_trace):
            told = {"message": failure.message, "stack_trace": failure.stack_trace}
            failure.encoded_attributes.CopyFrom(converter.to_payloads([told])[0])
            failure.message, failure.stack_trace = CONCEALED, ""
        if not failure.HasField("cause"):
            return
        failure = failure.cause

"""The data converter of every program of ours that connects: with the keys of the environment, where it has any."""

import os
from collections.abc import Mapping
from dataclasses import replace

from temporalio.client import ClientConfig
from temporalio.converter import DataConverter, DefaultFailureConverter, PayloadCodec
from temporalio.plugin import SimplePlugin

from activities.file_store import seal_with
from starter.encryption.keys import EncryptionError, keys_of
from workflows.wire.messages import DATA_CONVERTER, ConcealingFailureConverter, MendingFailureConverter
from workflows.wire.sealing import Guard

CODEC_PORT = 8253
"""Where a codec server listens: beside the gateway."""

HINT = "pip install 'durable-sessions[encryption]'"

_OURS = (DefaultFailureConverter, MendingFailureConverter)
"""Converters of failures that conceal nothing, and that ours stands in for."""


def codec_of(environment: Mapping[str, str] = os.environ) -> PayloadCodec:
    """The codec with the keys that the environment names, or one that has none. Raises EncryptionError."""
    keys = keys_of(environment)
    if not keys:
        return Guard()
    try:
        from starter.encryption.codec import Encryption  # noqa: PLC0415 (an extra: its absence gets a hint)
    except ImportError as error:
        raise EncryptionError(f"encryption needs {error.name}: {HINT}") from None
    return Encryption(keys)


def seal_files(codec: PayloadCodec) -> None:
    """Have the stores of this process keep files under the keys of that codec, where it has any."""
    if type(codec) is Guard:
        seal_with(None)
        return
    from starter.encryption.codec import Encryption  # noqa: PLC0415 (an extra)
    from starter.encryption.files import SealedFiles  # noqa: PLC0415 (the same)

    seal_with(SealedFiles(codec.keys) if isinstance(codec, Encryption) else None)


def data_converter(environment: Mapping[str, str] = os.environ) -> DataConverter:
    """What sessions speak by in this environment, say for a Replayer. Raises EncryptionError."""
    return sealed(DATA_CONVERTER, codec_of(environment))


def sealed(converter: DataConverter, codec: PayloadCodec) -> DataConverter:
    """`converter` with that codec; one that somebody has given a codec of its own stays as it is."""
    if converter.payload_codec is not None and type(converter.payload_codec) is not Guard:
        return converter
    with_codec = replace(converter, payload_codec=codec)
    if type(codec) is Guard or converter.failure_converter_class not in _OURS:
        return with_codec
    return replace(with_codec, failure_converter_class=ConcealingFailureConverter)


class Sealed(SimplePlugin):
    """Gives a client the codec after all other plugins have had their way with its data converter."""

    def __init__(self, codec: PayloadCodec) -> None:
        super().__init__("durable-sessions.encryption")
        self._codec = codec

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        """See base class."""
        config["data_converter"] = sealed(config["data_converter"], self._codec)
        return config

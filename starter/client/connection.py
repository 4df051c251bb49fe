"""How every program here reaches Temporal: the SDK's environment and profiles, one data converter, its keys."""

import os
from collections.abc import Sequence

from temporalio.client import Client, Plugin
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfig

from starter.encryption.setting import Sealed, codec_of, seal_files, sealed
from starter.tracing.setting import tracing
from workflows.wire.messages import DATA_CONVERTER

DEFAULT_ADDRESS = "localhost:7233"
"""Temporal's own default; `python worker.py --dev` listens there."""

DEFAULT_TASK_QUEUE = "sessions"


class NoServerError(Exception):
    """Nothing answers at the address; the message says how to start a server."""


def task_queue() -> str:
    """The task queue of sessions and built-in kinds: `SESSIONS_TASK_QUEUE`, or `sessions`."""
    return os.environ.get("SESSIONS_TASK_QUEUE") or DEFAULT_TASK_QUEUE


async def connect(
    address: str | None = None, *, plugins: Sequence[Plugin] = (), data_converter: DataConverter = DATA_CONVERTER
) -> Client:
    """A client for `address`, or for what `TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE` and the like or a profile say.

    `data_converter`: another one than sessions speak by, for kinds that bring their own; what the environment says of
    encryption and of traces holds for either. Raises NoServerError where nothing answers, EncryptionError for keys that
    cannot be used, and the SDK's ConfigError for a profile that does not exist.
    """
    codec = codec_of()
    seal_files(codec)
    config = ClientConfig.load_client_connect_config()
    target = address or config.get("target_host") or DEFAULT_ADDRESS
    config["target_host"] = target
    traced = tracing()
    interceptors = [traced] if traced else []
    try:
        if plugins:
            sealing = [*plugins, Sealed(codec)]
            return await Client.connect(
                **config, data_converter=data_converter, plugins=sealing, interceptors=interceptors
            )
        return await Client.connect(**config, data_converter=sealed(data_converter, codec), interceptors=interceptors)
    except (RuntimeError, ValueError) as error:  # what the SDK raises when it cannot connect, or not to such an address
        raise NoServerError(
            f"no Temporal server at {target} ({_first_line(error)}); `make dev` starts one, "
            "TEMPORAL_ADDRESS names another"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__

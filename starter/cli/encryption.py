"""`codec-server`, which lets the Web UI read what is encrypted, and `new-key`."""

import asyncio
import os
import signal
from datetime import UTC, datetime
from typing import Annotated

import typer

from starter.cli import output
from starter.cli.app import SERVERS, verb
from starter.cli.exits import CommandError, ExitCode

Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Where it listens.")]
Port = Annotated[int, typer.Option(metavar="PORT", min=0, max=65_535, help="0 takes a free one.")]
Origins = Annotated[
    list[str] | None,
    typer.Option(
        "--ui",
        metavar="ORIGIN",
        help="A Web UI that may ask; http://127.0.0.1:8233. May be repeated.",
        show_default=False,
    ),
]
KeyId = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="What the key is called; this month.", show_default=False)
]


@verb("codec-server --ui http://127.0.0.1:8233", SERVERS)
async def codec_server(*, host: Host = "127.0.0.1", port: Port = 8253, ui: Origins = None) -> None:
    """Let Temporal's Web UI and command line read what is encrypted, until Ctrl-C.

    Beyond loopback SESSIONS_CODEC_TOKEN is what callers have to show. docs/encryption.md has the rest.
    """
    from starter.encryption.codec_server import TOKEN_VARIABLE, CodecServer  # noqa: PLC0415 (imports temporalio)
    from starter.encryption.keys import EncryptionError  # noqa: PLC0415 (the same)
    from starter.encryption.setting import codec_of  # noqa: PLC0415 (the same)

    origins = ui or ["http://127.0.0.1:8233", "http://localhost:8233"]
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        with CodecServer(codec_of(), origins, host, port, os.environ.get(TOKEN_VARIABLE) or None) as server:
            output.note(f"codec server ready at {server.url}, for {', '.join(origins)}")
            await stopped.wait()
    except EncryptionError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None


@verb("new-key 2026-11", SERVERS)
async def new_key(key_id: KeyId = None) -> None:
    """Make a key and print it as SESSIONS_ENCRYPTION_KEYS has it: `ID:KEY`.

    It goes in front of the others, and they stay for as long as something is to be read that they encrypted.
    """
    from starter.encryption.keys import EncryptionError, new_key  # noqa: PLC0415 (what help does without)

    try:
        output.show(new_key(key_id or f"{datetime.now(UTC):%Y-%m}"))
    except EncryptionError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None

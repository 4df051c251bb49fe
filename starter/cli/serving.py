"""Commands that serve instead of ask: dev, worker, demo."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from starter.cli import output
from starter.cli.app import SERVERS, verb
from starter.cli.exits import CommandError, ExitCode
from starter.program import DEMO, WORKER

Kinds = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MODULE:ATTRIBUTE]...", help="Temporal plugins with kinds.", show_default=False),
]
# The defaults are Temporal's own ports, as `starter/dev_server.py` has them; to import that takes 0.2 s.
Port = Annotated[int, typer.Option(metavar="PORT", min=1, max=65_535, help="gRPC, where clients connect.")]
UiPort = Annotated[int, typer.Option(metavar="PORT", min=1, max=65_535, help="The Web UI.")]
HttpPort = Annotated[int, typer.Option(metavar="PORT", min=1, max=65_535, help="The server's HTTP API.")]
CodecPort = Annotated[int, typer.Option(metavar="PORT", min=1, max=65_535, help="The codec server, with keys.")]
GatewayPort = Annotated[int, typer.Option(metavar="PORT", min=1, max=65_535, help="The gateway, OpenAI's protocol.")]
Database = Annotated[Path, typer.Option(metavar="FILE", help="Where everything is kept.")]


@verb("dev shop:KINDS", SERVERS)
async def dev(
    kinds: Kinds = None,
    *,
    db: Database = Path(".sessions/temporal.db"),
    port: Port = 7233,
    ui_port: UiPort = 8233,
    http_port: HttpPort = 7243,
    gateway_port: GatewayPort = 8243,
    codec_port: CodecPort = 8253,
) -> None:
    """Start a Temporal server, its Web UI, a worker and a gateway.

    The worker starts again when a Python file of the current folder changes; tasks under way go on.
    """
    from starter.dev_loop import develop  # noqa: PLC0415 (imports temporalio)
    from starter.dev_server import DevServer  # noqa: PLC0415 (imports temporalio)
    from starter.encryption.keys import EncryptionError  # noqa: PLC0415 (what help does without)

    try:
        server = DevServer(db, port, ui_port, http_port)
        await develop(server, gateway_port, codec_port, ",".join(kinds or ()) or None, Path.cwd(), output.show)
    except EncryptionError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None
    except (RuntimeError, FileNotFoundError) as error:
        raise CommandError(ExitCode.NO_SERVER, str(error)) from None


@verb("worker shop:KINDS --task-queue shop", SERVERS)
async def worker(
    kinds: Kinds = None,
    *,
    task_queue: Annotated[
        str | None, typer.Option(metavar="QUEUE", help="Where kinds without sessions take tasks.", show_default=False)
    ] = None,
) -> None:
    """Serve sessions, or nothing but the kinds that are named.

    Its settings are environment variables: docs/operations.md has them.
    """
    queue = ["--task-queue", task_queue] if task_queue else []
    _become(*WORKER, *(kinds or ()), *queue)


@verb("demo", SERVERS)
async def demo(
    *, keep: Annotated[bool, typer.Option("--keep", help="Leave server and worker running until Ctrl-C.")] = False
) -> None:
    """See two answers, one memory and one killed worker, on a server of its own."""
    _become(*DEMO, *(["--keep"] if keep else []))


def _become(*command: str) -> NoReturn:
    """Run another program in this one's place: signals and the exit code are its own."""
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 (our own programs)

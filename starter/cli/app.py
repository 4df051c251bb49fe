"""The typer application, and how an async function becomes one of its commands."""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer
from rich.markup import escape

from starter.cli import output
from starter.cli.completion import install_completion, show_completion
from starter.cli.exits import MEANINGS, CommandError, ExitCode, command_error
from starter.program import COMMAND

if TYPE_CHECKING:
    from starter.client import SessionClient

TASKS, SESSIONS, SERVERS = "Tasks", "Sessions", "Servers"
"""The panels of the help page."""

_Parameters = ParamSpec("_Parameters")
_Answer = TypeVar("_Answer")

app = typer.Typer(
    add_completion=False,  # typer's own scripts do not work for a program of three words
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Exit codes:\n" + "\n".join(f"{code:>5}  {escape(meaning)}" for code, meaning in MEANINGS.items()),
)


_HELP = f"""Talk to durable sessions: conversations whose tasks run one at a time, in order, and survive every crash.

Needs a Temporal server and a worker; `{COMMAND} dev` starts both. TEMPORAL_ADDRESS names another server.

First steps:
  {COMMAND} ask demo "What colour is a banana?"
  {COMMAND} chat demo
  {COMMAND} show demo
"""


@app.callback(help=_HELP)
def options(
    *,
    _install: Annotated[
        bool,
        typer.Option(
            "--install-completion", callback=install_completion, help="Make the shell complete commands and options."
        ),
    ] = False,
    _show: Annotated[
        bool, typer.Option("--show-completion", callback=show_completion, help="Print what that adds to the shell.")
    ] = False,
) -> None:
    """Options of the program itself."""


def verb(
    example: str, panel: str, of: typer.Typer = app
) -> Callable[[Callable[_Parameters, Coroutine[Any, Any, None]]], Callable[_Parameters, None]]:
    """Make an async function a command of its name, with `example` on its help page; `of`: another group than all."""

    def register(work: Callable[_Parameters, Coroutine[Any, Any, None]]) -> Callable[_Parameters, None]:
        @of.command(epilog=f"Example:\n  {COMMAND} {escape(example)}", rich_help_panel=panel)
        @functools.wraps(work)
        def command(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> None:
            try:
                asyncio.run(work(*args, **kwargs))
            except BrokenPipeError:  # as in `... | head`
                raise typer.Exit(ExitCode.BROKEN_PIPE) from None

        return command

    return register


async def connected() -> "SessionClient":
    """A client for the server that the environment names."""
    from temporalio.runtime import Runtime, TelemetryConfig  # noqa: PLC0415 (0.2 s that `--help` does without)

    from starter.client import SessionClient  # noqa: PLC0415 (imports temporalio)
    from starter.encryption.keys import EncryptionError  # noqa: PLC0415 (the same)

    # The SDK's core logs to stdout, where it would mix with what the command prints.
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    try:
        with output.waiting("connecting"):
            return await SessionClient.connect()
    except EncryptionError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None
    except RuntimeError as error:  # the SDK's, for a profile or a setting that it cannot use
        raise CommandError(ExitCode.NO_SERVER, f"cannot connect: {error}") from None


@contextlib.contextmanager
def sent(what: str) -> Iterator[None]:
    """Around a look at what a message did: where no worker answers, `what` says that nothing is lost."""
    from starter.client.calls import NoWorkerError  # noqa: PLC0415 (imports temporalio)

    try:
        with output.waiting(what):
            yield
    except NoWorkerError as error:
        raise CommandError(command_error(error).code, f"{what}, but {error}") from None
    except asyncio.CancelledError:
        output.note(what)
        raise


async def answer(query: Awaitable[_Answer]) -> _Answer:
    """What a session answers to a query; takes seconds only where no worker is there."""
    with output.waiting("waiting for the session's worker"):
        return await query

"""The entry: all commands, and every error as one line and an exit code."""

import sys

import typer

from starter.cli import (
    chat,
    control,
    encryption,
    gateway,
    output,
    schedules,
    serving,
    sessions,
    tasks,
    watch,
)
from starter.cli.app import app
from starter.cli.completion import VARIABLE
from starter.cli.exits import ExitCode, command_error
from starter.program import COMMAND
from starter.tracing import setting as tracing

__all__ = ["COMMANDS", "app", "run"]

COMMANDS = (chat, tasks, sessions, watch, control, schedules, serving, gateway, encryption)
"""The modules with commands; to import one is to have its commands."""


def run() -> int:
    """Run the command that `sys.argv` asks for; the exit code."""
    try:
        sys.argv = [argument.encode(errors="strict").decode() for argument in sys.argv]
        return app(prog_name=COMMAND, complete_var=VARIABLE, standalone_mode=False) or ExitCode.DONE
    except UnicodeEncodeError:
        output.complain("the arguments are not UTF-8 text")
        return ExitCode.USAGE
    except SystemExit as end:  # after completing a word for the shell
        return int(end.code or 0)
    except typer.TyperException as error:
        _explain(error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 (a person gets one line; the mapping tells bugs from the rest)
        failure = command_error(error)
        output.complain(failure.message)
        return failure.code
    finally:
        tracing.flush()


def _explain(error: typer.TyperException) -> None:
    """Say what is wrong with the command line; a call without a command has printed its help already."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if message:
        output.complain(f"{message.rstrip('.')} (`{context.command_path if context else COMMAND} --help` shows more)")

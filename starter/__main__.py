"""`python -m starter`, installed as `sessions`: the command line. An extra; all else does without typer and rich."""

import os
import sys
from typing import NoReturn

_BROKEN_PIPE = 141  # as `starter.cli.exits` has it; what a shell reports for a program that SIGPIPE ended


def main() -> int:
    """Run the command line; the exit code."""
    try:
        from starter.cli.main import run  # noqa: PLC0415 (an extra: its absence gets a hint, not a traceback)
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.stderr.write(f"error: the command line needs {error.name}: pip install typer rich\n")
        return 1
    return run()


def flushed(code: int) -> int:
    """`code`, once everything printed has left; another one where nobody reads it any more."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        return _BROKEN_PIPE
    return code


def command() -> NoReturn:
    """The whole program."""
    # The SDK's runtime may crash the interpreter while it shuts down; nothing of ours is open by now.
    os._exit(flushed(main()))


if __name__ == "__main__":
    command()

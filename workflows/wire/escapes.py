"""Exits and interrupts raised by the code of kinds and activities, which no worker would survive, made failures."""

from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.exceptions import ApplicationError


@contextmanager
def contained() -> Iterator[None]:
    """Let what escapes from here be at most a non-retryable ApplicationError under its own name, like `SystemExit`.

    Temporal's own signs are let through, and so is a cancellation.
    """
    try:
        yield
    except (Exception, CancelledError):
        raise
    except BaseException as error:
        if not escapes(error):
            raise
        raise ApplicationError(told(error), type=type(error).__name__, non_retryable=True) from error


def escapes(error: BaseException) -> bool:
    """Whether `error` would pass by everything that handles failures, and nobody means it to."""
    of_the_sdk = type(error).__module__.partition(".")[0] == "temporalio"
    return not isinstance(error, Exception | CancelledError | GeneratorExit) and not of_the_sdk


def told(error: BaseException) -> str:
    """Such an error in words."""
    return f"{error!r} was raised, which ends nothing but this"

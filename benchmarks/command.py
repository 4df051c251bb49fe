"""What the commands here share: their options, progress while they run, and a clean end."""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any, NoReturn

from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

_STARTED = time.monotonic()


def options(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--json", action="store_true", help="one JSON object a line and figure")
    parser.add_argument("--quick", action="store_true", help="a run under 50 seconds, with less to say")
    return parser


def progress(text: str) -> None:
    """Say on stderr what is being done."""
    print(f"{time.monotonic() - _STARTED:5.0f} s  {text}", file=sys.stderr, flush=True)


def run(main: Coroutine[Any, Any, int]) -> NoReturn:
    """Run a command to its end and leave with its exit code."""
    # Calls that fail are counted or told where they matter; the SDK would log each of its own retries.
    quiet = TelemetryConfig(logging=LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR")))
    Runtime.set_default(Runtime(telemetry=quiet))
    # A SIGTERM ends it as Ctrl-C does, so that servers and workers are stopped. A shell's background has that ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        code = asyncio.run(main)
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK's runtime may crash the interpreter while it shuts down; everything is closed by now.
    os._exit(code)

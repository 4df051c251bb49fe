"""A synchronous piece that holds up its event loop the first time, in this process."""

import threading
import time

from tests.conformance.caller import SLOWNESS

TRIED = threading.Event()
SECONDS = 2 * SLOWNESS + 2
"""Longer than the two, on a slow machine times its slowness, after which the SDK gives workflow code up."""


def slow_once() -> None:
    """Sleep at the first call since `TRIED` was cleared."""
    if not TRIED.is_set():
        TRIED.set()
        time.sleep(SECONDS)

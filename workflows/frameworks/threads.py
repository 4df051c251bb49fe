"""Synchronous pieces that frameworks hand to threads, run where they stand: a workflow has no threads."""

import asyncio
from collections.abc import Callable
from typing import Any


def inline_threads() -> None:
    """Let `asyncio.to_thread` and `run_in_executor` work in the workflow that calls this, and only there.

    What is run so is code of the workflow: it has to be deterministic, and done within the two seconds after which the
    SDK takes a workflow task for stuck.
    """
    loop = asyncio.get_running_loop()

    def run(_executor: object, work: Callable[..., Any], *arguments: Any) -> "asyncio.Future[Any]":
        done: asyncio.Future[Any] = loop.create_future()
        try:
            done.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001 (as an executor does)
            done.set_exception(error)
        return done

    loop.run_in_executor = run  # type: ignore[method-assign, assignment]

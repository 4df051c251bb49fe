"""What the environment says of a gateway: `SESSIONS_GATEWAY_*`, read and checked once, when it starts.

The reason for each default stands with it; `docs/gateway.md` has the same table.
"""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from workflows.wire.limits import KIB

PORT = 8243
"""Beside Temporal's: 7233, 7243 and 8233."""

ANY = "*"
"""Among kinds: every other one too. Among the owners of a key: all."""

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9a-fA-F:]+\](:\d{1,5})?")


def _names(text: str) -> str:
    if not all(_split(text)):
        raise ValueError("must be names with commas between them")
    return text


def _origins(text: str) -> str:
    if not all(_ORIGIN.fullmatch(origin) for origin in _split(text)):
        raise ValueError("must be origins like https://chat.example.com, with commas between them")
    return text


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


class GatewaySettingsError(ValueError):
    """A setting that does not fit, or an address that is not to be listened on; one line that names it."""


class GatewaySettings(BaseModel):
    """One gateway's settings. Each field is the variable of its name in capitals, behind `SESSIONS_GATEWAY_`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Where it listens. Beyond loopback only with keys: whoever reaches it may read and write sessions.",
    )
    port: int = Field(PORT, ge=0, le=65_535, description="Its port, beside those of Temporal; 0 takes a free one.")
    keys: Path | None = Field(
        None,
        description="The file of keys, which `sessions gateway keys` writes. Without it everybody who reaches the "
        "gateway may do everything, and it listens on loopback alone.",
    )
    kinds: Annotated[str, AfterValidator(_names)] = Field(
        "Answer",
        description="The kinds that callers may ask for as `model`, with commas; `*` among them allows every other. "
        "`default` is always there: the session's own.",
    )
    instructions: Annotated[str, AfterValidator(_names)] | None = Field(
        None,
        description='The kinds that read `{"text", "instructions"}` as their input. Others would ignore what they are '
        "told, so instructions and system messages are refused for them by name.",
    )
    origins: Annotated[str, AfterValidator(_origins)] | None = Field(
        None, description="The web pages whose scripts may call the gateway (CORS), by origin. None: nobody's may."
    )
    rate: float = Field(
        20.0,
        gt=0,
        le=100_000,
        allow_inf_nan=False,
        description="Requests a second that a key may go on with, in each gateway process: several people who chat, or "
        "one program that polls.",
    )
    burst: int = Field(100, ge=1, le=1_000_000, description="Requests that a key may send at once before that holds.")
    body_bytes: int = Field(
        4 * 1024 * KIB,
        ge=KIB,
        le=64 * 1024 * KIB,
        description="The largest body. A chat client sends its whole conversation each time; a task takes 64 KiB.",
    )
    body_seconds: float = Field(
        30.0,
        gt=0,
        le=3_600,
        allow_inf_nan=False,
        description="Time for head and body of a request to arrive. The largest body takes that long at 1.2 Mbit/s.",
    )
    wait: float = Field(
        600.0,
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds that a request waits for its task at most; the official clients give up after 600. The "
        "task goes on, and its response can be retrieved.",
    )
    grace: float = Field(
        10.0,
        ge=0,
        le=3_600,
        allow_inf_nan=False,
        description="Seconds after SIGTERM in which requests may end; the rest is cut off, and nothing is lost by it.",
    )
    connections: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="Connections at the same time, open streams included; what comes beyond gets 503.",
    )

    page: bool = Field(
        default=False,
        description="Whether a page to chat on is at `/` ([web-chat.md](web-chat.md)). It asks nobody who they are, so "
        "it does not go with keys.",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="`text` for people; `json`, one object a line, for machines. A line for each request."
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **given: object) -> "GatewaySettings":
        """The settings that `environment` asks for, under those `given`; an empty variable counts as not set.

        Raises GatewaySettingsError.
        """
        environment = os.environ if environment is None else environment
        named = {name: environment.get(variable(name)) or None for name in cls.model_fields}
        chosen = {**named, **{name: value for name, value in given.items() if value is not None}}
        try:
            return cls.model_validate({name: value for name, value in chosen.items() if value is not None})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            what = problem["msg"].removeprefix("Value error, ").replace("Input should", "must")
            name = variable(str(problem["loc"][0]))
            raise GatewaySettingsError(f"{name} is {str(problem['input'])!r}; it {what}") from None

    def kind_names(self) -> list[str]:
        """The kinds that are offered by name, in their order."""
        return [name for name in _split(self.kinds) if name != ANY]

    def allows(self, kind: str) -> bool:
        """Whether callers may ask for that kind."""
        return kind in _split(self.kinds) or ANY in _split(self.kinds)

    def takes_instructions(self, kind: str) -> bool:
        """Whether that kind reads instructions beside a text."""
        return kind in _split(self.instructions or "")

    def allowed_origins(self) -> frozenset[str]:
        """The origins whose scripts may call."""
        return frozenset(_split(self.origins)) if self.origins else frozenset()

    def check_address(self) -> None:
        """Raise GatewaySettingsError: for a page beside keys, and (`KeyMissing`) beyond loopback without keys."""
        if self.page and self.keys is not None:
            raise GatewaySettingsError(
                f"{variable('page')}: the page asks nobody for a key, so a gateway with keys has none; "
                "`sessions chat --web` opens one on your own machine"
            )
        if self.keys is None and not is_loopback(self.host):
            raise GatewaySettingsError(
                f"KeyMissing: without keys a gateway listens on loopback alone, not on {self.host!r}; "
                f"`sessions gateway keys add` makes one, and {variable('keys')} or --keys names their file"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it: an address of loopback, or `localhost`."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return f"SESSIONS_GATEWAY_{field.upper()}"

"""What the contract is made of: its two base models, and the types of fields with the checks they carry."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from workflows.wire import limits
from workflows.wire.encoding import clip, json_bytes
from workflows.wire.ids import SESSION_TYPE
from workflows.wire.mending import mended

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
"""Session and task ids. pydantic's engine reads `$` as the end of the text, never as before a last newline."""

_SERVERS_OWN = ("/_sys/", "temporal-sys-")
"""Task queues with such names are partitions and workers of the server: it refuses a child of ours on some of them
(tried on 1.32: `/_sys/...`, `temporal-sys-per-ns-tq`), and nothing of ours ever polls the others."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


def _rfc3339(value: Any) -> Any:
    if not isinstance(value, datetime) and not (isinstance(value, str) and _RFC3339.match(value)):
        raise ValueError("not an RFC 3339 time with offset, like 2026-11-23T09:00:00Z")
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside the years 1 to 9999 in UTC") from None


def _at_most(limit: int, what: str) -> WrapValidator:
    def check(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        # An entry or a letter weighs a byte at least. To look at each of a million of them would take too long.
        many = isinstance(value, str | list | dict) and len(value) > limit
        if many or json_bytes(value := inner(value)) > limit:
            raise ValueError(f"{what} weigh more than {limit} bytes")
        return value

    return WrapValidator(check)


def _not_reserved(value: str) -> str:
    for prefix in _SERVERS_OWN:
        if value.startswith(prefix):
            raise ValueError(f"names that begin with {prefix} are the server's own")
    return value


_URL = re.compile(r"https?://[!#-;=?-\[\]_a-z~]+\Z", re.ASCII)
"""Printable ASCII but for what JSON or a header would have to escape; names in other letters come as punycode."""


def _a_url(value: str) -> str:
    # None of these messages may show the value: people write passwords and tokens into it.
    if len(value) > limits.NOTIFY_URL_BYTES:
        raise ValueError(f"the URL weighs more than {limits.NOTIFY_URL_BYTES} bytes")
    if not _URL.match(value):
        raise ValueError("must be https://host/path in ASCII, or http:// where the worker's operator allows that")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("its host or port cannot be read") from None
    if "@" in parts.netloc:
        raise ValueError("no user and password in the URL: notifications are signed")
    if not host:
        raise ValueError("it names no host")
    if parts.fragment:
        raise ValueError("what is behind a # is sent to nobody")
    return value


def _a_kind(value: str) -> str:
    if value == SESSION_TYPE:
        raise ValueError(f"{SESSION_TYPE} is not a kind of task")
    return value


def _unless_whole(value: str | None) -> str | None:
    # Cut and not refused: an answer is not lost over the word that says how it ended.
    return None if value is None or value.strip() in {"", "stop"} else clip(value, limits.FINISH_REASON_BYTES)


def _if_null(empty: type) -> BeforeValidator:
    return BeforeValidator(lambda value: empty() if value is None else value)


def _unless_given(default: int) -> BeforeValidator:
    return BeforeValidator(lambda value: default if value is None else value)


class Request(BaseModel):
    """What callers send: unknown fields and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Carried(BaseModel):
    """What we answer or carry: unknown fields are ignored, so that old and new code can read each other."""

    model_config = ConfigDict(extra="ignore")


Id = Annotated[str, Field(pattern=ID_PATTERN)]
ScheduleName = Annotated[Id, Field(max_length=limits.SCHEDULE_NAME_CHARS)]
Text = Annotated[str, BeforeValidator(lambda value: mended(value) if isinstance(value, str) else value)]
"""What people and models write, half an emoji included; unlike an id, of which nothing near it will do."""

Name = Annotated[Text, Field(min_length=1, max_length=limits.NAME_CHARS)]
ServerName = Annotated[Name, _at_most(limits.SERVER_NAME_BYTES, "the letters")]
Kind = Annotated[ServerName, AfterValidator(_a_kind)]
TaskQueue = Annotated[ServerName, AfterValidator(_not_reserved)]
Reason = Annotated[Text, Field(max_length=limits.REASON_CHARS)]
Seconds = Annotated[float, Field(ge=limits.SHORTEST_SECONDS, le=limits.DURATION_SECONDS, allow_inf_nan=False)]
Timestamp = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_rfc3339), AfterValidator(_utc)]
Labels = Annotated[dict[Text, Text], _if_null(dict), _at_most(limits.LABELS_BYTES, "labels")]
Queues = Annotated[dict[Kind, TaskQueue], _if_null(dict), _at_most(limits.QUEUES_BYTES, "queues")]
Grace = Annotated[float, Field(ge=0, le=limits.DURATION_SECONDS, allow_inf_nan=False)]
PendingCap = Annotated[int, Field(ge=1, le=limits.PENDING_TASKS)]
Turns = Annotated[int, Field(ge=0)]
CompactTurns = Annotated[int, Field(ge=1, le=limits.COMPACT_TURNS_MOST), _unless_given(limits.COMPACT_TURNS)]
CompactBytes = Annotated[
    int, Field(ge=limits.COMPACT_BYTES_LEAST, le=limits.COMPACT_BYTES_MOST), _unless_given(limits.COMPACT_BYTES)
]
ContextVersion = Annotated[int, Field(ge=0)]
QuestionText = Annotated[Text, Field(min_length=1), _at_most(limits.QUESTION_BYTES, "the words")]
Choices = Annotated[list[Text], _at_most(limits.QUESTION_BYTES, "choices")]
Usage = Annotated[dict[Text, int | float], _at_most(limits.USAGE_BYTES, "figures")]
Amount = Annotated[int | float, Field(ge=0, allow_inf_nan=False)]
Budget = Annotated[dict[Name, Amount], Field(min_length=1), _at_most(limits.BUDGET_BYTES, "figures")]
NotifyEvent = Literal["task", "question", "budget", "close"]
NotifyUrl = Annotated[str, AfterValidator(_a_url)]
NotifyEvents = Annotated[list[NotifyEvent], Field(min_length=1, max_length=4)]
FinishReason = Annotated[Text | None, AfterValidator(_unless_whole)]
"""Why an answer may not be the whole one it looks like: `length`, `content_filter`, `refusal`, or the model's own word.
Null where it ended by itself, which models call `stop`."""

Values = Annotated[dict[Text, Any], _if_null(dict)]
Appends = Annotated[dict[Text, list[Any]], _if_null(dict)]
Keys = Annotated[list[Text], FailFast(), _if_null(list)]
Read = Literal["all", "none"] | Annotated[list[Text], _at_most(limits.READ_BYTES, "keys")]
OnBusy = Literal["enqueue", "reject", "interrupt", "replace_pending"]
Priority = Annotated[int, Field(ge=1, le=5)]
CloseMode = Literal["drain", "discard", "now"]
TaskStatus = Literal["pending", "running", "completed", "failed", "cancelled", "timed_out", "expired", "rejected"]
UNDER_WAY: tuple[TaskStatus, ...] = ("pending", "running")
"""What a task is until it has ended."""

SessionStatus = Literal["closed", "draining", "paused", "waiting", "running", "idle"]
PausedBy = Literal["caller", "failure", "budget"]
UncleanEnd = Literal["failed", "cancelled", "terminated", "timed_out"]
"""How a session may end otherwise than by a close. Itself it never says so: the server does, and a client tells it."""

ListedStatus = Literal["open", "waiting", "paused", "draining", "closed", UncleanEnd]
"""How a session stands in a list: `open` where nothing else is known of one that goes on."""

"""Arguments and options that commands share, and how their texts become values."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args

import typer

from workflows.contract import ISOLATED, ContextPolicy
from workflows.wire.fields import NotifyEvent, Read

SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="Session id.", show_default=False)]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Task id.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, as the contract shapes it.")]
Wait = Annotated[float | None, typer.Option(metavar="SECONDS", min=0, help="Wait no longer than this.")]
Stream = Annotated[
    bool, typer.Option("--stream/--no-stream", help="Show text as it comes, on a terminal.", show_default=False)
]
OwnTaskId = Annotated[
    str | None, typer.Option("--task-id", metavar="ID", help="Sending the same task under the same id again is safe.")
]
Isolated = Annotated[bool, typer.Option("--isolated", help="See nothing of the session and leave nothing in it.")]
ReadKeys = Annotated[
    str | None, typer.Option("--read", metavar="all|none|KEY,KEY", help="The context values that tasks see.")
]
Transcript = Annotated[int | None, typer.Option(metavar="N", min=0, help="How many earlier turns tasks see.")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="May be given repeatedly.")]
Priority = Annotated[
    int | None,
    typer.Option(metavar="1-5", min=1, max=5, help="1 goes first where many wait for the same workers, 3 by itself."),
]
Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", metavar="PATH", exists=True, dir_okay=False, readable=True, help="Send a file along. May be repeated."
    ),
]

_RELATIVE = re.compile(r"\+(\d{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_policy(text: str | None) -> Read | None:
    """The value of `--read`: a word of its own, or keys."""
    match text:
        case None | "all" | "none":
            return text
    return [key for key in text.split(",") if key]


def policy(
    read: str | None, transcript: int | None, *, isolated: bool, read_only: bool = False
) -> ContextPolicy | None:
    """What the options say of a task's context; null leaves it to the session."""
    if isolated and (read is not None or transcript is not None):
        raise typer.BadParameter("--isolated already says what the task sees; leave out --read and --transcript")
    if isolated:
        return ISOLATED
    if read is None and transcript is None and not read_only:
        return None
    return ContextPolicy(read=read_policy(read), transcript=transcript, write=False if read_only else None)


def compaction(kind: str | None, turns: int | None, size: int | None) -> dict[str, Any] | None:
    """What the options say of old turns; null leaves them to the session's bounds."""
    if kind is None and (turns is not None or size is not None):
        raise typer.BadParameter(
            "--compact-turns and --compact-bytes say when; --compact names the kind, say Summarise"
        )
    return None if kind is None else {"kind": kind, "turns": turns, "bytes": size}


def notification(url: str | None, events: str | None) -> dict[str, Any] | None:
    """What the options say of who is told; null is nobody."""
    if url is None and events is not None:
        raise typer.BadParameter("--notify-on says of what; --notify names the address")
    return None if url is None else {"url": url, "on": events.split(",") if events else [*get_args(NotifyEvent)]}


def pairs(texts: list[str] | None) -> dict[str, str]:
    """`KEY=VALUE` texts as a dictionary."""
    found = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE")
        found[key] = value
    return found


def values(texts: list[str] | None) -> dict[str, Any]:
    """`KEY=VALUE` texts as values: JSON where it is JSON, else the text itself."""
    found: dict[str, Any] = {}
    for key, text in pairs(texts).items():
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def numbers(texts: list[str] | None) -> dict[str, int | float]:
    """`KEY=NUMBER` texts as numbers."""
    found = values(texts)
    for key, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise typer.BadParameter(f"{key}={value} has no number")
    return found


def stopped_in(file: Path) -> set[str]:
    """The sessions that an output of `stop --json` has as stopped."""
    try:
        return {each["session_id"] for each in json.loads(file.read_bytes())["sessions"] if each["done"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise typer.BadParameter(f"{file} is no output of `stop --json`: {error!r}") from None


def moment(text: str | None) -> str | datetime | None:
    """A time: RFC 3339 as it is, `+90s`, `+5m`, `+2h`, `+1d` from now."""
    match = _RELATIVE.fullmatch(text or "")
    return datetime.now(UTC) + timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else text


def task_input(text: str | None, file: Path | None, *, as_json: bool) -> Any:
    """A task's input: the argument, a file, or stdin; text without its last line end, or parsed as JSON."""
    if text is not None and file:
        raise typer.BadParameter("give INPUT or --file, not both")
    if file:
        text = _decoded(file.read_bytes())
    elif text == "-" or (text is None and not sys.stdin.isatty()):
        text = _decoded(sys.stdin.buffer.read())
    if not text:
        raise typer.BadParameter("there is no input: give INPUT, --file, or pipe it in")
    if not as_json:
        return text.removesuffix("\n")
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise typer.BadParameter(f"the input is not JSON: {error}") from None


def _decoded(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise typer.BadParameter("the input is not UTF-8 text") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")

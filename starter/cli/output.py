"""How things are printed: tables and colours on a terminal, plain text into a pipe, one JSON document for programs.

Commands describe what to show as parts; nothing here knows of sessions. Texts come from users: no markup in them has
an effect, and no control character of theirs reaches a terminal.
"""

import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from workflows.encoding import preview

CELL_BYTES = 300
"""What a table cell shows of a long text; `--json` has all of it."""

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, what reverses the reading direction, halves of characters."""

_PICTURES = 0x2400
"""Unicode has a visible picture for each of the first 32 control characters, from here on."""

_STYLED = ("status", "change")
_STYLES = {
    "completed": "green",
    "running": "cyan",
    "pending": "yellow",
    "waiting": "yellow",
    "paused": "yellow",
    "draining": "yellow",
    "cancelled": "magenta",
    "failed": "red",
    "timed_out": "red",
    "expired": "red",
    "rejected": "red",
    "closed": "dim",
    "added": "green",
    "appended": "green",
    "changed": "yellow",
    "removed": "red",
}


@dataclass
class Facts:
    """Names and values, one a line; those without a value are left out."""

    values: Mapping[str, object]


@dataclass
class Table:
    """Rows under a header; not shown when there are none.

    On a terminal without the columns that are empty; in a pipe with all of them, and tabs between the cells.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""


@dataclass
class Exchange:
    """A question and what came of it; an empty question stands there already."""

    question: str
    answer: str
    failed: bool = False


Part = str | Facts | Table | Exchange


def clean(text: str) -> str:
    """`text` without what could steer a terminal: such characters are replaced by visible ones."""
    return _UNSAFE.sub(lambda match: _visible(ord(match[0])), text)


def readable(value: Any) -> str:
    """A task's input or output as text: strings and `{"text": ...}` as they are, everything else as JSON."""
    text = value.get("text") if isinstance(value, dict) and len(value) == 1 else value
    return text if isinstance(text, str) else json.dumps(value, ensure_ascii=False, indent=2)


def show(*parts: Part) -> None:
    """Print parts on stdout, an empty line between them."""
    shown = [part for part in parts if not isinstance(part, Table) or part.rows]
    if not shown:
        note("there are none")
    on_terminal = sys.stdout.isatty()
    console = _console()
    for number, part in enumerate(shown):
        if number:
            sys.stdout.write("\n")
        if on_terminal:
            _draw(console, part)
        else:
            sys.stdout.writelines(f"{line}\n" for line in _plain(part))
    sys.stdout.flush()


def show_json(value: Any) -> None:
    """Print one JSON document on stdout: models in the shape the contract gives them."""
    text = json.dumps(value, default=_jsonable, ensure_ascii=False, indent=2)
    # Such characters stand inside of JSON strings only, where an escape means the same.
    sys.stdout.write(_UNSAFE.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text))
    sys.stdout.write("\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Tell a person something by the way, on stderr; nothing when stderr is not a terminal."""
    if sys.stderr.isatty():
        _console(stderr=True).print(Text(clean(text), style="dim"), soft_wrap=True)


def complain(text: str) -> None:
    """Print an error on stderr, in one line."""
    line = clean(" ".join(text.split()))
    _console(stderr=True).print(Text.assemble(("error: ", "bold red"), line), soft_wrap=True)


@contextlib.contextmanager
def waiting(text: str) -> Iterator[Callable[[str], None]]:
    """Show on stderr that something takes its time, with a way to change the text; not when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    with _console(stderr=True).status(Text(clean(text))) as status:
        yield lambda changed: status.update(Text(clean(changed)))


def _visible(code: int) -> str:
    return chr(_PICTURES + code) if code < 0x20 else "\ufffd"  # noqa: PLR2004 (the first 32)


def _jsonable(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def _line(value: object) -> str:
    return preview(clean(value) if isinstance(value, str) else "" if value is None else value, CELL_BYTES)


def _facts(part: Facts) -> list[tuple[str, str]]:
    return [(name, _line(value)) for name, value in part.values.items() if value not in (None, "")]


def _plain(part: Part) -> Iterable[str]:
    match part:
        case Facts():
            return [f"{name}: {value}" for name, value in _facts(part)]
        case Table():
            rows = ["\t".join(_line(cell).replace("\t", " ") for cell in row) for row in part.rows]
            return [*([f"{part.title}:"] if part.title else []), "\t".join(part.columns), *rows]
        case Exchange():
            asked = [clean(f"> {part.question}")] if part.question else []
            return [*asked, clean(f"error: {part.answer}" if part.failed else part.answer)]
    return [clean(part)]


def _draw(console: Console, part: Part) -> None:
    match part:
        case Facts():
            grid = RichTable.grid(padding=(0, 2))
            for name, value in _facts(part):
                grid.add_row(Text(name, style="dim"), _coloured(name, value))
            console.print(grid)
        case Table():
            table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
            rows = [[_line(cell) for cell in row] for row in part.rows]
            filled = [number for number in range(len(part.columns)) if any(row[number] for row in rows)]
            for number in filled:
                table.add_column(part.columns[number], overflow="fold")
            for row in rows:
                table.add_row(*(_coloured(part.columns[number], row[number]) for number in filled))
            if part.title:
                console.print(Text(part.title, style="bold"))
            console.print(table)
        case Exchange():
            if part.question:
                console.print(Text(clean(f"> {part.question}"), style="dim"), soft_wrap=True)
            console.print(Text(clean(part.answer), style="red" if part.failed else ""), soft_wrap=True)
        case _:
            console.print(Text(clean(part)), soft_wrap=True)


def _coloured(name: str, value: str) -> Text:
    return Text(value, style=_STYLES.get(value, "") if name in _STYLED else "")

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
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text

from workflows.wire.encoding import preview
from workflows.wire.files import legible

CELL_BYTES = 300
"""What a table cell shows of a long text; `--json` has all of it."""

REFRESHES = 2
"""A second, of what is shown live: seconds that pass are seen to pass."""

DRAFTS = 8
"""A second, of a text that grows: twice as often as more of it comes."""

TAIL_CHARS = 8_000
"""What of such a text is drawn: more than a screen, and quick to draw again."""

BAR_CELLS = 20
"""Width of a progress bar: with its numbers it fits beside a question on 80 columns."""

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
    "terminated": "red",
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
    `cut`: a row is one line on a terminal, and its long cells are cut.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    cut: bool = False


@dataclass
class Exchange:
    """A question and what came of it; an empty question stands there already. `note`: what is to be known of it.

    `prose`: the answer may be Markdown.
    """

    question: str
    answer: str
    failed: bool = False
    note: str = ""
    prose: bool = False


@dataclass
class Bar:
    """The value of a fact or a cell that is a progress: drawn as a bar on a terminal, in words in a pipe."""

    done: float
    total: float | None = None
    note: str | None = None

    def __str__(self) -> str:
        """In words: how much, how much of all, which note."""
        share = f" of {self.total:,.10g}, {min(self.done / self.total, 1):.0%}" if self.total else ""
        return f"{self.done:,.10g}{share}" + (f": {self.note}" if self.note else "")


@dataclass
class Aside:
    """What is told by the way: less visible than the rest on a terminal."""

    text: str


@dataclass
class Prose:
    """Text that may be Markdown: drawn as such on a terminal, and as it is in a pipe."""

    text: str


Part = str | Facts | Table | Exchange | Aside | Prose


def clean(text: str) -> str:
    """`text` without what could steer a terminal: such characters are replaced by visible ones."""
    return _UNSAFE.sub(lambda match: _visible(ord(match[0])), text)


def readable(value: Any) -> str:
    """A task's input or output as text: strings and `{"text": ...}` as they are, everything else as JSON.

    A stored file is a line that says what it is.
    """
    value = legible(value)
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


def show_json(value: Any, indent: int | None = 2) -> None:
    """Print one JSON document on stdout, in one line without `indent`: models in the shape the contract gives them."""
    sys.stdout.write(json_text(value, indent) + "\n")
    sys.stdout.flush()


def json_text(value: Any, indent: int | None = None) -> str:
    """`value` as JSON that a terminal can take and that means the same."""
    text = json.dumps(value, default=_jsonable, ensure_ascii=False, indent=indent)
    # Such characters stand inside of JSON strings only, where an escape means the same.
    return _UNSAFE.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def note(text: str) -> None:
    """Tell a person something by the way, on stderr; nothing when stderr is not a terminal."""
    if sys.stderr.isatty():
        _console(stderr=True).print(Text(clean(text), style="dim"), soft_wrap=True)


def complain(text: str) -> None:
    """Print an error on stderr, in one line."""
    _say(("error: ", "bold red"), text)


def warn(text: str) -> None:
    """Print on stderr, in one line, what is to be known of what stdout has."""
    _say(("warning: ", "yellow"), text)


@contextlib.contextmanager
def waiting(text: str) -> Iterator[Callable[[str, Bar | None], None]]:
    """Show on stderr that something takes its time, with a way to change that text; not when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _text, _bar: None
        return
    with _console(stderr=True).status(Text(clean(text))) as status:
        yield lambda changed, bar: status.update(_in_a_row(Text(clean(changed)), *(_bar(bar) if bar else ())))


@contextlib.contextmanager
def live(parts: Callable[[], Iterable[Part]]) -> Iterator[None]:
    """Show parts on the terminal that stdout is, drawn anew in their place again and again; the last ones stay."""

    def draw() -> RenderableType:
        drawn = [[*_drawn(part), ""] for part in parts() if not isinstance(part, Table) or part.rows]
        return Group(*(line for lines in drawn for line in lines))

    with Live(get_renderable=draw, console=_console(), refresh_per_second=REFRESHES):
        yield


@contextlib.contextmanager
def writing(waits: str) -> Iterator[Callable[[str, Bar | None], None]]:
    """Draw on the terminal that stdout is the end of a text that grows, with a way to change it; gone when it is done.

    While there is no text yet, `waits` and a bar, if there is one.
    """
    said: tuple[str, Bar | None] = "", None

    def tell(text: str, bar: Bar | None) -> None:
        nonlocal said
        said = text, bar

    def draw() -> RenderableType:
        text, bar = said
        return _Tail(text) if text else _in_a_row(Text(clean(waits)), *(_bar(bar) if bar else ()))

    with Live(get_renderable=draw, console=_console(), refresh_per_second=DRAFTS, transient=True):
        yield tell


class _Tail:
    """The last lines of a Markdown text, as many as the terminal has, less what the cursor needs."""

    def __init__(self, text: str) -> None:
        tail = text[-TAIL_CHARS:]
        self._text = tail if tail == text else tail.partition("\n\n")[2] or tail

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich's protocol."""
        lines = console.render_lines(_markdown(self._text), options, pad=False)
        for line in lines[-max(console.height - 2, 1) :]:
            yield from line
            yield Segment.line()


def _markdown(text: str) -> RenderableType:
    from rich.markdown import Markdown  # noqa: PLC0415 (takes as long as all else of rich)

    return Markdown(clean(text), hyperlinks=False)  # a link shows where it leads


def _say(head: tuple[str, str], text: str) -> None:
    _console(stderr=True).print(Text.assemble(head, clean(" ".join(text.split()))), soft_wrap=True)


def _visible(code: int) -> str:
    return chr(_PICTURES + code) if code < 0x20 else "\ufffd"  # noqa: PLR2004 (the first 32)


def _jsonable(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def _line(value: object) -> str:
    if isinstance(value, Bar):
        value = str(value)
    return preview(clean(value) if isinstance(value, str) else "" if value is None else value, CELL_BYTES)


def _facts(part: Facts) -> list[tuple[str, object]]:
    return [(name, value) for name, value in part.values.items() if value not in (None, "")]


def _plain(part: Part) -> Iterable[str]:
    match part:
        case Facts():
            return [f"{name}: {_line(value)}" for name, value in _facts(part)]
        case Table():
            rows = ["\t".join(_line(cell).replace("\t", " ") for cell in row) for row in part.rows]
            return [*([f"{part.title}:"] if part.title else []), "\t".join(part.columns), *rows]
        case Exchange():
            asked = [clean(f"> {part.question}")] if part.question else []
            noted = [clean(f"({part.note})")] if part.note else []
            return [*asked, clean(f"error: {part.answer}" if part.failed else part.answer), *noted]
        case Aside() | Prose():
            return [clean(part.text)]
    return [clean(part)]


def _draw(console: Console, part: Part) -> None:
    for line in _drawn(part):
        console.print(line, soft_wrap=isinstance(line, Text))


def _drawn(part: Part) -> Iterator[RenderableType]:
    match part:
        case Facts():
            grid = RichTable.grid(padding=(0, 2))
            for name, value in _facts(part):
                grid.add_row(Text(name, style="dim"), _cell(name, value))
            yield grid
        case Table():
            table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
            filled = [number for number in range(len(part.columns)) if any(_line(row[number]) for row in part.rows)]
            for number in filled:
                table.add_column(part.columns[number], overflow="ellipsis" if part.cut else "fold", no_wrap=part.cut)
            for row in part.rows:
                table.add_row(*(_cell(part.columns[number], row[number]) for number in filled))
            if part.title:
                yield Text(part.title, style="bold")
            yield table
        case Exchange():
            yield from _exchange(part)
        case Aside():
            yield Text(clean(part.text), style="dim")
        case _:
            yield _markdown(part.text) if isinstance(part, Prose) else Text(clean(part))


def _exchange(part: Exchange) -> Iterator[RenderableType]:
    if part.question:
        yield Text(clean(f"> {part.question}"), style="dim")
    yield _markdown(part.answer) if part.prose else Text(clean(part.answer), style="red" if part.failed else "")
    if part.note:
        yield Text(clean(f"({part.note})"), style="dim")


def _cell(name: str, value: object) -> RenderableType:
    if isinstance(value, Bar):
        return _in_a_row(*_bar(value))
    line = _line(value)
    return Text(line, style=_STYLES.get(line, "") if name in _STYLED else "")


def _bar(bar: Bar) -> tuple[RenderableType, RenderableType]:
    """A bar and its words; one that moves where nobody knows the total."""
    drawn = ProgressBar(total=bar.total or None, completed=bar.done, width=BAR_CELLS, pulse=not bar.total)
    return drawn, Text(_line(bar))


def _in_a_row(*cells: RenderableType) -> RichTable:
    row = RichTable.grid(padding=(0, 1))
    row.add_row(*cells)
    return row

"""The session as Markdown, for the Web UI's Current Details. Pure functions; every text from users is escaped."""

import re
from collections.abc import Iterable

from workflows.contract import Turn
from workflows.encoding import preview
from workflows.state import SessionState

_TURNS = 10  # a screenful
_TEXT_BYTES = 200  # per cell; the task's own page has the whole
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|~&:@])")
_NO_TAG = "<\u200b"  # the zero-width space keeps it from opening a tag, wherever the text is shown


def escaped(value: object, limit: int = _TEXT_BYTES) -> str:
    """`value` in one line of plain text: no Markdown, HTML, table bar, heading or link in it has any effect."""
    return _SPECIAL.sub(r"\\\1", preview(value, limit)).replace("<", _NO_TAG)


def render(state: SessionState) -> str:
    """The page of one session."""
    parts = [
        f"**Status:** {state.status}" + (f" · **Title:** {escaped(state.config.title)}" if state.config.title else "")
    ]
    if state.running:
        running = state.running
        parts.append(
            f"**Running since {running.started_at:%Y-%m-%d %H:%M:%S} UTC:** {escaped(running.task.input_preview)} "
            f"({escaped(running.task.task_id)})"
        )
        if running.waiting_for:
            parts.append(f"**Waiting for an answer to:** {escaped(running.waiting_for.text)}")
    if state.pending.tasks:
        rows = [(task.task_id, task.kind, task.input_preview) for task in state.pending.tasks[:_TURNS]]
        parts.append(f"### Pending ({len(state.pending)})\n" + _table(("task", "kind", "input"), rows))
    if state.context.transcript:
        parts.append("### Last turns\n" + _table(("question", "answer", "task"), _turns(state.context.transcript)))
    keys = ", ".join(escaped(key, 60) for key in list(state.context.values)[:50])
    parts.append(f"**Context:** version {state.context.version}" + (f", keys {keys}" if keys else ", no values"))
    if state.ledger.rejected:
        refused = [(e.message, e.error.type, e.error.message, e.preview) for e in state.ledger.rejected[-_TURNS:]]
        header = ("message", "error", "reason", "began with")
        parts.append(f"### Rejected ({state.ledger.counters.rejected})\n" + _table(header, refused))
    return "\n\n".join(parts)


def _turns(transcript: list[Turn]) -> list[tuple[object, ...]]:
    return [(_text(turn.input), turn.output, turn.task_id) for turn in transcript[-_TURNS:]]


def _text(value: object) -> object:
    return value["text"] if isinstance(value, dict) and isinstance(value.get("text"), str) else value


def _table(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)

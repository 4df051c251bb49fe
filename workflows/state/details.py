"""What the Web UI shows of a session and of its tasks, as Markdown. Pure; every text from users is escaped."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from workflows.contract import Turn, task_workflow_id
from workflows.state.budget import spent
from workflows.state.pending import PendingTask
from workflows.state.running_task import RunningTask
from workflows.state.session_state import SessionState
from workflows.wire.conversation import summary_in
from workflows.wire.encoding import preview
from workflows.wire.limits import PREVIEW_BYTES
from workflows.wire.markdown import code, label, link, text, verbatim, words_of

# How many of each are shown, a screenful, and the bytes of each text: the page travels to its renderer in a URL.
_TURNS, _PENDING, _ENDED, _REJECTED, _KEYS, _CHOICES = 10, 10, 5, 5, 30, 4
_NAME, _ASKED, _ANSWERED, _REASON, _QUESTION, _CHOICE, _SUMMARY = 60, 160, 240, 120, 600, 100, 600
_MESSAGE = 2_000  # more than any message takes: one that is cut is of no use
_LINKED = 80  # the longest id of a workflow that is worth the room of a link
_GAP = "\n\u00a0\n"  # an empty line within a paragraph: the Web UI leaves three between paragraphs

_MEANINGS = {
    "paused": " (takes tasks, starts none until it is resumed)",
    "draining": " (takes no new tasks, ends with those it has)",
}


def render(state: SessionState) -> str:
    """The page of one session: how it stands, what was asked and answered, what can be sent to it."""
    return "\n\n".join(filter(None, _sections(state)))


def of_task(state: SessionState) -> str:
    """What the running task's own page says from the start: whose it is, what it sees and may do."""
    running = state.running_task()
    task = running.task
    values = task.read if isinstance(task.read, str) else _keys(task.read)
    return (
        f"Task `{task.task_id}` of session {link(state.session_id, state.session_id)}\n"
        f"**Submitted:** {_time(task.submitted_at)} · **time to end:** {task.timeout:g} seconds\n"
        f"**Sees:** context version {running.version}, values: {values}, last {task.transcript} turns\n"
        f"**May change it:** {'yes' if task.write else 'no'}"
    )


def summary(task: PendingTask) -> str:
    """What a timeline shows of a task: what was asked, and the kind where that is no text."""
    words = words_of(task.input)
    return label(f"{task.kind} {task.input_preview}" if words is None else preview(words, PREVIEW_BYTES))


def _sections(state: SessionState) -> Iterator[str]:
    config, pending, transcript, values = (
        state.config,
        state.pending.tasks,
        state.context.transcript,
        state.context.values,
    )
    named = [f"{name} {text(value, _NAME)}" for name in ("owner", "title") if (value := getattr(config, name))]
    counts = [f"{count} {name.replace('_', ' ')}" for name, count in state.ledger.counters if count]
    if state.paused_by == "budget" and state.status == "paused":
        counts.append(f"budget spent: {spent(state.usage, state.config.budget) or 'raised since'}")
    reason = f": {text(state.closing.reason, _REASON)}" if state.closing and state.closing.reason else ""
    yield f"**Status: {state.status}**{_MEANINGS.get(state.status, '')}{reason}\n{' · '.join(named + counts)}"
    if state.running:
        yield "\n".join(_running(state, state.running))
    yield _listed("Pending", len(pending), (_waiting(task) for task in pending[:_PENDING]))
    turns = [
        f"**Q** {text(turn.input, _ASKED)}\n**A** {text(turn.output, _ANSWERED)}\n"
        f"{_id(state, turn.task_id)} · version {turn.version} · {_time(turn.finished_at)}{_ended(turn)}"
        for turn in transcript[-_TURNS:]
    ]
    before = summary_in(values) if config.compact else None
    yield f"**Summary of the turns before**\n{text(before, _SUMMARY)}" if before else ""
    yield f"**Last {len(turns)} of {len(transcript)} turns**\n{_GAP.join(turns)}" if turns else ""
    yield _listed("Not completed", 0, _not_completed(state))
    yield f"**Context: version {state.context.version}**\nKeys: {_keys(values) or 'none'}"
    refused = (
        f"{_time(entry.at)} {text(entry.message, _NAME)}: {text(entry.error.type, _NAME)}, "
        f"{text(entry.error.message, _REASON)}; began with {verbatim(entry.preview, _REASON)}"
        for entry in reversed(state.ledger.rejected[-_REJECTED:])
    )
    yield _listed("Rejected", state.ledger.counters.rejected, refused)
    yield "" if state.over else "\n".join(_to_send(state))


def _running(state: SessionState, running: RunningTask) -> Iterator[str]:
    task = running.task
    yield f"**Running since {_time(running.started_at)}:** {_id(state, task.task_id)} ({text(task.kind, _NAME)})"
    yield f"**Q** {text(task.input, _ASKED)}"
    if running.cancel_reason is not None:
        yield f"Asked to end: {text(running.cancel_reason, _REASON)}"
    question = running.waiting_for
    if question:
        yield f"\n**Waits for an answer to:** {text(question.text, _QUESTION)}"
        yield f"Question id: {code(question.id, _QUESTION)}"
        if question.data is not None:
            yield f"About: {code(question.data, _QUESTION)}"
        if question.choices:
            yield f"Choices: {code(question.choices, _QUESTION)}"
        if question.expires_at:
            yield f"Until: {_time(question.expires_at)}"


def _waiting(task: PendingTask) -> str:
    due = f", not before {_time(task.not_before)}" if task.not_before else ""
    return f"`{task.task_id}` ({text(task.kind, _NAME)}{due}) {text(task.input, _ASKED)}"


def _not_completed(state: SessionState) -> Iterator[str]:
    """The newest tasks that left no turn because something else became of them."""
    ended = (record for record in reversed(state.ledger.records.values()) if record.status != "completed")
    for record in islice(ended, _ENDED):
        error = f", {text(record.error.type, _NAME)}: {text(record.error.message, _REASON)}" if record.error else ""
        asked = text(record.input_preview, _REASON)
        yield f"{_id(state, record.task_id)} **{record.status.replace('_', ' ')}**{error}; was asked: {asked}"


def _to_send(state: SessionState) -> Iterator[str]:
    """Messages to paste, with the ids of what runs and waits now."""
    yield "**To send**\nMore Actions, Send a Signal, Custom; then a name and its data. `pause`, `resume` take none.\n"
    yield "| name | data |\n| :--- | :--- |"
    for name, data in _messages(state):
        yield f"| `{name}`\u2003 | {code(data, _MESSAGE)} |"


def _messages(state: SessionState) -> Iterator[tuple[str, dict[str, Any]]]:
    running, waiting = state.running, state.pending.tasks
    question = running.waiting_for if running else None
    if running and question:
        choices = [choice for choice in question.choices or () if len(choice) <= _CHOICE]
        for value in choices[:_CHOICES] or ["your answer"]:
            yield "respond", {"task_id": running.task.task_id, "question_id": question.id, "value": value}
    if not state.closing:
        yield "submit", {"task_id": f"by-hand-{state.ledger.counters.submitted + 1}", "input": "your question"}
    if running or waiting:
        task = running.task if running else waiting[0]
        yield "cancel_task", {"task_id": task.task_id, "reason": "your reason"}
    for mode in ("drain", "discard", "now"):
        yield "close", {"mode": mode}


def _listed(title: str, count: int, lines: Iterable[str]) -> str:
    shown = [f"• {line}" for line in lines]
    more = [f"• and {count - len(shown)} more"] if count > len(shown) else []
    return "\n".join([f"**{title}{f': {count}' if count else ''}**", *shown, *more]) if shown else ""


def _keys(keys: Collection[str]) -> str:
    shown = ", ".join(text(key, _NAME) for key in islice(keys, _KEYS))
    return f"{shown}, and {len(keys) - _KEYS} more" if len(keys) > _KEYS else shown


def _id(state: SessionState, task_id: str) -> str:
    """A task's id, leading to its page; a turn that a fork brought along has none here."""
    workflow_id = task_workflow_id(state.session_id, task_id)
    own = task_id in state.ledger.records or (state.running and state.running.task.task_id == task_id)
    return link(task_id, workflow_id) if own and len(workflow_id) <= _LINKED else f"`{task_id}`"


def _ended(turn: Turn) -> str:
    return f" · ended by {text(turn.finish_reason, _NAME)}" if turn.finish_reason else ""


def _time(moment: datetime) -> str:
    return f"{moment.isoformat(' ', 'seconds')[:19]} UTC"

"""What of sessions, tasks and context a person is shown: contract models in, parts of output out."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starter.cli.difference import Difference
from starter.cli.output import Bar, Facts, Part, Table, readable
from workflows.contract import (
    Compact,
    ContextView,
    Counters,
    LogEntry,
    Notify,
    PendingEntry,
    Question,
    RejectedEntry,
    Snapshot,
    TaskRecord,
    Turn,
)
from workflows.wire.progress import Progress

if TYPE_CHECKING:
    from starter.client.finding import SessionListing  # imports temporalio, which takes 0.2 s

RECENT = 10
"""Finished tasks and refusals that `show` lists: with the rest of it they fill a screen."""

SHARED = 30
"""Characters before the first difference of two texts: enough to recognise the place."""


def session(snapshot: Snapshot, progress: Progress | None = None) -> Iterator[Part]:
    """A session at a glance; `progress` is that of the running task."""
    config = snapshot.config
    asks = snapshot.running.waiting_for if snapshot.running else None
    yield Facts(
        {
            "session": snapshot.session_id,
            "status": f"paused by its {snapshot.paused_by}" if _not_by_hand(snapshot) else snapshot.status,
            "title": config.title,
            "owner": config.owner,
            "labels": labels(config.labels),
            "started": moment(snapshot.started_at),
            "context": f"version {snapshot.context_version}",
            "compact": compaction(config.compact) if config.compact else None,
            "notify": notification(config.notify) if config.notify else None,
            "tasks": counted(snapshot.counters),
            "used": used(snapshot.usage, config.budget),
            "asks": question(asks) if asks else None,
            "about": about(asks),
            "progress": bar(progress),
        }
    )
    yield Table(_TASK, [_record(snapshot.running)] if snapshot.running else [], "running")
    yield Table(_TASK, [_waiting(entry) for entry in snapshot.pending], "pending")
    yield Table(_TASK, [_record(record) for record in snapshot.recent[-RECENT:]], "recent")
    yield Table(
        ("message", "task", "at", "began with", "error"),
        [_refusal(entry) for entry in snapshot.rejected[-RECENT:]],
        "rejected",
    )


def compaction(compact: Compact) -> str:
    """When old turns are summed up, and by what."""
    return f"by {compact.kind}, beyond {compact.turns} turns or {compact.bytes:,} bytes of them"


def notification(notify: Notify) -> str:
    """Who is told, and of what; not the whole address, which may have a token in it."""
    return f"{urlsplit(notify.url).netloc}, of {', '.join(notify.on)}"


def used(usage: Mapping[str, float], budget: Mapping[str, float] | None) -> str:
    """What all tasks have used, and of how much where there is a budget for it."""
    names = {**(budget or {}), **usage}
    of = {name: f" of {number:,}" for name, number in (budget or {}).items()}
    return ", ".join(f"{name} {usage.get(name, 0):,}{of.get(name, '')}" for name in names)


def _not_by_hand(snapshot: Snapshot) -> bool:
    return snapshot.status == "paused" and snapshot.paused_by not in {None, "caller"}


def tasks(snapshot: Snapshot) -> Table:
    """The tasks of a session in order: finished, running, waiting."""
    known = [*snapshot.recent, *([snapshot.running] if snapshot.running else [])]
    return Table(_TASK, [*map(_record, known), *map(_waiting, snapshot.pending)])


def task(record: TaskRecord) -> Iterator[Part]:
    """Everything that is known of one task."""
    error, versions, asked = record.error, record.context_version, record.waiting_for
    yield Facts(
        {
            "task": record.task_id,
            "kind": record.kind,
            "status": record.status,
            "ahead": record.position,
            "labels": labels(record.labels),
            "submitted": moment(record.submitted_at),
            "started": moment(record.started_at),
            "finished": moment(record.finished_at),
            "input": record.input_preview,
            "context": " to ".join(str(v) for v in (versions.before, versions.after) if v is not None),
            "usage": record.usage,
            "finish_reason": record.finish_reason,
            "asks": question(asked) if asked else None,
            "about": about(asked),
            "error": f"{error.type}: {error.message}" if error else None,
        }
    )
    if record.output is not None:
        yield readable(record.output)


def question(asked: Question) -> str:
    """What a task asks a person, with what may be answered."""
    return asked.text + (f" ({' / '.join(asked.choices)})" if asked.choices else "")


def about(asked: Question | None) -> str:
    """What a question is about, as JSON: of leave for a tool, its name and arguments."""
    return "" if asked is None or asked.data is None else written(asked.data)


def context(view: ContextView) -> Iterator[Part]:
    """What a session remembers."""
    yield Facts({"version": view.version})
    yield Table(("key", "value"), [(key, readable(value)) for key, value in view.values.items()], "values")
    yield Table(_TURN, [_turn(turn) for turn in view.transcript], "transcript")
    yield _log(view.log)


def difference(found: Difference) -> Iterator[Part]:
    """What two versions of a context differ in; of long texts, what surrounds their first difference."""
    yield f"from version {found.old} to version {found.new}"
    rows: list[tuple[object, ...]] = [("added", key, "", written(value)) for key, value in found.added.items()]
    rows += [("removed", key, written(value), "") for key, value in found.removed.items()]
    rows += [("changed", key, *apart(written(pair.old), written(pair.new))) for key, pair in found.changed.items()]
    rows += [("appended", key, "", ", ".join(map(written, items))) for key, items in found.appended.items()]
    yield Table(("change", "key", "was", "is"), rows, "values")
    turns = [("added", turn) for turn in found.turns_added] + [("removed", turn) for turn in found.turns_removed]
    yield Table(("change", *_TURN), [(change, *_turn(turn)) for change, turn in turns], "transcript")
    if not rows and not turns:
        yield "they are the same"
    yield _log(found.log)


def written(value: Any) -> str:
    """A value as JSON, so that a text is told from a number."""
    return json.dumps(value, ensure_ascii=False)


def apart(one: str, other: str) -> tuple[str, str]:
    """Two texts without most of a long beginning that both have."""
    pairs = enumerate(zip(one, other, strict=False))
    start = next((number for number, (a, b) in pairs if a != b), min(len(one), len(other))) - SHARED
    return (one, other) if start <= 0 else (f"…{one[start:]}", f"…{other[start:]}")


def sessions(listings: "Iterable[SessionListing]") -> Table:
    """A list of sessions."""
    rows = [
        (found.session_id, found.status, found.owner, moment(found.started_at), moment(found.closed_at))
        for found in listings
    ]
    return Table(("session", "status", "owner", "started", "closed"), rows)


def counted(counters: Counters) -> str:
    """The counters in words, zeros left out."""
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counters if count) or "none yet"


def kinds(removed: Mapping[str, int], schedules: int) -> str:
    """Executions by kind and schedules, in words."""
    total = sum(removed.values())
    named = ", ".join(f"{count} {kind}" for kind, count in removed.items())
    more = f" and {schedules} schedule{'s' * (schedules != 1)}" if schedules else ""
    return f"{total} execution{'s' * (total != 1)}" + (f" ({named})" if named else "") + more


def labels(values: dict[str, str]) -> str:
    """Labels as they are given on the command line."""
    return ", ".join(f"{key}={value}" for key, value in values.items())


def unlike_whole(finish_reason: str | None) -> str:
    """What a person is told of an answer that did not end by itself; nothing of one that did."""
    return f"ended by {finish_reason}: it may not be the whole answer" if finish_reason else ""


def bar(progress: Progress | None) -> Bar | None:
    """A progress as it is drawn."""
    return Bar(progress.done, progress.total, progress.note) if progress else None


def elapsed(since: datetime | None) -> str:
    """The time that has passed since then, by this machine's clock."""
    if since is None:
        return ""
    seconds = max(int((datetime.now(UTC) - since).total_seconds()), 0)
    days, seconds = divmod(seconds, 86_400)
    time = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{days} d {time}" if days else time


def moment(time: datetime | None) -> str:
    """A time in UTC, to the second."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}" if time else ""


_TURN = ("version", "asked", "answered", "task", "finish_reason")
_TASK = ("task", "kind", "status", "at", "input", "error", "finish_reason")


def _turn(turn: Turn) -> tuple[object, ...]:
    return turn.version, readable(turn.input), readable(turn.output), turn.task_id, turn.finish_reason


def _log(entries: Iterable[LogEntry]) -> Table:
    rows = [(entry.version, entry.by, moment(entry.at), ", ".join(entry.changed)) for entry in entries]
    return Table(("version", "by", "at", "changed"), rows, "log")


def _record(record: TaskRecord) -> tuple[object, ...]:
    at = record.finished_at or record.started_at or record.submitted_at
    error = record.error.type if record.error else ""
    return record.task_id, record.kind, record.status, moment(at), record.input_preview, error, record.finish_reason


def _waiting(entry: PendingEntry) -> tuple[object, ...]:
    not_before = f"not before {moment(entry.not_before)}" if entry.not_before else ""
    return entry.task_id, entry.kind, "pending", not_before, entry.input_preview, "", None


def _refusal(entry: RejectedEntry) -> tuple[object, ...]:
    error = f"{entry.error.type}: {entry.error.message}"
    return entry.message, entry.task_id, moment(entry.at), entry.preview, error
